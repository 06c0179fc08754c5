"""Spans and metrics of OpenTelemetry, in the GenAI conventions: one span for a call, one for each of its attempts.

It must not import OpenTelemetry, nor load `genai`, unless the application has set it up: without that, a call costs two
look-ups. Neither prompts nor answers are told, unless `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for
them; keys never are.

A call that went from one endpoint to another is told of as the last one's, which answered it or failed it; each attempt
names its own.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from phi_client._call.errors import APIStatusError
from phi_client._call.log import safe_url
from phi_client._call.version import version
from phi_client.contract.secrets import credentials_in

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, MutableMapping, Sequence

    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from phi_client._call.completion import Completion
    from phi_client._call.exchange import Exchange

__all__ = ["AttemptTrace", "CallTrace", "begin_trace"]

_NAME: Final = "phi_client"
_SHORTEST_CREDENTIAL: Final = 8
"""Shorter ones are left: `stop` and `phi` are words of the protocol."""
# Boundaries of buckets as the conventions advise them: seconds, and tokens.
_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKENS: Final = tuple(4**power for power in range(14))

_entered: ContextVar[object] = ContextVar("phi_client_attempt")
"""Tells whether a block is left in the context in which it was entered."""


def begin_trace(exchange: Exchange, now: Callable[[], float], *, may_hop: bool = True) -> CallTrace | None:
    """The trace of a call whose first exchange this is; none where nobody listens, or it is no chat.

    A span's attributes can't be taken back. So where the call `may_hop`, the model is told at the end only: another
    endpoint may be asked for none.
    """
    tracers, meters = _provider("trace"), _provider("metrics")
    if exchange.request is None or (tracers is None and meters is None):
        return None
    return CallTrace(exchange, now, tracers, meters, may_hop=may_hop)


def _provider(signal: str) -> Any:
    """The provider that the application has set, if it has; OpenTelemetry's own stand-ins do nothing."""
    api = sys.modules.get(f"opentelemetry.{signal}")
    if api is None:
        return None
    provider = api.get_tracer_provider() if signal == "trace" else api.get_meter_provider()
    return None if type(provider).__module__.startswith(f"opentelemetry.{signal}") else provider


class CallTrace:
    """What is told of one call, whatever its retries and endpoints."""

    def __init__(
        self,
        exchange: Exchange,
        now: Callable[[], float],
        tracers: TracerProvider | None,
        meters: MeterProvider | None,
        *,
        may_hop: bool,
    ) -> None:
        from opentelemetry import trace  # noqa: PLC0415  # the application has imported it

        from phi_client._call import genai  # noqa: PLC0415
        from phi_client.contract import genai as words  # noqa: PLC0415

        self._now = now
        self._began = now()
        self._exchange = exchange
        self._attempts = 0
        self._has_ended = False
        self._credentials: dict[str, None] = {}
        self._tells_content = words.tells_content()
        self._metrics = None if meters is None else _metrics_of(meters)
        self._tracer = trace.get_tracer(_NAME, version(), tracers, words.SCHEMA_URL)
        told = genai.endpoint_of(exchange) | words.asked(exchange.request or {})
        self._span_name = words.name_of(told)
        if may_hop:
            told.pop("gen_ai.request.model", None)
        self._span = self._tracer.start_span(self._span_name, kind=trace.SpanKind.CLIENT, attributes=told)

    def at(self, exchange: Exchange) -> None:
        """The call has come to the endpoint of this exchange."""
        self._exchange = exchange

    @contextmanager
    def attempt(self, exchange: Exchange) -> Generator[AttemptTrace]:
        """The span of one attempt, current while the block runs."""
        from opentelemetry import trace  # noqa: PLC0415

        from phi_client._call.genai import server_of  # noqa: PLC0415

        self.at(exchange)
        attributes: dict[str, Any] = {
            "http.request.method": exchange.method,
            "url.full": safe_url(exchange.url),
            **server_of(exchange.url),
        }
        if self._attempts:
            attributes["http.request.resend_count"] = self._attempts
        self._attempts += 1
        around = trace.set_span_in_context(self._span)
        kind = trace.SpanKind.CLIENT
        span = self._tracer.start_span(exchange.method, context=around, kind=kind, attributes=attributes)
        try:
            with _current(span):
                yield AttemptTrace(self, span, exchange)
        except BaseException as error:
            _fail(span, error)
            raise
        finally:
            span.end()

    def finish(
        self,
        done: Completion | None = None,
        error: BaseException | None = None,
        *,
        first_chunk_at: float | None = None,
        chunk_times: Sequence[float] = (),
    ) -> None:
        """End the span of the call, with its completion as far as it came; a second time does nothing.

        `chunk_times` are those at which the chunks of a stream came.
        """
        from phi_client._call import genai  # noqa: PLC0415
        from phi_client.contract import genai as words  # noqa: PLC0415

        if self._has_ended:
            return
        self._has_ended = True
        times = _Times(self._began, self._now(), chunk_times or _one(first_chunk_at))
        attributes = genai.endpoint_of(self._exchange)
        said = {} if done is None else genai.answered(done, self.scrub)
        attributes |= {name: said[name] for name in said.keys() & {"gen_ai.response.model"}}
        told = attributes | said | self._way(getattr(done or error, "hops", ()))
        if done is not None and times.first_chunk_s is not None:
            told["gen_ai.response.time_to_first_chunk"] = times.first_chunk_s
        if self._tells_content and self._span.is_recording():
            told |= words.content_of_request(self._exchange.request or {}, self.scrub)
            if done is not None:
                told |= genai.content_of_answer(done, self.scrub, has_failed=error is not None)
        self._span.set_attributes(told)
        if words.name_of(attributes) != self._span_name:
            self._span.update_name(words.name_of(attributes))
        if error is not None:
            attributes["error.type"] = _fail(self._span, error)
        self._span.end()
        if self._metrics is not None:
            self._metrics.record(attributes, times, said)

    def _way(self, hops: Sequence[object]) -> dict[str, int]:
        """How often a call was sent, and how many endpoints failed it, where that is more than one and none."""
        told = {"phi_client.attempts": self._attempts} if self._attempts > 1 else {}
        return {**told, "phi_client.hops": len(hops)} if hops else told

    def learn(self, headers: Mapping[str, str]) -> None:
        """Tell nothing of the credentials in these headers, wherever they are echoed."""
        found = credentials_in(headers)
        self._credentials |= dict.fromkeys(value for value in found if len(value) >= _SHORTEST_CREDENTIAL)

    def scrub(self, text: str) -> str:
        """`text` without credentials."""
        from phi_client._call.genai import scrubber  # noqa: PLC0415

        return scrubber(self._credentials)(text)


class AttemptTrace:
    """What is told of one attempt."""

    def __init__(self, call: CallTrace, span: Span, exchange: Exchange) -> None:
        self._call = call
        self._span = span
        self._exchange = exchange

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Name this trace to the service, in the headers of the application's choice (`traceparent`).

        `headers` are those that are sent: what is a credential among them is told to nobody.
        """
        from opentelemetry import propagate  # noqa: PLC0415

        self._call.learn(headers)
        propagate.inject(headers)

    def note(self, status: int, headers: Mapping[str, str]) -> None:
        """What the head of the answer says."""
        self._span.set_attribute("http.response.status_code", status)
        request_id = self._exchange.request_id(headers)
        if request_id is not None:
            self._span.set_attribute("azure.service.request.id", self._call.scrub(request_id))


class _Times:
    """When a call began and ended, and when its chunks came."""

    def __init__(self, began: float, ended: float, chunks: Sequence[float]) -> None:
        self.took_s = ended - began
        self.first_chunk_s = chunks[0] - began if chunks else None
        self.between_chunks_s = [later - earlier for earlier, later in pairwise(chunks)]


def _one(first_chunk_at: float | None) -> Sequence[float]:
    return () if first_chunk_at is None else (first_chunk_at,)


class _Metrics:
    """The instruments of one provider."""

    def __init__(self, meters: MeterProvider) -> None:
        from phi_client.contract.genai import SCHEMA_URL  # noqa: PLC0415

        meter = meters.get_meter(_NAME, version(), SCHEMA_URL)

        def histogram(name: str, unit: str, buckets: tuple[float, ...], description: str) -> Histogram:
            return meter.create_histogram(
                f"gen_ai.client.{name}", unit, description, explicit_bucket_boundaries_advisory=buckets
            )

        self._duration = histogram(
            "operation.duration", "s", _SECONDS, "Duration of a call, retries included."
        )
        self._first_chunk = histogram(
            "operation.time_to_first_chunk", "s", _SECONDS, "Time to the first chunk of a stream."
        )
        self._next_chunk = histogram(
            "operation.time_per_output_chunk", "s", _SECONDS, "Time from one chunk of a stream to the next."
        )
        self._tokens = histogram("token.usage", "{token}", _TOKENS, "Tokens of a call, by type.")

    def record(self, attributes: dict[str, Any], times: _Times, said: Mapping[str, Any]) -> None:
        self._duration.record(times.took_s, attributes)
        if times.first_chunk_s is not None:
            self._first_chunk.record(times.first_chunk_s, attributes)
        for seconds in times.between_chunks_s:
            self._next_chunk.record(seconds, attributes)
        for kind in ("input", "output"):
            if (tokens := said.get(f"gen_ai.usage.{kind}_tokens")) is not None:
                self._tokens.record(tokens, {**attributes, "gen_ai.token.type": kind})


@lru_cache(maxsize=4)
def _metrics_of(meters: MeterProvider) -> _Metrics:
    """Made once for a provider: making an instrument a second time is warned of."""
    return _Metrics(meters)


@contextmanager
def _current(span: Span) -> Generator[None]:
    """Make `span` the current one in the block.

    A generator that is left to the collector is closed wherever that runs. There is nothing to put back then, and
    OpenTelemetry would complain.
    """
    from opentelemetry import context, trace  # noqa: PLC0415

    mark = _entered.set(span)
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    finally:
        try:
            _entered.reset(mark)
        except ValueError:
            pass
        else:
            context.detach(token)


def _fail(span: Span, error: BaseException) -> str:
    """Mark a span as failed by its kind of error alone: a message may quote the service, and the service the prompt."""
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

    kind = str(error.status_code) if isinstance(error, APIStatusError) else type(error).__name__
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
    return kind
