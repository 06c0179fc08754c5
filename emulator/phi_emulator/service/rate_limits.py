"""Limits of requests and tokens in any 60 seconds, and of requests at once. It must not know HTTP, dialects or engines.

A request reserves its prompt and its whole budget, as the service's own estimate does; when it ends, what it really
took replaces the reservation. One that is left before its end keeps it, and one that is refused counts for nothing.
The limits may differ from request to request: the windows stay. What comes in while there are none is not counted.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Literal

from phi_client.contract.clock.base import SYSTEM_CLOCK

__all__ = ["Admission", "Deployments", "LimitExceededError", "Limits", "RateLimits"]

WINDOW_S: Final = 60.0
MOST_DEPLOYMENTS: Final = 5000  # names are the callers' own, so their number must have an end


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a deployment may take; `None` is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None


class LimitExceededError(Exception):
    """There is no room now; `retry_after_s` is when there may be, `remaining_requests` what else is left."""

    def __init__(
        self,
        limit: Literal["requests", "tokens", "concurrency"],
        retry_after_s: int,
        remaining_requests: int | None,
    ) -> None:
        super().__init__(f"the limit of {limit} is reached; there may be room in {retry_after_s} s")
        self.limit: Literal["requests", "tokens", "concurrency"] = limit
        self.retry_after_s = retry_after_s
        self.remaining_requests = remaining_requests


@dataclass(slots=True, eq=False)
class Admission:
    """A request that was let in: when, and how many tokens it counts for."""

    at: float
    tokens: int
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    is_running: bool = True
    is_recent: bool = True


class RateLimits:
    """The state of one deployment. Used from one event loop, so it needs no lock."""

    def __init__(self, *, now: Callable[[], float] = SYSTEM_CLOCK.now) -> None:
        self._now = now
        self._recent: deque[Admission] = deque()
        self._used = 0
        self._running = 0

    def admit(self, limits: Limits, tokens: int) -> Admission:
        """Let a request in that may take `tokens`, if `limits` have room for it.

        Raises:
            LimitExceededError: a limit is reached.
        """
        now = self._now()
        if limits == Limits():
            return Admission(now, tokens, is_running=False, is_recent=False)
        self._forget(now)
        left = _left(limits.requests_per_minute, len(self._recent))
        if limits.max_concurrent is not None and self._running >= limits.max_concurrent:
            raise LimitExceededError("concurrency", 1, left)
        if limits.requests_per_minute is not None and left == 0:
            oldest = self._recent[len(self._recent) - limits.requests_per_minute]
            raise LimitExceededError("requests", _wait_s(oldest, now), 0)
        # One request larger than the whole limit is let in alone, or it never would be.
        limit = limits.tokens_per_minute
        if limit is not None and self._used and self._used + tokens > limit:
            raise LimitExceededError("tokens", _wait_s(self._enough(self._used + tokens - limit), now), left)
        admission = Admission(now, tokens)
        self._recent.append(admission)
        self._used += tokens
        self._running += 1
        admission.remaining_requests = _left(limits.requests_per_minute, len(self._recent))
        admission.remaining_tokens = _left(limit, self._used)
        return admission

    def settle(self, admission: Admission, tokens: int | None) -> None:
        """The request has ended, having taken `tokens`; `None` leaves what it reserved. Repeating it does no harm."""
        if not admission.is_running:
            return
        admission.is_running = False
        self._running -= 1
        if tokens is not None:
            if admission.is_recent:
                self._used += tokens - admission.tokens
            admission.tokens = tokens

    def withdraw(self, admission: Admission) -> None:
        """The request was refused after all: it counts for nothing. Does no harm after its end."""
        if not admission.is_running:
            return
        self.settle(admission, 0)
        if admission.is_recent:
            admission.is_recent = False
            self._recent.remove(admission)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing counts any more."""
        self._forget(self._now())
        return not self._running and not self._recent

    def _forget(self, now: float) -> None:
        """Let go of what is older than the window."""
        while self._recent and self._recent[0].at <= now - WINDOW_S:
            oldest = self._recent.popleft()
            oldest.is_recent = False
            self._used -= oldest.tokens

    def _enough(self, tokens: int) -> Admission:
        """The admission whose leaving the window makes room for so many more tokens."""
        for admission in self._recent:
            tokens -= admission.tokens
            if tokens <= 0:
                return admission
        return self._recent[-1]


class Deployments:
    """The state of each deployment, by any name, for each scope apart.

    When all places are taken by busy ones, newcomers share one.
    """

    def __init__(self, *, now: Callable[[], float] = SYSTEM_CLOCK.now) -> None:
        self._now = now
        self._by_name: dict[tuple[str, Hashable], RateLimits] = {}
        self._shared = RateLimits(now=now)
        self._lock = threading.Lock()

    def of(self, name: Hashable, scope: str = "") -> RateLimits:
        """The state of the deployment of that name in a scope."""
        with self._lock:
            found = self._by_name.get((scope, name))
            if found is None:
                if len(self._by_name) >= MOST_DEPLOYMENTS:
                    self._by_name = {
                        name: state for name, state in self._by_name.items() if not state.is_idle
                    }
                if len(self._by_name) >= MOST_DEPLOYMENTS:
                    return self._shared
                found = self._by_name[scope, name] = RateLimits(now=self._now)
            return found

    def reset(self, *, scope: str | None = None) -> None:
        """Forget what was counted in a scope, or in all. What still runs counts for nothing any more."""
        with self._lock:
            if scope is None:
                self._shared = RateLimits(now=self._now)
            self._by_name = {
                name: state for name, state in self._by_name.items() if scope not in (None, name[0])
            }


def _wait_s(admission: Admission, now: float) -> int:
    return max(1, math.ceil(admission.at + WINDOW_S - now))


def _left(limit: int | None, used: int) -> int | None:
    """What is left of a limit: nothing, and not less, beside a request that is larger than all of it."""
    return None if limit is None else max(0, limit - used)
