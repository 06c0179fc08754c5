"""Time and chance as parameters, so that tests never sleep.

It must not know what is waited for. Nothing in the core sleeps: the shells do what `wait` and `wait_async` say.
"""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["SYSTEM_CLOCK", "Clock", "InstantRetries"]


async def _sleep_async(seconds: float) -> None:
    from asyncio import sleep  # noqa: PLC0415  # a sync client does without asyncio

    await sleep(seconds)


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` is monotonic, in seconds, `unix` since 1970; `random` gives a number in [0, 1)."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = _sleep_async
    random: Callable[[], float] = random.random
    unix: Callable[[], float] = time.time


SYSTEM_CLOCK: Final = Clock()


class InstantRetries:
    """The switch for tests that makes waits between attempts take no time."""

    depth: int = 0
