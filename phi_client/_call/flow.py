"""A call as one generator: attempts, retries, hops between endpoints, waits and the deadline.

It must not send anything, and must not know whether it is sync or async: it yields steps and is told what came.

    endpoint 1 ──worth a hop──> endpoint 2 ──…──> last endpoint, which alone is retried
        └── the caller's own fault, an answer, a stream that has begun: the end

    attempt:  AskToken? ──> Send ──2xx──> Receive… ──> the answer, or the stream that it opens
                             └── else: Receive, bounded ──401 that a newer token may heal──> AskToken ──> Send
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from phi_client._call.deadline import Deadline, Limits
from phi_client._call.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    CredentialError,
    Hop,
    PhiError,
)
from phi_client._call.exchange import Answer, Exchange, is_success
from phi_client._call.log import log_answer, log_request
from phi_client._call.retrying import (
    RetryBudget,
    RetryEvent,
    RetryHook,
    RetryPolicy,
    announce_retry,
    is_retryable,
)
from phi_client._call.secrets import Secrets
from phi_client._call.steps import AskToken, Flow, Receive, Reply, Send, Watcher
from phi_client._call.stream_reader import OpenStream, StreamReader
from phi_client._call.targets import Target
from phi_client._call.telemetry import AttemptTrace, CallTrace, begin_trace
from phi_client._call.tokens import USUAL, AccessToken, Tokens, ways_to_renew
from phi_client.contract.clock.base import Clock
from phi_client.contract.error_body import MAX_ERROR_BYTES
from phi_client.contract.secrets import credentials_in

if TYPE_CHECKING:
    from phi_client._call.completion import Completion

__all__ = ["Call", "Lane"]

_T = TypeVar("_T")

_ERROR_BODY_S: Final = 10.0
"""How long the body of an error is read on; its status alone says most."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A target with what a client keeps for it: connections, its credential or key, its budget of retries."""

    target: Target
    connections: Any = field(repr=False)
    credentials: Any = field(default=None, repr=False)
    tokens: Tokens | None = field(default=None, repr=False)
    budget: RetryBudget = field(default_factory=RetryBudget, repr=False)


class Call:
    """One call; `exchanges` are the same request for each lane. One of `answer` and `open_stream` is run, once."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        exchanges: Sequence[Exchange],
        *,
        clock: Clock,
        deadline: Deadline,
        on_retry: RetryHook | None = None,
        fallback_on: Collection[int | str] = (),
        watcher: Watcher | None = None,
    ) -> None:
        self._lanes = lanes
        self._exchanges = exchanges
        self._clock = clock
        self._deadline = deadline
        self._on_retry = on_retry
        self._fallback_on = fallback_on
        self._watcher = watcher
        self._lane = 0 if watcher is None else watcher.first_lane
        self._hops: tuple[Hop, ...] = ()
        self._heard: Mapping[str, str] = {}
        self._limits = Limits(self._exchange.timeout, deadline)
        self._trace: CallTrace | None = None

    def answer(self, read: Callable[[Exchange, Answer], _T]) -> Flow[_T]:
        """What `read` makes of the whole answer.

        Raises:
            PhiError: the last failure, with the hops before it.
        """
        result = yield from self._told(self._carried(partial(self._answered, read)))
        if self._trace is not None:
            self._trace.finish(cast("Completion", result))
        return result

    def open_stream(self) -> Flow[OpenStream]:
        """The stream of a reply whose 2xx head has come; the reply stays open.

        Raises:
            PhiError: as of `answer`.
        """
        return (yield from self._told(self._carried(self._streaming)))

    def _carried(self, attempt: Callable[[], Flow[_T]]) -> Flow[_T]:
        """Lane after lane, until one answers or the next would do no better."""
        while True:
            policy = RetryPolicy(
                # With another endpoint left, waiting for this one is worse than asking the other.
                max_retries=self._exchange.max_retries if self._is_last else 0,
                deadline=self._deadline,
                clock=self._clock,
                budget=self._lanes[self._lane].budget,
                endpoint=self._exchange.endpoint,
                on_retry=self._announced,
            )
            try:
                return (yield from policy.tried(partial(self._attempt, attempt)))
            except PhiError as error:
                error.hops, error.client_request_id = self._hops, self._exchange.client_request_id
                if not self._goes_on(error):
                    raise

    def _goes_on(self, error: PhiError) -> bool:
        """Whether the next endpoint may do better; if so, the call is there."""
        if self._is_last or self._deadline.has_passed or not self._is_worth_a_hop(error):
            return False
        here, there = self._exchange.endpoint, self._exchanges[self._lane + 1].endpoint
        announce_retry(RetryEvent(error.attempts, error, 0.0, here, there), self._on_retry)
        # The frames of the error hold the request; the error itself is all that is of use later.
        self._hops = (*self._hops, Hop(here, error.with_traceback(None)))
        self._lane += 1
        return True

    def _is_worth_a_hop(self, error: PhiError) -> bool:
        if is_retryable(error) or isinstance(error, CredentialError):
            return True
        if isinstance(error, APIStatusError):
            return error.status_code in self._fallback_on
        if isinstance(error, APITimeoutError):
            return "timeout" in self._fallback_on
        if isinstance(error, APIConnectionError):
            return error.is_refused
        return isinstance(error, APIResponseError) and "response" in self._fallback_on

    def _attempt(self, attempt: Callable[[], Flow[_T]]) -> Flow[_T]:
        """One attempt under the eyes of whoever watches."""
        watcher, lane = self._watcher, self._lane
        self._heard = {}
        if watcher is None:
            return (yield from self._lasting(attempt))
        watcher.sends(lane)
        try:
            result = yield from self._lasting(attempt)
        except Exception as error:
            watcher.answered(lane, self._heard, error)
            raise
        watcher.answered(lane, self._heard, None)
        return result

    def _lasting(self, attempt: Callable[[], Flow[_T]]) -> Flow[_T]:
        """An attempt whose failure says if trying again is of no use."""
        try:
            return (yield from attempt())
        except APIConnectionError as error:
            is_closed = self._lanes[self._lane].connections.is_closed
            lasting = self._exchange.lasting(error, is_closed=is_closed)
            if lasting is error:
                raise
            raise lasting from error

    def _answered(self, read: Callable[[Exchange, Answer], _T]) -> Flow[_T]:
        exchange = self._exchange
        with self._traced_attempt(exchange) as trace:
            answer = yield from self._head(trace)
            if not answer.is_success:
                return read(exchange, answer)
            return read(exchange, replace(answer, body=(yield from self._whole(exchange))))

    def _streaming(self) -> Flow[OpenStream]:
        exchange = self._exchange
        with self._traced_attempt(exchange) as trace:
            answer = yield from self._head(trace)
            exchange.check_status(answer)
            reader = StreamReader(exchange, answer, self._clock)
            if answer.is_whole:
                # A service that doesn't stream; what it says is as good.
                reader.take_whole(replace(answer, body=(yield from self._whole(exchange))))
            return OpenStream(reader, self._limits, self._trace)

    def _head(self, trace: AttemptTrace | None) -> Flow[Answer]:
        """The head of a success, whose body is still to come; or a failure, read as far as it is looked at."""
        lane = self._lanes[self._lane]
        tokens = lane.tokens
        token: AccessToken | None = None
        if tokens is not None:
            token = tokens.good
            if token is None or tokens.is_due:
                token = yield AskToken(lane.credentials, USUAL, self._limits)
        answer = yield from self._sent(trace, token)
        if tokens is None or token is None:
            return answer
        for way in ways_to_renew(answer.status, answer.headers, tokens.now()):
            newer: AccessToken = tokens.newer_than(token) or (
                yield AskToken(lane.credentials, way, self._limits)
            )
            if newer.token != token.token:
                return (yield from self._sent(trace, newer))
        return answer

    def _sent(self, trace: AttemptTrace | None, token: AccessToken | None) -> Flow[Answer]:
        exchange = self._exchange
        self._deadline.check(request_sent=False)
        self._limits = Limits(exchange.timeout, self._deadline)
        step = self._step(trace, token)
        log_request(exchange.method, exchange.url, exchange.content, exchange.client_request_id)
        reply: Reply = yield step
        self._heard = reply.secrets.scrub_headers(reply.headers, of_answer=is_success(reply.status))
        if trace is not None:
            trace.note(reply.status, self._heard)
        request_id = exchange.request_id(self._heard)
        log_answer(exchange.url, reply.status, request_id, exchange.client_request_id)
        answer = Answer(reply.status, self._heard, secrets=reply.secrets, hops=self._hops)
        return answer if answer.is_success else replace(answer, body=(yield from self._refusal()))

    def _step(self, trace: AttemptTrace | None, token: AccessToken | None) -> Send:
        """The request with its credential, which no variable of a frame that waits may hold."""
        lane, exchange = self._lanes[self._lane], self._exchange
        headers = dict(exchange.headers)
        secrets = list(credentials_in(headers))
        if token is not None:
            headers["Authorization"] = f"Bearer {token.token}"
            secrets.append(token.token)
        elif lane.target.api_key is not None:
            name, value = exchange.dialect.write_key(lane.target.api_key)
            headers[name] = value
            secrets.append(lane.target.api_key)
        if trace is not None:
            trace.inject(headers)
        hidden = Secrets(tuple(secrets), exchange.content)
        return Send(
            lane.connections, exchange.method, exchange.url, headers, exchange.content, self._limits, hidden
        )

    def _whole(self, exchange: Exchange) -> Flow[bytes]:
        """The body of a success. One that breaks off is not asked for again: its tokens are billed."""
        body = bytearray()
        while True:
            try:
                data = yield Receive()
            except APIConnectionError as error:
                error.is_lasting = error.is_lasting or exchange.request is not None
                raise
            if data is None:
                break
            body += data
            self._deadline.check(request_sent=True)
            exchange.check_size(len(body))
        return bytes(body)

    def _refusal(self) -> Flow[bytes]:
        """The body of a failure, no more than is looked at. What breaks off meanwhile does not hide the status."""
        body = bytearray()
        began = self._clock.now()
        while len(body) <= MAX_ERROR_BYTES:
            left_s = _ERROR_BODY_S - (self._clock.now() - began)
            if left_s <= 0 or self._deadline.has_passed:
                break
            self._limits.shorten_reads(left_s)
            try:
                data = yield Receive()
            except APIConnectionError:
                break
            if data is None:
                break
            body += data
        return bytes(body)

    def _announced(self, event: RetryEvent) -> None:
        if self._watcher is not None:
            self._watcher.waits(self._lane, event.wait_s)
        if self._on_retry is not None:
            self._on_retry(event)

    def _told(self, flow: Flow[_T]) -> Flow[_T]:
        """`flow`, of whose failure is told, for whatever reason."""
        self._trace = begin_trace(self._exchange, self._clock.now, may_hop=not self._is_last)
        try:
            return (yield from flow)
        except BaseException as error:
            if self._trace is not None:
                self._trace.finish(getattr(error, "partial", None), error)
            raise

    def _traced_attempt(self, exchange: Exchange) -> AbstractContextManager[AttemptTrace | None]:
        return nullcontext() if self._trace is None else self._trace.attempt(exchange)

    @property
    def _exchange(self) -> Exchange:
        return self._exchanges[self._lane]

    @property
    def _is_last(self) -> bool:
        return self._lane == len(self._lanes) - 1
