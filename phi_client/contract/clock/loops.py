"""Event loops that go by a virtual clock, and limits of time in them.

It must not be imported where asyncio is not needed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from phi_client.contract.clock.parties import Time, Waiter

__all__ = ["LoopPart", "VirtualTimeout"]


class LoopPart:
    """An event loop whose selector tells when it has nothing to do but to wait."""

    def __init__(self, time: Time, lock: threading.Lock) -> None:
        self._time = time
        self._lock = lock
        self._is_idle = False
        self.coming = 0
        """Waiters that were woken, and have not gone on yet."""

    @contextmanager
    def idle(self) -> Generator[None]:
        """While it is entered, the loop waits."""
        with self._lock:
            self._is_idle = True
        self._time.settle()
        try:
            yield
        finally:
            with self._lock:
                self._is_idle = False

    def stirs(self, *, by_hand: bool) -> str:  # noqa: ARG002  # a part's signature
        """As a part does."""
        return "" if self._is_idle and not self.coming else "an emulator's event loop is at work"


class VirtualTimeout:
    """As `asyncio.timeout`, by a virtual clock."""

    def __init__(self, time: Time, seconds: float | None) -> None:
        self._time = time
        self._seconds = seconds
        self._inner = asyncio.timeout(None)
        self._waiter: Waiter | None = None
        self._is_left = False

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            self._waiter = self._time.call_later(loop, self._seconds, self._expire, moves=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_left = True
        if self._waiter is not None:
            self._waiter.cancel()
        await self._inner.__aexit__(kind, error, trace)

    def expired(self) -> bool:
        """Whether the time was over before it was left."""
        return self._inner.expired()

    def _expire(self) -> None:
        if not self._is_left:
            self._inner.reschedule(asyncio.get_running_loop().time())
