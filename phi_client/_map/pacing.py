"""How many requests run at once at one endpoint, and when the next may start, learned from what that endpoint says.

It must not send anything, and must not know what is asked, nor other endpoints. Safe to use from threads; time is a
parameter.

Two things hold a request back. The number at once grows by one with each answer until the first refusal, is halved
by a refusal, and then grows by one for each round. Only answers make it grow: an error or a time-out says nothing of
how many a service takes. And where answers carry `x-ratelimit-*` headers, a request waits
until the last 60 seconds have room for it, so that the limit is not met in the first place: what the service counts
beyond our own requests is taken to be other callers', for the 60 seconds in which it counts.
"""

import heapq
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from phi_client._call.errors import APIStatusError, ModelError
from phi_client._call.interruptions import ReasoningTruncatedError
from phi_client._call.retrying import LONGEST_ASKED_WAIT_S
from phi_client.contract.clock.base import Clock
from phi_client.contract.wire import get_header

__all__ = ["Pacer", "Ticket", "is_rate_limit", "is_refusal"]

FIRST_CONCURRENCY: Final = 4
WINDOW_S: Final = 60.0
_RATE_LIMITED: Final = 429
_UNAVAILABLE: Final = 503
_Kind = Literal["requests", "tokens"]
_KINDS: Final[tuple[_Kind, ...]] = ("requests", "tokens")


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that was let go: its number, when it counted, and its tokens, reserved at first and then used."""

    number: int
    at: float
    tokens: float
    own_before: Mapping[_Kind, float]
    """What the requests before it and itself came to in its window."""
    is_recent: bool = True

    def cost(self, kind: _Kind) -> float:
        """What it takes of a limit."""
        return 1.0 if kind == "requests" else self.tokens


@dataclass(slots=True)
class _Quota:
    """What is known of one limit."""

    limit: float = math.inf
    others: float = 0.0
    learned_at: float = 0.0
    learned_from: int = -1


def is_rate_limit(error: BaseException | None) -> bool:
    """Whether a service refused for its rate limit, be it inside another status."""
    return _status_of(error) == _RATE_LIMITED


def is_refusal(error: BaseException | None) -> bool:
    """Whether a service had no place for a request."""
    return _status_of(error) in (_RATE_LIMITED, _UNAVAILABLE)


class Pacer:
    """Learns from each answer; `ceiling` is the most at once."""

    def __init__(self, ceiling: int, clock: Clock) -> None:
        self._ceiling = ceiling
        self._now = clock.now
        self._lock = threading.Lock()
        self._concurrency = float(min(ceiling, FIRST_CONCURRENCY))
        self._running = 0
        self._is_doubling = True
        self._paused_until = -math.inf
        self._last_number = -1
        self._slowed_at = -1
        # By the time at which they count. One that was repeated is in it twice; its own time tells which is meant.
        self._tickets: list[tuple[float, int, Ticket]] = []
        self._used: dict[_Kind, float] = dict.fromkeys(_KINDS, 0.0)
        self._quotas: dict[_Kind, _Quota] = {kind: _Quota() for kind in _KINDS}

    @property
    def concurrency(self) -> int:
        """The most at once by now."""
        return int(self._concurrency)

    @property
    def is_growing(self) -> bool:
        """True until the first refusal: how many it takes is not known yet."""
        return self._is_doubling

    @property
    def running(self) -> int:
        """How many are out."""
        return self._running

    def wait_s(self, tokens: float) -> float:
        """Seconds until a request of `tokens` may start; infinite while as many run as may."""
        with self._lock:
            if self._running >= int(self._concurrency):
                return math.inf
            now = self._now()
            self._forget(now)
            waits = (self._room_in_s(kind, 1.0 if kind == "requests" else tokens, now) for kind in _KINDS)
            return max(0.0, self._paused_until - now, *waits)

    def start(self, tokens: float) -> Ticket:
        """Let a request go that may take `tokens`."""
        with self._lock:
            now = self._now()
            self._forget(now)
            self._last_number += 1
            self._running += 1
            ticket = Ticket(self._last_number, now, tokens, {})
            heapq.heappush(self._tickets, (ticket.at, ticket.number, ticket))
            for kind in _KINDS:
                self._used[kind] += ticket.cost(kind)
            ticket.own_before = dict(self._used)
            return ticket

    def observe(self, ticket: Ticket, headers: Mapping[str, str], error: BaseException | None) -> None:
        """Learn from what an attempt for `ticket` came to: its headers, and its error if it was no answer."""
        with self._lock:
            for kind in _KINDS:
                self._learn(kind, ticket, headers)
            if is_refusal(error):
                self._slow_down(ticket)
                self._pause(getattr(error, "retry_after", None) or 0.0)
            elif error is None or isinstance(error, ReasoningTruncatedError):
                self._grow(ticket)

    def repeat(self, ticket: Ticket, wait_s: float) -> None:
        """Note that the request goes out again after `wait_s`, and counts from then."""
        with self._lock:
            at = self._now() + wait_s
            if ticket.is_recent and at != ticket.at:
                ticket.at = at
                heapq.heappush(self._tickets, (ticket.at, ticket.number, ticket))

    def end(self, ticket: Ticket, tokens: float | None) -> None:
        """Note that the request is over, and what it really took; `None` leaves what it reserved."""
        with self._lock:
            self._running -= 1
            if tokens is not None:
                if ticket.is_recent:
                    self._used["tokens"] += tokens - ticket.tokens
                ticket.tokens = tokens

    def pause(self, seconds: float) -> None:
        """Let nothing start for so long."""
        with self._lock:
            self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, self._now() + min(seconds, LONGEST_ASKED_WAIT_S))

    def _grow(self, ticket: Ticket) -> None:
        if ticket.number > self._slowed_at:
            step = 1.0 if self._is_doubling else 1.0 / self._concurrency
            self._concurrency = min(float(self._ceiling), self._concurrency + step)

    def _slow_down(self, ticket: Ticket) -> None:
        self._is_doubling = False
        # Refusals of requests that were already out say nothing new.
        if ticket.number > self._slowed_at:
            self._slowed_at = self._last_number
            self._concurrency = max(1.0, self._concurrency / 2)

    def _learn(self, kind: _Kind, ticket: Ticket, headers: Mapping[str, str]) -> None:
        quota = self._quotas[kind]
        limit = _number(get_header(headers, f"x-ratelimit-limit-{kind}"))
        remaining = _number(get_header(headers, f"x-ratelimit-remaining-{kind}"))
        if remaining is None or ticket.number < quota.learned_from:
            return
        own = ticket.own_before[kind]
        if limit is None or limit <= 0:
            # Without a limit beside it, 0 or -1 was seen as a word for nothing.
            if remaining <= 0:
                return
            limit = max(quota.limit, own + remaining) if quota.limit < math.inf else own + remaining
        quota.limit = limit
        quota.others = max(0.0, limit - max(0.0, remaining) - own)
        quota.learned_at = self._now()
        quota.learned_from = ticket.number

    def _room_in_s(self, kind: _Kind, cost: float, now: float) -> float:
        quota = self._quotas[kind]
        if quota.limit == math.inf:
            return 0.0
        # One that is larger than the whole limit must go alone, or it never would.
        used, wanted = self._used[kind], min(cost, quota.limit)
        others = quota.others if quota.learned_at + WINDOW_S > now else 0.0
        if used + others + wanted <= quota.limit:
            return 0.0
        for at, freed in sorted(self._releases(kind, quota, others)):
            used -= freed
            if used + others + wanted <= quota.limit:
                return max(0.0, at - now)
        return 0.0

    def _releases(self, kind: _Kind, quota: _Quota, others: float) -> Iterator[tuple[float, float]]:
        """When what leaves the window."""
        yield quota.learned_at + WINDOW_S, others
        for at, _, ticket in self._tickets:
            if at == ticket.at:
                yield at + WINDOW_S, ticket.cost(kind)

    def _forget(self, now: float) -> None:
        """Let go of what is older than the window."""
        while self._tickets and self._tickets[0][0] <= now - WINDOW_S:
            at, _, ticket = heapq.heappop(self._tickets)
            if at == ticket.at:
                ticket.is_recent = False
                for kind in _KINDS:
                    self._used[kind] -= ticket.cost(kind)


def _status_of(error: BaseException | None) -> int | None:
    """The status that counts: a container's own, where the front door wraps it."""
    if isinstance(error, ModelError) and error.inner_status is not None:
        return error.inner_status
    return error.status_code if isinstance(error, APIStatusError) else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
