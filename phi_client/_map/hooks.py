"""A caller's hook, called by one thread at a time although many carry items.

It must not know what the hook is told.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["one_at_a_time"]

_T = TypeVar("_T")


def one_at_a_time(hook: Callable[[_T], object] | None) -> Callable[[_T], object] | None:
    """`hook`, for which threads wait their turn; it may cause calls of itself."""
    if hook is None:
        return None
    turn = threading.RLock()

    def call(event: _T) -> object:
        with turn:
            return hook(event)

    return call
