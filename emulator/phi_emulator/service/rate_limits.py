"""Limits of requests and tokens in any 60 seconds, and of requests at once. It must not know HTTP, dialects or engines.

A request reserves its prompt and its whole budget, as the service's own estimate does; when it ends, what it really
took replaces the reservation.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["Admission", "LimitExceededError", "Limits", "RateLimits"]

WINDOW_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a deployment may take; `None` is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None


class LimitExceededError(Exception):
    """There is no room now; `retry_after_s` is when there may be."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"no room for {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Admission:
    """A request that was let in: when, and how many tokens it counts for."""

    at: float
    tokens: int
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    is_running: bool = True


class RateLimits:
    """The state of one deployment. Used from one event loop, so it needs no lock."""

    def __init__(self, limits: Limits, *, now: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._now = now
        self._recent: deque[Admission] = deque()
        self._running = 0

    def admit(self, tokens: int) -> Admission:
        """Let a request in that may take `tokens`.

        Raises:
            LimitExceededError: a limit is reached.
        """
        limits, now = self.limits, self._now()
        while self._recent and self._recent[0].at <= now - WINDOW_S:
            self._recent.popleft()
        if limits.max_concurrent is not None and self._running >= limits.max_concurrent:
            raise LimitExceededError(1)
        if limits.requests_per_minute is not None and len(self._recent) >= limits.requests_per_minute:
            oldest = self._recent[len(self._recent) - limits.requests_per_minute]
            raise LimitExceededError(_wait_s(oldest, now))
        used = sum(admission.tokens for admission in self._recent)
        # One request larger than the whole limit is let in alone, or it never would be.
        if limits.tokens_per_minute is not None and used and used + tokens > limits.tokens_per_minute:
            raise LimitExceededError(_wait_s(self._enough(used + tokens - limits.tokens_per_minute), now))
        admission = Admission(now, tokens)
        self._recent.append(admission)
        self._running += 1
        admission.remaining_requests = _left(limits.requests_per_minute, len(self._recent))
        admission.remaining_tokens = _left(limits.tokens_per_minute, used + tokens)
        return admission

    def settle(self, admission: Admission, tokens: int | None) -> None:
        """The request has ended, having taken `tokens`; `None` leaves what it reserved. Repeating it does no harm."""
        if admission.is_running:
            admission.is_running = False
            self._running -= 1
            admission.tokens = admission.tokens if tokens is None else tokens

    def _enough(self, tokens: int) -> Admission:
        """The admission whose leaving the window makes room for so many more tokens."""
        for admission in self._recent:
            tokens -= admission.tokens
            if tokens <= 0:
                return admission
        return self._recent[-1]


def _wait_s(admission: Admission, now: float) -> int:
    return max(1, math.ceil(admission.at + WINDOW_S - now))


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else limit - used
