"""Connections between a client and an emulator that go by one virtual clock: what is on its way holds the time.

It must not know HTTP, nor touch a socket. Both ends count bytes, so a wire knows of each that has left and has not
arrived. A client that waits for bytes is at work while some are on their way, and parked while the emulator has sent
none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from phi_client.contract.clock.parties import Time, Waiter, party

__all__ = ["Wire", "Wires"]


class Wire:
    """One connection, as both of its ends see it."""

    def __init__(self, wires: Wires, key: tuple[Any, ...]) -> None:
        self._wires = wires
        self.key = key
        self.is_dialled = False
        """Whether a client of this clock is at its one end."""
        self.is_served = False
        """Whether an emulator of this clock is at the other."""
        self.is_awaited = False
        """Whether the client waits for bytes."""
        self.is_left = False
        """Whether the client has closed."""
        self.is_ending = False
        """Whether either end has begun to close, so that the client will learn of an end."""
        self.is_lost = False
        """Whether the emulator has seen its end."""
        self.is_stuck = False
        """Whether the emulator can't send before the client reads."""
        self.is_deaf = False
        """Whether the emulator reads nothing for now."""
        self.up = 0
        """Bytes on their way to the emulator."""
        self.down = 0
        """Bytes on their way to the client."""

    # The client's end.

    @contextmanager
    def awaited(self, limit_s: float | None, run_out: Callable[[], None]) -> Generator[None]:
        """While it is entered, the client waits for bytes; `run_out` is called when it has done so for `limit_s`."""
        time = self._wires.time
        waiter = Waiter(party(), run_out)
        self.is_awaited = True
        time.park(waiter, limit_s)
        time.settle()
        try:
            yield
        finally:
            time.resume(waiter)
            self.is_awaited = False

    def sent(self, size: int) -> None:
        """The client has sent."""
        with self._wires.lock:
            self.up += size

    def received(self, size: int) -> None:
        """The client has received."""
        with self._wires.lock:
            self.down -= size

    def cut(self) -> None:
        """Whoever waits for bytes will learn of an end."""
        self.is_ending = True

    def leave(self) -> None:
        """The client has closed."""
        self.is_left = True
        self._wires.let_go(self)

    # The emulator's end.

    def gives(self, size: int) -> None:
        """The emulator is about to send."""
        with self._wires.lock:
            self.down += size

    def took(self, size: int) -> None:
        """The emulator has received."""
        with self._wires.lock:
            self.up -= size

    def ends(self) -> None:
        """The emulator begins to close."""
        self.is_ending = True

    def lose(self) -> None:
        """The emulator has seen the end."""
        self.is_ending = self.is_lost = True
        self._wires.let_go(self)

    # What both come to.

    def stirs(self, *, by_hand: bool) -> str:
        """What is on its way, in words."""
        if self.is_awaited and not self.is_served:
            return "" if by_hand else "a client waits for a server that does not go by this clock"
        if self.is_awaited and (self.down > 0 or self.is_stuck or self.is_ending):
            return "an answer is on its way"
        if self.is_dialled and self.is_served and not self.is_lost and not self.is_deaf:
            return "a request is on its way" if self.up > 0 or self.is_left else ""
        return ""


class Wires:
    """All wires of one clock: one of its parts."""

    def __init__(self, time: Time, lock: threading.Lock) -> None:
        self.time = time
        self.lock = lock
        self._open: dict[tuple[Any, ...], Wire] = {}

    def dialled(self, here: Any, there: Any) -> Wire:
        """A client's end, by the addresses of its socket."""
        wire = self._wire(here, there)
        wire.is_dialled = True
        return wire

    def served(self, here: Any, there: Any) -> Wire:
        """An emulator's end, by the addresses of its socket."""
        wire = self._wire(there, here)
        wire.is_served = True
        return wire

    def let_go(self, wire: Wire) -> None:
        """Forget a wire that both ends have left, or that had one end alone."""
        with self.lock:
            is_over = (wire.is_left or not wire.is_dialled) and (wire.is_lost or not wire.is_served)
            if is_over and self._open.get(wire.key) is wire:
                del self._open[wire.key]
        self.time.settle()

    def stirs(self, *, by_hand: bool) -> str:
        """As a part does."""
        return next(filter(None, (wire.stirs(by_hand=by_hand) for wire in self._open.values())), "")

    def _wire(self, client: Any, server: Any) -> Wire:
        key = (*client[:2], *server[:2])
        with self.lock:
            wire = self._open.get(key)
            if wire is None or wire.is_left or wire.is_lost:
                wire = self._open[key] = Wire(self, key)
            return wire
