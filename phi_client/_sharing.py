"""What lets one client serve threads, event loops and forked processes.

It must not know what is shared.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["ForkSafeLock", "PerLoop"]

_T = TypeVar("_T")


class ForkSafeLock:
    """A lock that is free in a forked child, whatever thread of the parent held it."""

    def __init__(self) -> None:
        self._renew()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._renew()
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()


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
