"""A clock that moves when all who go by it wait, and by hand: what takes a day takes no time.

It must not know how that is found out: `virtual_time` does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

from phi_client.contract.clock.base import Clock
from phi_client.contract.clock.parties import Errand
from phi_client.contract.clock.virtual_time import ClockError, VirtualTime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

__all__ = ["START_UNIX", "ClockError", "VirtualClock"]

_T = TypeVar("_T")

START_UNIX: Final = 1_767_225_600.0
"""2026-01-01T00:00:00Z, a Thursday."""


class VirtualClock(Clock):
    """One clock for any number of clients and emulators of this process, which moves when all of them wait on it.

    Give it to `phi_client.testing.with_clock(client, clock)` and to `Emulator(clock=clock)`. When each call waits, for
    a retry, a rate limit's window, or bytes of an emulator that waits itself, the clock jumps to the first moment at
    which one of them goes on, and lets that one alone go on until it waits again; of those that are due at one moment,
    first whoever began to wait first. So things happen in the order in which they would with real time.

    What computes takes no time. What this clock does not know keeps it from jumping: a server that is no emulator on
    it, a client of another kind whose request an emulator is answering, a credential that asks somebody. `advance`
    moves it then, and any time.

    Args:
        start_unix: seconds since 1970 at which it starts.
        autojump: False for a clock that moves by `advance` alone.
        seed: of `random`, the chance in the waits before retries.
    """

    def __init__(self, *, start_unix: float = START_UNIX, autojump: bool = True, seed: int = 0) -> None:
        time = VirtualTime(start_unix, autojump=autojump)
        super().__init__(
            now=time.now,
            sleep=time.sleep,
            sleep_async=time.sleep_async,
            random=Random(seed).random,  # noqa: S311  # it spreads retries
            unix=time.unix,
            virtual=time,
        )

    @property
    def time(self) -> VirtualTime:
        """Who goes by it."""
        assert self.virtual is not None  # noqa: S101  # it is set where it is made
        return self.virtual

    def advance(self, seconds: float) -> None:
        """Let so much time pass; who is due meanwhile goes on in order, each until it waits again.

        Raises:
            ValueError: `seconds` is negative, or no number that a clock can move by.
            ClockError: somebody on this clock works on and on, which is said; or this thread runs an event loop:
                `advance_async` lets others have their turn meanwhile.
        """
        self.time.advance(seconds)

    async def advance_async(self, seconds: float) -> None:
        """As `advance`, in a task."""
        await self.time.advance_async(seconds)

    def run(self, *works: Callable[[], _T]) -> list[_T]:
        """What `works` return, each run on a thread of its own, at work from the start; the caller waits meanwhile.

        So several threads go by one clock from the same moment on, whichever of them is quicker.

        Raises:
            BaseException: what the first of them raised, once all have ended.
        """
        time = self.time
        errands = [Errand(f"work {number}") for number in range(1, len(works) + 1)]
        for errand in errands:
            time.begin(errand)

        def carried(errand: Errand, work: Callable[[], _T]) -> _T:
            try:
                with errand.running():
                    return work()
            finally:
                time.end(errand)

        with time.aside(), ThreadPoolExecutor(max(1, len(works))) as pool:
            jobs = [pool.submit(carried, errand, work) for errand, work in zip(errands, works, strict=True)]
        return [job.result() for job in jobs]

    async def gather(self, *works: Awaitable[_T]) -> list[_T]:
        """As `run`, with what can be awaited, each in a task of its own."""
        import asyncio  # a sync client does without it

        time = self.time

        async def carried(errand: Errand, work: Awaitable[_T]) -> _T:
            try:
                with errand.running():
                    return await work
            finally:
                time.end(errand)

        errands = [Errand(f"work {number}") for number in range(1, len(works) + 1)]
        for errand in errands:
            time.begin(errand)
        with time.aside():
            return await asyncio.gather(*map(carried, errands, works))

    @property
    def next_s(self) -> float | None:
        """Seconds until the first call, or limit of one, is due; `None` if none waits for a certain time."""
        return self.time.next_s

    @property
    def waiting(self) -> int:
        """How many calls, and limits of calls, wait for a certain time."""
        return len(self.time.dues())

    def at_work(self) -> AbstractContextManager[object]:
        """While it is entered, the clock waits for this thread or task, but where that waits on the clock itself.

        For a thread or task that makes several calls beside others: what it does between two calls takes no time then.
        Within it nothing must wait for others but through this clock.
        """
        return self.time.at_work()

    def __repr__(self) -> str:
        return f"<VirtualClock: {self.time.described()}>"
