"""A function that somebody wants called on the engine's thread, and what becomes of it.

Knows futures; must not know the thread.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from phi_emulator.engine.errors import EngineError, EngineFailedError
from phi_emulator.engine.protocol import Engine

__all__ = ["Call"]

T = TypeVar("T")


class Call(Generic[T]):
    """One call of `work`; `done` has what it returns or raises."""

    def __init__(self, work: Callable[[Engine], T]) -> None:
        self._work = work
        self.done: Future[T] = Future()

    def __call__(self, engine: Engine) -> None:
        """Do it, unless nobody waits for it any more.

        Raises:
            EngineFailedError: the engine is broken, as the work found out; whatever else it raises is its caller's.
        """
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            self.done.set_result(self._work(engine))
        except Exception as error:
            self.done.set_exception(error)
            if isinstance(error, EngineFailedError):
                raise

    def fail(self, error: EngineError) -> None:
        """It will not be done."""
        if self.done.set_running_or_notify_cancel():
            self.done.set_exception(error)
