"""When virtual time moves: who is at work, who waits, and who goes on next.

It must not know what is waited for, nor wait itself. One waiter goes on at a time, until everything stands still again:

    a party parks ─► nobody works, nothing stirs ─► the first waiter is popped, its moment is now, and it is at work
                                                    before it knows: the clock can't run away from it

`_due` alone decides when that may be.
"""

from __future__ import annotations

import heapq
import math
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from phi_client.contract.clock.parties import Errand, Part, Turn, Waiter, is_gone, name_of
from phi_client.contract.clock.wires import Wires

if TYPE_CHECKING:
    import asyncio

    from phi_client.contract.clock.loops import LoopPart

__all__ = ["JumpingTime"]

_TURNS: Final = 3
"""Turns of an event loop in which what one task did reaches another: a future, its callback, the task."""
_MOST_PAST: Final = 256
"""Waiters that are kept although they wait no more."""


class JumpingTime:
    """Seconds that jump from waiter to waiter. Everything may be called from any thread."""

    def __init__(self, *, autojump: bool) -> None:
        self._lock = threading.Lock()
        self._now = 0.0
        self._autojump = autojump
        self._numbers = count()
        self._waiters: list[tuple[float, int, Waiter]] = []
        self._at_work: dict[object, int] = {}
        self.abandoned: deque[object] = deque()
        """Parties that are at work no more, for each time that they began to be; nobody could say so at once."""
        self._loops: dict[object, LoopPart] = {}
        self.wires = Wires(self, self._lock)
        self._parts: list[Part] = [self.wires]

    def now(self) -> float:
        """Seconds since it was made."""
        return self._now

    # Who is at work.

    def begin(self, one: object) -> None:
        """`one` is at work from here on; it may be so several times over."""
        with self._lock:
            self._more(one, 1)

    def end(self, one: object) -> None:
        """It is at work no more, as often as it began to be."""
        self.linger()
        with self._lock:
            self._less(one, 1)
        self.settle()

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

    # Who waits.

    def park(self, waiter: Waiter, seconds: float | None) -> None:
        """Let a party be at work no more, for so long at most, or until it is told. `resume` must follow."""
        self.linger()
        with self._lock:
            past = len(self._waiters) > _MOST_PAST and sum(one.is_past for _, _, one in self._waiters)
            if past > _MOST_PAST:
                self._waiters = [entry for entry in self._waiters if not entry[2].is_past]
                heapq.heapify(self._waiters)
            waiter.depth = self._at_work.pop(waiter.owner, 0)
            if seconds is not None and seconds < math.inf:
                heapq.heappush(self._waiters, (self._now + max(0.0, seconds), next(self._numbers), waiter))

    def tell(self, waiter: Waiter) -> None:
        """Let a waiter go on before its time."""
        with self._lock:
            if waiter.is_past:
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
        while self.abandoned:
            self._less(self.abandoned.popleft(), 1)
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

    def call_later(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        call: Callable[[], Any],
        *,
        moves: bool = False,
    ) -> Waiter:
        """Have `call` called in `loop` after so many seconds; `moves` is whether time jumps for its sake."""

        def due() -> None:
            try:
                if not waiter.is_over:
                    call()
            finally:
                self.resume(waiter)

        waiter = Waiter(Turn(loop), lambda: self.call_in(loop, due), moves=moves, loop=loop)
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
        from phi_client.contract.clock.loops import LoopPart  # asyncio

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

    def dues(self) -> list[float]:
        """When those are due for whose sake it moves, in its seconds."""
        with self._lock:
            return sorted(
                due for due, _, one in self._waiters if one.moves and not one.is_past and not one.drives
            )
