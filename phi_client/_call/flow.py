"""One call over several endpoints: in order, each given up for the next where another may do better.

It must not send anything, and must not know whether it is sync or async.

    endpoint 1 ──retryable failure──> endpoint 2 ──…──> last endpoint, which alone is retried
        └── the caller's own fault, an answer, a stream that has begun: the end
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from phi_client._call.clock import Clock
from phi_client._call.completion import Completion
from phi_client._call.errors import Hop, PhiError
from phi_client._call.exchange import Exchange
from phi_client._call.retrying import (
    RetryBudget,
    RetryEvent,
    RetryHook,
    RetryPolicy,
    announce_retry,
    is_retryable,
)
from phi_client._call.targets import Target
from phi_client._call.telemetry import AttemptTrace, CallTrace, begin_trace
from phi_client._wire.http import Auth

__all__ = ["Call", "Lane", "Leg", "MakeExchange"]

_P = TypeVar("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Lane(Generic[_P]):
    """A target with what a client keeps for it: its credential, its connections, its budget of retries."""

    target: Target
    auth: Auth = field(repr=False)
    pool: _P = field(repr=False)
    budget: RetryBudget = field(repr=False)


@dataclass(frozen=True, slots=True)
class Leg(Generic[_P]):
    """The part of a call that one endpoint has to answer."""

    lane: Lane[_P]
    exchange: Exchange
    policy: RetryPolicy
    trace: CallTrace | None = None

    def attempt(self) -> AbstractContextManager[AttemptTrace | None]:
        """What an attempt runs in, so that it is traced where anybody listens."""
        return nullcontext() if self.trace is None else self.trace.attempt(self.exchange)


MakeExchange = Callable[[Target, tuple[Hop, ...]], Exchange]
"""Gives the exchange with a target, after the hops so far."""


class Call(Generic[_P]):
    """The state of one call; `first` is the exchange with the first target, if it was made already."""

    def __init__(
        self,
        lanes: Sequence[Lane[_P]],
        make: MakeExchange,
        *,
        clock: Clock,
        on_retry: RetryHook | None,
        first: Exchange | None = None,
    ) -> None:
        self._lanes = lanes
        self._make = make
        self._first = first
        self._clock = clock
        self._on_retry = on_retry
        self._started = clock.now()
        self._hops: tuple[Hop, ...] = ()
        self._deadline_s: float | None = None
        self._sent_as = ""
        self._trace: CallTrace | None = None

    def __enter__(self) -> Self:
        """The call, whose trace ends if the block raises."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        """Tell of a call that failed, for whatever reason."""
        if error is not None and self._trace is not None:
            partial = getattr(error, "partial", None)
            self._trace.finish(partial, error)

    def ended(self, result: _T) -> _T:
        """`result`, of which is told."""
        if self._trace is not None:
            self._trace.finish(cast("Completion", result))
        return result

    def leg(self) -> Leg[_P]:
        """What to do next.

        Raises:
            ConfigurationError: the call can't be made to this endpoint.
        """
        lane = self._lanes[len(self._hops)]
        exchange = (None if self._hops else self._first) or self._make(lane.target, self._hops)
        self._deadline_s, self._sent_as = exchange.deadline_s, exchange.client_request_id
        if self._trace is None:
            self._trace = begin_trace(exchange, self._clock.now)
        policy = RetryPolicy(
            # With another endpoint left, waiting for this one is worse than asking the other.
            max_retries=exchange.max_retries if self._is_last else 0,
            deadline_s=exchange.deadline_s,
            clock=self._clock,
            started=self._started,
            budget=lane.budget,
            endpoint=exchange.endpoint,
            on_retry=self._on_retry,
        )
        return Leg(lane, exchange, policy, self._trace)

    def goes_on(self, error: PhiError) -> bool:
        """Whether another endpoint may do better; if so, the next leg is that endpoint's."""
        error.hops, error.client_request_id = self._hops, self._sent_as
        if self._is_last or not is_retryable(error) or self._is_late:
            return False
        here, there = self._lanes[len(self._hops)], self._lanes[len(self._hops) + 1]
        endpoint = here.target.endpoint.base_url
        event = RetryEvent(error.attempts, error, 0.0, endpoint, there.target.endpoint.base_url)
        announce_retry(event, self._on_retry)
        # The frames of the error hold the request; the error itself is all that is of use later.
        self._hops = (*self._hops, Hop(endpoint, error.with_traceback(None)))
        return True

    @property
    def _is_last(self) -> bool:
        return len(self._hops) == len(self._lanes) - 1

    @property
    def _is_late(self) -> bool:
        limit_s = self._deadline_s
        return limit_s is not None and self._clock.now() - self._started >= limit_s
