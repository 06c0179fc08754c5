"""Time that moves when all who go by it wait.

It must not know clients, emulators or HTTP. Those who go by it are

    parties   threads, tasks and errands, which are at work or wait on the clock
    parts     event loops and wires, which say themselves whether something stirs in them

    a party parks ─► nobody works, nothing stirs ─► the first waiter is popped, its moment is now, and it is at work
                                                    before it knows: the clock can't run away from it

One waiter goes on at a time, until everything stands still again. `_due` alone decides when.
"""

from __future__ import annotations

import heapq
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from phi_client.contract.clock.parties import Errand, Part, Turn, Waiter, is_gone, name_of, party
from phi_client.contract.clock.wires import Wires

if TYPE_CHECKING:
    import asyncio

    from phi_client.contract.clock.loops import LoopPart, VirtualTimeout

__all__ = ["ClockError", "VirtualHold", "VirtualTime"]

logger = logging.getLogger("phi_client.clock")

_LOOK_EVERY_S: Final = 0.05
"""How often a thread that waits looks for parties that are gone without a word. No order depends on it."""
_PATIENCE_S: Final = 10.0
"""Real seconds that `advance` waits for one at work, and after which a log says why the clock stands still."""
_TURNS: Final = 3
"""Turns of an event loop in which what one task did reaches another: a future, its callback, the task."""


_MOST_PAST: Final = 256
"""Waiters that are kept although they wait no more."""


class ClockError(RuntimeError):
    """A virtual clock can't be moved now; the message says why, and what to do."""


class VirtualTime:
    """The time of one `VirtualClock`, and who goes by it. Everything may be called from any thread."""

    def __init__(self, start_unix: float, *, autojump: bool) -> None:
        self._lock = threading.Lock()
        self._now = 0.0
        self._start_unix = start_unix
        self._autojump = autojump
        self._numbers = count()
        self._waiters: list[tuple[float, int, Waiter]] = []
        self._at_work: dict[object, int] = {}
        self._loops: dict[object, LoopPart] = {}
        self.wires = Wires(self, self._lock)
        self._parts: list[Part] = [self.wires]

    def now(self) -> float:
        """Seconds since it was made."""
        return self._now

    def unix(self) -> float:
        """Seconds since 1970."""
        return self._start_unix + self._now

    # Who is at work.

    @contextmanager
    def at_work(self, errand: Errand | None = None) -> Iterator[None]:
        """While it is entered, time waits for the errand, or for this thread or task."""
        me = errand or party()
        self.begin(me)
        try:
            yield
        finally:
            self.end(me)

    def begin(self, one: object) -> None:
        """`one` is at work from here on; it may be so several times over."""
        with self._lock:
            self._at_work[one] = self._at_work.get(one, 0) + 1

    def end(self, one: object) -> None:
        """It is at work no more, as often as it began to be."""
        self.linger()
        with self._lock:
            self._less(one, 1)
        self.settle()

    def hold(self) -> VirtualHold:
        """What keeps whoever used it last at work: for a stream, whose reader works between two reads."""
        return VirtualHold(self)

    def linger(self) -> None:
        """Let all tasks of the running loop that can go on do so before time moves."""
        asyncio = sys.modules.get("asyncio")
        if asyncio is None:
            return
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            if loop not in self._loops:
                self._linger(loop, Turn(loop), _TURNS)

    def _linger(self, loop: asyncio.AbstractEventLoop, turn: Turn, left: int) -> None:
        if left == _TURNS:
            self.begin(turn)
        if left:
            loop.call_soon(self._linger, loop, turn, left - 1)
            return
        with self._lock:
            self._less(turn, 1)
        self.settle()

    @contextmanager
    def exchange(self, *, is_strange: bool) -> Iterator[None]:
        """An emulator's exchange, in whose context all that it starts runs.

        Time does not jump while one with a strange client is under way: that waits too, nobody knows how long.
        """
        errand = Errand("an exchange", holds_hand=False)
        stranger = Errand("an exchange with a client that does not go by this clock", holds_hand=False)
        with errand.running(), self.at_work(errand), self.at_work(stranger) if is_strange else nullcontext():
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While it is entered, whoever runs here waits for one whose turn it is."""
        waiter = Waiter(party(), lambda: None)
        self.park(waiter, None)
        try:
            yield
        finally:
            self.resume(waiter)

    # Who waits.

    def sleep(self, seconds: float) -> None:
        """Wait so long, in a thread."""
        if not seconds > 0:
            return
        event = threading.Event()
        waiter = Waiter(party(), event.set)
        self.park(waiter, seconds)
        try:
            self.look_until(event)
        finally:
            self.resume(waiter)

    async def sleep_async(self, seconds: float) -> None:
        """Wait so long, in a task."""
        await self._pass(seconds, drives=False)

    def advance(self, seconds: float) -> None:
        """Let so much time pass, moved by this thread; see `VirtualClock.advance`."""
        seconds = _checked(seconds)
        if _runs_a_loop():
            raise ClockError(
                "this thread runs an event loop, whose tasks could not go on meanwhile: `await "
                "clock.advance_async(…)` instead"
            )
        event = threading.Event()
        waiter = Waiter(party(), event.set, drives=True)
        self.park(waiter, seconds)
        try:
            watch = _Watch(self)
            self.settle()
            while not event.wait(_LOOK_EVERY_S):
                watch.look()
        finally:
            self.resume(waiter)

    async def advance_async(self, seconds: float) -> None:
        """As `advance`, in a task."""
        await self._pass(_checked(seconds), drives=True)

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

    def park(self, waiter: Waiter, seconds: float | None) -> None:
        """Let a party be at work no more, for so long at most, or until it is told. `resume` must follow."""
        self.linger()
        with self._lock:
            if (
                len(self._waiters) > _MOST_PAST
                and sum(one.is_past for _, _, one in self._waiters) > _MOST_PAST
            ):
                self._waiters = [entry for entry in self._waiters if not entry[2].is_past]
                heapq.heapify(self._waiters)
            waiter.depth = self._at_work.pop(waiter.owner, 0)
            if seconds is not None and seconds < math.inf:
                heapq.heappush(self._waiters, (self._now + max(0.0, seconds), next(self._numbers), waiter))

    def tell(self, waiter: Waiter) -> None:
        """Let a waiter go on before its time."""
        with self._lock:
            if waiter.is_woken or waiter.is_over:
                return
            self._wake(waiter)
        waiter.wake()

    def resume(self, waiter: Waiter) -> None:
        """The waiter has gone on, for whatever reason: it is at work as it was before."""
        if waiter.is_woken and not waiter.depth:
            self.linger()
        with self._lock:
            waiter.is_over = True
            if not waiter.is_woken:
                self._more(waiter.owner, waiter.depth)
            elif not waiter.depth:
                self._less(waiter.owner, 1)
        self.settle()

    def look_until(self, event: threading.Event) -> None:
        """Wait in a thread that is parked, until it is woken."""
        self.settle()
        began, has_told = time.monotonic(), False
        while not event.wait(_LOOK_EVERY_S):
            self.settle()
            if not has_told and time.monotonic() - began > _PATIENCE_S:
                has_told = True
                logger.warning(
                    "virtual time stands still: %s", self.why_still() or "it is moved by hand alone"
                )

    # What moves it.

    def settle(self) -> None:
        """Let go on who may."""
        while True:
            with self._lock:
                waiter = self._due()
            if waiter is None:
                return
            waiter.wake()

    def why_still(self, *, by_hand: bool = False) -> str:
        """What keeps the time from moving, in words; nothing where nothing does."""
        with self._lock:
            return self._stirs(by_hand=by_hand)

    def _due(self) -> Waiter | None:
        """The first waiter, made to go on, if nothing stirs; with the lock held."""
        waiters = self._waiters
        while waiters and waiters[0][2].is_past:
            heapq.heappop(waiters)
        if not waiters or self._stirs(by_hand=True):
            return None
        left = [waiter for _, _, waiter in waiters if not waiter.is_past]
        if not any(one.drives for one in left) and (
            not self._autojump or not any(one.moves for one in left) or self._stirs(by_hand=False)
        ):
            return None
        due, _, first = heapq.heappop(waiters)
        self._now = max(self._now, due)
        first.is_due = True
        self._wake(first)
        return first

    def _stirs(self, *, by_hand: bool) -> str:
        for one in [one for one in self._at_work if is_gone(one)]:
            del self._at_work[one]
        for one in self._at_work:
            if not (by_hand and isinstance(one, Errand) and not one.holds_hand):
                return f"{name_of(one)} is at work"
        return next(filter(None, (part.stirs(by_hand=by_hand) for part in self._parts)), "")

    def _wake(self, waiter: Waiter) -> None:
        """Its owner is at work again, and the loop in which it will learn that has something to do."""
        waiter.is_woken = True
        self._more(waiter.owner, max(1, waiter.depth))
        if waiter.loop in self._loops:
            self._loops[waiter.loop].coming += 1

    def _more(self, one: object, depth: int) -> None:
        if depth:
            self._at_work[one] = self._at_work.get(one, 0) + depth

    def _less(self, one: object, depth: int) -> None:
        left = self._at_work.pop(one, 0) - depth
        if left > 0:
            self._at_work[one] = left

    # Event loops.

    def timeout(self, seconds: float | None) -> VirtualTimeout:
        """As `asyncio.timeout`."""
        from phi_client.contract.clock.loops import VirtualTimeout  # asyncio

        return VirtualTimeout(self, seconds)

    def call_later(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        call: Callable[[], Any],
        *,
        moves: bool = False,
    ) -> Waiter:
        """Have `call` called in `loop` after so many seconds; `moves` is whether time jumps for its sake."""
        turn = Turn(loop)

        def wake() -> None:
            self.call_in(loop, due)

        def due() -> None:
            try:
                if not waiter.is_over:
                    call()
            finally:
                self.resume(waiter)

        waiter = Waiter(turn, wake, moves=moves, loop=loop)
        self.park(waiter, seconds)
        self.settle()
        return waiter

    def call_in(self, loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> None:
        """Have a woken waiter's `call` called in its loop, from any thread."""

        def run() -> None:
            try:
                call()
            finally:
                self._arrived(loop)

        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:  # it has closed: whoever waited in it is gone
            self._arrived(loop)

    def _arrived(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if loop in self._loops:
                self._loops[loop].coming -= 1

    def watch(self, loop: asyncio.AbstractEventLoop) -> LoopPart:
        """Have a loop go by this time, which tells the part that is returned when it has nothing to do."""
        from phi_client.contract.clock.loops import LoopPart  # as above

        with self._lock:
            part = self._loops[loop] = LoopPart(self, self._lock)
            self._parts.append(part)
        return part

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        """It has ended."""
        with self._lock:
            part = self._loops.pop(loop, None)
            if part is not None:
                self._parts.remove(part)
        self.settle()

    # What is told of it.

    @property
    def next_s(self) -> float | None:
        """Seconds until the first waiter is due."""
        with self._lock:
            dues = [due for due, _, waiter in self._waiters if not waiter.is_past and not waiter.drives]
        return min(dues) - self._now if dues else None

    @property
    def waiting(self) -> int:
        """How many wait for a certain time."""
        with self._lock:
            return sum(not waiter.is_past and not waiter.drives for _, _, waiter in self._waiters)

    def described(self) -> str:
        """It in a few words."""
        still = self.why_still()
        return f"{self._now:g} s, {self.waiting} waiting{f', {still}' if still else ''}"


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
        if getattr(self, "_by", None) is not None:
            self.drop()


class _Watch:
    """Ends the patience of whoever moves the clock, where one works on and on."""

    def __init__(self, of: VirtualTime) -> None:
        self._of = of
        self._since, self._at = time.monotonic(), of.now()

    def look(self) -> None:
        """Raise where nothing has moved for long."""
        self._of.settle()
        why, at = self._of.why_still(by_hand=True), self._of.now()
        if not why or at != self._at:
            self._since, self._at = time.monotonic(), at
        elif time.monotonic() - self._since > _PATIENCE_S:
            raise ClockError(
                f"the clock can't be moved: {why}, for {_PATIENCE_S:g} real seconds; move it where that ends without it"
            )


def _checked(seconds: float) -> float:
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a clock moves by a number of seconds that is not negative, not by {seconds}")
    return seconds


def _runs_a_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _arrive(passed: asyncio.Future[None]) -> None:
    if not passed.done():
        passed.set_result(None)
