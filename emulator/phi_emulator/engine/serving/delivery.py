"""Carries what the engine gives to the event loops that wait for it, many pieces at a time where steps are short.

Knows threads and asyncio; must not know engines, or what it carries.

Waking an event loop hands the interpreter lock over, and the next step waits until it comes back: for several times as
long as the loop has work. So what comes shortly after a delivery is fetched by the loop itself, a tick later. A step
that takes longer than a tick finds nothing planned, and wakes the loop at once.

    post(urgent, or nothing planned) ──wakes──► _deliver() ──gave something──► planned: again a tick later
    post(else)                       ──waits──►     ▲      ──gave nothing────► nothing planned
                                                    └── the tick is over
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["Deliveries", "Delivery"]

logger = logging.getLogger("phi_emulator.engine")

T = TypeVar("T")

TICK_S: Final = 0.004
"""What a piece may wait for others. asyncio rounds it up by a millisecond at most."""


class Delivery:
    """What is on its way to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: list[tuple[Callable[[Any], object], Any]] = []
        self._is_planned = False
        self._tick: asyncio.TimerHandle | None = None

    def post(self, receive: Callable[[T], object], item: T, *, urgent: bool) -> None:
        """Have `receive(item)` called in the event loop, from any thread: within a tick, or at once if it is `urgent`.

        Everything is received in the order in which it was posted.
        """
        with self._lock:
            self._waiting.append((receive, item))
            if self._is_planned and not urgent:
                return
            self._is_planned = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop has closed: nobody is listening any more
            logger.debug("an event loop has closed that something was meant for")

    def _deliver(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._is_planned = bool(waiting)
        if self._tick is not None:
            self._tick.cancel()
        self._tick = self._loop.call_later(TICK_S, self._deliver) if waiting else None
        for receive, item in waiting:
            receive(item)


class Deliveries:
    """One `Delivery` for each event loop."""

    def __init__(self) -> None:
        self._of_loops: dict[asyncio.AbstractEventLoop, Delivery] = {}

    def here(self) -> Delivery:
        """The one to the running event loop. Not for two threads at a time."""
        loop = asyncio.get_running_loop()
        if loop not in self._of_loops:
            still_open = {one: delivery for one, delivery in self._of_loops.items() if not one.is_closed()}
            self._of_loops = {**still_open, loop: Delivery(loop)}
        return self._of_loops[loop]
