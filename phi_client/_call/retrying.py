"""What is tried again, after how long, and when that ends: parts for tenacity.

It must not send anything, nor wait: a wait is a step that it yields.

    failed ──worth it?──> attempts left? ──> wait within deadline? ──> budget left? ──> hook, wait, again

Waits: exponential with full jitter, and no less than `retry-after-ms`, `x-ms-retry-after-ms`, `Retry-After` (seconds,
float or date) or `x-ratelimit-reset-*` in seconds ask for. A time-out while the service works is
not tried again: the work may go on, and be billed twice. Nor is an answer that breaks off after its begin.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from phi_client._call.deadline import Deadline
from phi_client._call.errors import APIConnectionError, APIStatusError, APITimeoutError, ModelError, PhiError
from phi_client._call.fork_lock import ForkSafeLock
from phi_client._call.interruptions import StreamInterruptedError
from phi_client._call.log import RETRY_LOGGER
from phi_client._call.steps import Flow, Wait
from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_client.contract.wire import get_header

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = [
    "RetryBudget",
    "RetryEvent",
    "RetryHook",
    "RetryPolicy",
    "announce_retry",
    "is_retryable",
    "read_retry_after",
]

_T = TypeVar("_T")

RETRYABLE_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
LONGEST_ASKED_WAIT_S: Final = 300.0
"""A service that asks for more, as it does when a quota is used up, gets its error raised at once."""


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """What a retry hook is told: an attempt failed, and another follows.

    `attempt` counts from 1, `wait_s` is the wait before the next one in seconds. `next_endpoint` differs from
    `endpoint` when the call goes on to the next of several endpoints.
    """

    attempt: int
    error: PhiError
    wait_s: float
    endpoint: str
    next_endpoint: str


RetryHook = Callable[[RetryEvent], object]


class RetryBudget:
    """What stops a retry storm: each retry costs, each success earns, and with nothing left none is made.

    A token bucket that starts full, shared by all calls of a client to one endpoint; safe to use from threads.
    The numbers allow a hundred retries in a row, then one for every five successes.
    """

    CAPACITY: Final = 500
    COST: Final = 5

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._left = self.CAPACITY

    def spend(self) -> bool:
        """Pay for one retry; false when there is too little left."""
        with self._lock:
            if self._left < self.COST:
                return False
            self._left -= self.COST
            return True

    def earn(self) -> None:
        """Note a success."""
        if self._left < self.CAPACITY:
            with self._lock:
                self._left = min(self.CAPACITY, self._left + 1)


class RetryPolicy:
    """The policy for the part of a call that one endpoint has to answer."""

    def __init__(
        self,
        *,
        max_retries: int,
        deadline: Deadline,
        clock: Clock = SYSTEM_CLOCK,
        budget: RetryBudget | None = None,
        endpoint: str = "",
        on_retry: RetryHook | None = None,
    ) -> None:
        self._max_attempts = max_retries + 1
        self._deadline = deadline
        self._clock = clock
        self._budget = budget or RetryBudget()
        self._endpoint = endpoint
        self._on_retry = on_retry

    def tried(self, attempt: Callable[[], Flow[_T]]) -> Flow[_T]:
        """What `attempt` comes to, tried as often as the policy allows, with `Wait` steps in between.

        tenacity decides from the first failure on: most calls have none, and need not load it.

        Raises:
            PhiError: the last failure.
        """
        try:
            result = yield from attempt()
        except PhiError as error:
            failures = [error]
        else:
            self._budget.earn()
            return result
        from tenacity import Retrying  # noqa: PLC0415

        waits: list[float] = []
        for turn in Retrying(sleep=waits.append, **self._parts()):
            if waits:
                yield Wait(waits.pop())
            with turn:
                if failures:
                    raise failures.pop()
                result = yield from attempt()
                self._budget.earn()
                return result
        raise AssertionError("tenacity ended without an outcome")

    def _parts(self) -> dict[str, Any]:
        return {
            "retry": self._is_worth_trying,
            "wait": self._wait_s,
            "stop": self._is_over,
            "before_sleep": self._announce,
            "reraise": True,
        }

    def _is_worth_trying(self, state: RetryCallState) -> bool:
        error = _error_of(state)
        if error is None:
            return False
        if isinstance(error, PhiError):
            error.attempts = state.attempt_number
        return is_retryable(error)

    def _wait_s(self, state: RetryCallState) -> float:
        error = _error_of(state)
        asked = error.retry_after if isinstance(error, APIStatusError) else None
        ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(state.attempt_number - 1, 16))
        # Never less than without being asked: 0, or a date that has passed, would make a storm.
        return max(asked or 0.0, ceiling * self._clock.random())

    def _is_over(self, state: RetryCallState) -> bool:
        if state.attempt_number >= self._max_attempts:
            return True
        wait_s, remaining = state.upcoming_sleep, self._deadline.left_s
        note = ""
        if remaining is not None and wait_s >= remaining:
            note = f"a retry would have to wait {wait_s:.3g} s, beyond the deadline"
        elif wait_s > LONGEST_ASKED_WAIT_S:
            note = f"the service asks to wait {wait_s:.0f} s, longer than is waited for"
        elif not self._budget.spend():
            note = "no retry: this client's budget for retries is used up"
        error = _error_of(state)
        if note and isinstance(error, PhiError):
            error.note = note
        return bool(note)

    def _announce(self, state: RetryCallState) -> None:
        error = _error_of(state)
        if isinstance(error, PhiError):
            announce_retry(
                RetryEvent(state.attempt_number, error, state.upcoming_sleep, self._endpoint, self._endpoint),
                self._on_retry,
            )


def is_retryable(error: BaseException) -> bool:
    """True when the same request may well succeed, and repeating it is right."""
    if isinstance(error, ModelError):
        return error.inner_status in RETRYABLE_STATUSES
    if isinstance(error, APIStatusError):
        return error.status_code in RETRYABLE_STATUSES
    if isinstance(error, APITimeoutError):
        return error.phase == "connect"
    if isinstance(error, StreamInterruptedError):
        return False
    return isinstance(error, APIConnectionError) and not error.is_lasting


def read_retry_after(headers: Mapping[str, str], *, now: Callable[[], float] = time.time) -> float | None:
    """The wait in seconds that a service asks for; 0, the past and what makes no sense count as absent."""
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(get_header(headers, name))
        if milliseconds:
            return milliseconds / 1000
    value = get_header(headers, "retry-after")
    seconds = _number(value)
    if seconds is None and value:
        seconds = _until(value, now)
    if seconds:
        return seconds
    resets = [_number(get_header(headers, f"x-ratelimit-reset-{kind}")) for kind in ("requests", "tokens")]
    return max((reset for reset in resets if reset), default=None)


def _number(value: str | None) -> float | None:
    try:
        number = float((value or "").strip().removesuffix("s"))
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(date: str, now: Callable[[], float]) -> float | None:
    try:
        at = parsedate_to_datetime(date)
        # A date without a zone is Greenwich's, as all of HTTP's are.
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now())
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _error_of(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def announce_retry(event: RetryEvent, hook: RetryHook | None) -> None:
    """Log that another attempt follows, and tell the hook, whose exceptions end the call."""
    error = event.error
    status = f" {error.status_code}" if isinstance(error, APIStatusError) else ""
    RETRY_LOGGER.info(
        "attempt %d at %s failed with %s%s; the next follows in %.2f s%s",
        event.attempt,
        event.endpoint,
        type(error).__name__,
        status,
        event.wait_s,
        "" if event.next_endpoint == event.endpoint else f" at {event.next_endpoint}",
    )
    if hook is not None:
        hook(event)
