"""What lets one client serve several event loops.

It must not know what there is one of for each.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["PerLoop"]

_T = TypeVar("_T")


class PerLoop(Generic[_T]):
    """A value for each event loop, made when the loop first asks and forgotten with it."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, _T] = WeakKeyDictionary()

    def get(self) -> _T:
        """The value of the running loop."""
        loop = asyncio.get_running_loop()
        value = self._values.get(loop)
        if value is None:
            value = self._values[loop] = self._make()
        return value

    def pop(self) -> _T | None:
        """The value of the running loop, which forgets it."""
        return self._values.pop(asyncio.get_running_loop(), None)
