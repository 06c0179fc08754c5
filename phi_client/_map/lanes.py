"""The endpoints of a `map`, each with a pace of its own: which one an item starts at, and for how long none has room.

It must not send anything, and must not decide where a call goes on: that is the call's own.
"""

import math
from collections.abc import Mapping
from typing import Final

from phi_client._map.pacing import Pacer, Ticket, is_refusal
from phi_client.contract.clock.base import Clock

__all__ = ["Lanes", "Place"]


class Lanes:
    """A pacer for each endpoint, in the order in which a call asks them; `ceiling` is the most at once at each."""

    def __init__(self, count: int, ceiling: int, clock: Clock) -> None:
        self.pacers: Final = [Pacer(ceiling, clock) for _ in range(count)]

    def find(self, tokens: float) -> tuple[int, float]:
        """Where a request of `tokens` goes, and how long it has to wait before that.

        It is the first endpoint that need not wait, or else the one that is free first. One that is full because it
        still learns how many it takes, and has refused nothing, is waited for: those behind it stand in for it when
        it says no, and are no way around it.
        """
        best, shortest = 0, math.inf
        for lane, pacer in enumerate(self.pacers):
            wait_s = pacer.wait_s(tokens)
            if wait_s <= 0:
                return lane, 0.0
            if wait_s < shortest:
                best, shortest = lane, wait_s
            if wait_s == math.inf and pacer.is_growing:
                break
        return best, shortest


class Place:
    """The place that one request takes: at one endpoint at a time, moved when the call goes on to another."""

    def __init__(self, lanes: Lanes, lane: int, tokens: float) -> None:
        self.lane = lane
        self.refused_by: set[int] = set()
        """The endpoints whose last word to this request was that they have no room."""
        self._lanes = lanes
        self._tokens = tokens
        self._ticket: Ticket = lanes.pacers[lane].start(tokens)

    def move(self, lane: int) -> None:
        """Take the place at `lane` from here on."""
        if lane == self.lane:
            return
        self.end(0.0 if self.lane in self.refused_by else None)
        self.lane = lane
        self._ticket = self._pacer.start(self._tokens)

    def observe(self, headers: Mapping[str, str], error: BaseException | None) -> None:
        """Learn from what an attempt came to."""
        if is_refusal(error):
            self.refused_by.add(self.lane)
        else:
            self.refused_by.discard(self.lane)
        self._pacer.observe(self._ticket, headers, error)

    def repeat(self, wait_s: float) -> None:
        """Note that the request goes out again after `wait_s`."""
        self._pacer.repeat(self._ticket, wait_s)

    def end(self, tokens: float | None) -> None:
        """Give the place back; `tokens` is what the request took, `None` where that is not known."""
        self._pacer.end(self._ticket, tokens)

    def hold_back(self, seconds: float) -> None:
        """Let nothing start at the endpoints that refused this request, for so long."""
        for lane in self.refused_by:
            self._lanes.pacers[lane].pause(seconds)

    @property
    def _pacer(self) -> Pacer:
        return self._lanes.pacers[self.lane]
