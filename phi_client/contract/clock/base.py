"""Time and chance as parameters, so that tests never sleep.

It must not know what is waited for. Whoever waits does it by a clock: `sleep` and `sleep_async` for a while, `timeout`
and `call_later` for limits.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractAsyncContextManager

    from phi_client.contract.clock.virtual_time import VirtualTime

__all__ = ["SYSTEM_CLOCK", "Clock", "Hold", "Timer"]

_NOTHING: Final = nullcontext()


async def _sleep_async(seconds: float) -> None:
    from asyncio import sleep  # a sync client does without asyncio

    await sleep(seconds)


class Hold(Protocol):
    """What `hold` gives."""

    def take(self) -> None:
        """This thread or task is at work, and whoever was so by this is no more."""
        ...

    def drop(self) -> None:
        """Nobody is any more."""
        ...


class Timer(Protocol):
    """What `call_later` gives."""

    def cancel(self) -> None:
        """Don't call. Does no harm afterwards."""
        ...


class _NoHold:
    """Of real time, which waits for nobody."""

    def take(self) -> None:
        """Nothing."""

    def drop(self) -> None:
        """Nothing."""


_NO_HOLD: Final = _NoHold()


@dataclass(frozen=True, slots=True)
class Clock:
    """What tells the time to a client or an emulator, and what each of their waits goes through.

    `now` is monotonic, in seconds, `unix` since 1970; `random` gives a number in [0, 1). What is not given is the
    system's.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = _sleep_async
    random: Callable[[], float] = random.random
    unix: Callable[[], float] = time.time
    virtual: VirtualTime | None = None
    """Who goes by this clock, where it moves only when all of them wait: that of a `VirtualClock`."""

    def at_work(self) -> AbstractContextManager[object]:
        """While it is entered, virtual time waits for this thread or task, but where that waits on the clock itself."""
        return _NOTHING if self.virtual is None else self.virtual.at_work()

    def hold(self) -> Hold:
        """What keeps whoever takes it at work, until it is dropped."""
        return _NO_HOLD if self.virtual is None else self.virtual.hold()

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """As `asyncio.timeout`, by this clock.

        Raises:
            TimeoutError: (when it is left) the time was over.
        """
        from asyncio import timeout  # a sync client does without asyncio

        return timeout(seconds) if self.virtual is None else self.virtual.timeout(seconds)

    def call_later(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], Any]) -> Timer:
        """Have `call` called in `loop` after so many seconds. Virtual time does not jump for its sake."""
        if self.virtual is None:
            return loop.call_later(seconds, call)
        return self.virtual.call_later(loop, seconds, call)


SYSTEM_CLOCK: Final = Clock()
