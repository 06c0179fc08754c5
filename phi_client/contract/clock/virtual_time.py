"""How one waits by virtual time, in a thread and in a task, and how it is moved by hand.

It must not know clients, emulators or HTTP, nor when time moves: `jumps` does.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from phi_client.contract.clock.jumps import JumpingTime
from phi_client.contract.clock.parties import Errand, Waiter, party, runs_a_loop

if TYPE_CHECKING:
    import asyncio

    from phi_client.contract.clock.loops import VirtualTimeout

__all__ = ["ClockError", "VirtualHold", "VirtualTime"]

logger = logging.getLogger("phi_client.clock")

_LOOK_EVERY_S: Final = 0.05
"""How often a thread that waits looks for parties that are gone without a word. No order depends on it."""
_PATIENCE_S: Final = 10.0
"""Real seconds that `advance` waits for one at work, and after which a log says why the clock stands still."""


_LONGEST_S: Final = 100 * 366 * 86_400.0
"""Dates are written with four figures for the year."""


class ClockError(RuntimeError):
    """A virtual clock can't be moved now; the message says why, and what to do."""


class VirtualTime(JumpingTime):
    """The time of one `VirtualClock`, and who goes by it. Everything may be called from any thread."""

    def __init__(self, start_unix: float, *, autojump: bool) -> None:
        super().__init__(autojump=autojump)
        self._start_unix = start_unix

    def unix(self) -> float:
        """Seconds since 1970."""
        return self._start_unix + self.now()

    # Being at work.

    @contextmanager
    def at_work(self, errand: Errand | None = None) -> Generator[None]:
        """While it is entered, time waits for the errand, or for this thread or task."""
        me = errand or party()
        self.begin(me)
        try:
            yield
        finally:
            self.end(me)

    def hold(self) -> VirtualHold:
        """What keeps whoever used it last at work: for a stream, whose reader works between two reads."""
        return VirtualHold(self)

    @contextmanager
    def exchange(self, *, is_strange: bool) -> Generator[None]:
        """An emulator's exchange, in whose context all that it starts runs.

        Time does not jump while one with a strange client is under way: that waits too, nobody knows how long.
        """
        errand = Errand("an exchange", holds_hand=False)
        stranger = Errand("an exchange with a client that does not go by this clock", holds_hand=False)
        with errand.running(), self.at_work(errand), self.at_work(stranger) if is_strange else nullcontext():
            yield

    # Waiting.

    @contextmanager
    def aside(self) -> Generator[None]:
        """While it is entered, whoever runs here waits for one whose turn it is."""
        waiter = Waiter(party(), lambda: None)
        self.park(waiter, None)
        try:
            yield
        finally:
            self.resume(waiter)

    def sleep(self, seconds: float) -> None:
        """Wait so long, in a thread."""
        if not seconds > 0:
            return
        event = threading.Event()
        waiter = Waiter(party(), event.set)
        self.park(waiter, seconds)
        try:
            self.settle()
            self.look_until(event)
        finally:
            self.resume(waiter)

    async def sleep_async(self, seconds: float) -> None:
        """Wait so long, in a task."""
        await self._pass(seconds, drives=False)

    def timeout(self, seconds: float | None) -> VirtualTimeout:
        """As `asyncio.timeout`."""
        from phi_client.contract.clock.loops import VirtualTimeout  # asyncio

        return VirtualTimeout(self, seconds)

    def look_until(self, event: threading.Event) -> None:
        """Wait in a thread that is parked, until it is woken."""
        began, has_told = time.monotonic(), False
        while not event.wait(_LOOK_EVERY_S):
            self.settle()
            if not has_told and time.monotonic() - began > _PATIENCE_S:
                has_told = True
                logger.warning(
                    "virtual time stands still: %s", self.why_still() or "it is moved by hand alone"
                )

    # Moving it by hand.

    def advance(self, seconds: float) -> None:
        """Let so much time pass, moved by this thread; see `VirtualClock.advance`."""
        self._check(seconds)
        if runs_a_loop():
            raise ClockError(
                "this thread runs an event loop, whose tasks could not go on meanwhile: `await "
                "clock.advance_async(…)` instead"
            )
        event = threading.Event()
        waiter = Waiter(party(), event.set, drives=True)
        self.park(waiter, seconds)
        try:
            watch = _Watch(self)
            while not event.wait(0 if watch.is_new else _LOOK_EVERY_S):
                watch.look()
        finally:
            self.resume(waiter)

    async def advance_async(self, seconds: float) -> None:
        """As `advance`, in a task."""
        self._check(seconds)
        await self._pass(seconds, drives=True)

    async def _pass(self, seconds: float, *, drives: bool) -> None:
        import asyncio  # a sync client does without it

        if not seconds > 0 and not drives:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        passed: asyncio.Future[None] = loop.create_future()
        waiter = Waiter(
            party(), lambda: self.call_in(loop, lambda: _arrive(passed)), drives=drives, loop=loop
        )
        self.park(waiter, seconds)
        try:
            self.settle()
            watch = _Watch(self)
            while drives and not passed.done():
                await asyncio.wait((passed,), timeout=_LOOK_EVERY_S)
                watch.look()
            await passed
        finally:
            self.resume(waiter)

    def _check(self, seconds: float) -> None:
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock moves by a number of seconds that is not negative, not by {seconds}")
        if self.now() + seconds > _LONGEST_S:
            raise ValueError(f"a clock moves for {_LONGEST_S:.0f} s, a hundred years, and no further")

    # What is told of it.

    @property
    def next_s(self) -> float | None:
        """Seconds until the first waiter is due."""
        dues = self.dues()
        return dues[0] - self.now() if dues else None

    def described(self) -> str:
        """It in a few words."""
        still = self.why_still()
        return f"{self.now():g} s, {len(self.dues())} waiting{f', {still}' if still else ''}"


class VirtualHold:
    """Keeps whoever took it last at work, until it is dropped."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._by: object = None

    def take(self) -> None:
        """This thread or task is at work."""
        me = party()
        if me is not self._by:
            self._time.begin(me)
            self.drop()
            self._by = me

    def drop(self) -> None:
        """Nobody is any more."""
        by, self._by = self._by, None
        if by is not None:
            self._time.end(by)

    def __del__(self) -> None:
        # Whoever collects it may hold the lock.
        if self._by is not None:
            self._time.abandoned.append(self._by)


class _Watch:
    """Ends the patience of whoever moves the clock, where one works on and on."""

    def __init__(self, of: VirtualTime) -> None:
        self._of = of
        self._since, self._at = time.monotonic(), of.now()
        self.is_new = True
        """Whether it has not looked yet."""

    def look(self) -> None:
        """Move on, and raise where nothing has moved for long."""
        self.is_new = False
        self._of.settle()
        why, at = self._of.why_still(by_hand=True), self._of.now()
        if not why or at != self._at:
            self._since, self._at = time.monotonic(), at
        elif time.monotonic() - self._since > _PATIENCE_S:
            raise ClockError(
                f"the clock can't be moved: {why}, for {_PATIENCE_S:g} real seconds; move it where that ends without it"
            )


def _arrive(passed: asyncio.Future[None]) -> None:
    if not passed.done():
        passed.set_result(None)
