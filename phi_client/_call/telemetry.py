"""Spans and metrics of OpenTelemetry, in the GenAI conventions: one span for a call, one for each of its attempts.

It must not import OpenTelemetry unless the application has set it up: without that, a call costs two look-ups. Neither
prompts nor answers are told, unless `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for them; keys never are.

The names are those of the conventions as released for Python (opentelemetry-semantic-conventions 0.66).
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from phi_client._call.errors import APIStatusError
from phi_client._call.log import safe_url
from phi_client._call.version import version

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, MutableMapping

    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from phi_client._call.completion import Completion
    from phi_client._call.exchange import Exchange

__all__ = ["CONTENT_VARIABLE", "AttemptTrace", "CallTrace", "begin_trace"]

CONTENT_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

_NAME: Final = "phi_client"
_CONTENT_ON: Final = frozenset({"true", "span_only", "span_and_event"})
_REQUEST_KEYS: Final = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)
# Boundaries of buckets as the conventions advise them: seconds, and tokens.
_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKENS: Final = tuple(4**power for power in range(14))


def begin_trace(exchange: Exchange, now: Callable[[], float]) -> CallTrace | None:
    """The trace of a call whose first exchange this is; none where nobody listens, or it is no chat."""
    tracers, meters = _provider("trace"), _provider("metrics")
    if exchange.request is None or (tracers is None and meters is None):
        return None
    return CallTrace(exchange, now, tracers, meters)


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
    ) -> None:
        from opentelemetry import trace  # noqa: PLC0415  # the application has imported it

        request = exchange.request or {}
        self._now = now
        self._began = now()
        self._attempts = 0
        self._tells_content = os.environ.get(CONTENT_VARIABLE, "").strip().lower() in _CONTENT_ON
        self._metrics = None if meters is None else _metrics_of(meters)
        self._common = _common(exchange, request)
        self._tracer = trace.get_tracer(_NAME, version(), tracers)
        self._span = self._tracer.start_span(
            f"chat {request['model']}" if "model" in request else "chat",
            kind=trace.SpanKind.CLIENT,
            attributes=self._common | _asked(request),
        )
        if self._tells_content:
            self._span.set_attribute("gen_ai.input.messages", json.dumps(_input_of(request), default=str))

    @contextmanager
    def attempt(self, exchange: Exchange) -> Generator[AttemptTrace]:
        """The span of one attempt, current while the block runs."""
        from opentelemetry import trace  # noqa: PLC0415

        attributes: dict[str, Any] = {
            "http.request.method": exchange.method,
            "url.full": safe_url(exchange.url),
            **_server(exchange.url),
        }
        if self._attempts:
            attributes["http.request.resend_count"] = self._attempts
        self._attempts += 1
        span = self._tracer.start_span(
            exchange.method,
            context=trace.set_span_in_context(self._span),
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
        )
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield AttemptTrace(span, exchange)
            except BaseException as error:
                _fail(span, error)
                raise

    def finish(
        self,
        done: Completion | None = None,
        error: BaseException | None = None,
        *,
        first_chunk_at: float | None = None,
    ) -> None:
        """End the span of the call, with its completion as far as it came."""
        took_s = self._now() - self._began
        first_chunk_s = None if first_chunk_at is None else first_chunk_at - self._began
        attributes = dict(self._common)
        if done is not None:
            told = _answered(done)
            if done.model:
                attributes["gen_ai.response.model"] = done.model
            if first_chunk_s is not None:
                told["gen_ai.response.time_to_first_chunk"] = first_chunk_s
            if self._tells_content:
                told["gen_ai.output.messages"] = json.dumps(_output_of(done))
            self._span.set_attributes(told)
        if error is not None:
            attributes["error.type"] = _fail(self._span, error)
        self._span.end()
        if self._metrics is not None:
            self._metrics.record(attributes, took_s, done, first_chunk_s)


class AttemptTrace:
    """What is told of one attempt."""

    def __init__(self, span: Span, exchange: Exchange) -> None:
        self._span = span
        self._exchange = exchange

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Name this trace to the service, in the headers of the application's choice (`traceparent`)."""
        from opentelemetry import propagate  # noqa: PLC0415

        propagate.inject(headers)

    def note(self, status: int, headers: Mapping[str, str]) -> None:
        """What the head of the answer says."""
        self._span.set_attribute("http.response.status_code", status)
        request_id = self._exchange.request_id(headers)
        if request_id is not None:
            self._span.set_attribute("azure.service.request.id", request_id)


class _Metrics:
    """The instruments of one provider."""

    def __init__(self, meters: MeterProvider) -> None:
        meter = meters.get_meter(_NAME, version())

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
        self._tokens = histogram("token.usage", "{token}", _TOKENS, "Tokens of a call, by type.")

    def record(
        self,
        attributes: dict[str, Any],
        took_s: float,
        done: Completion | None,
        first_chunk_s: float | None,
    ) -> None:
        self._duration.record(took_s, attributes)
        if first_chunk_s is not None:
            self._first_chunk.record(first_chunk_s, attributes)
        if done is not None and done.usage is not None:
            for kind, tokens in (
                ("input", done.usage.prompt_tokens),
                ("output", done.usage.completion_tokens),
            ):
                self._tokens.record(tokens, {**attributes, "gen_ai.token.type": kind})


@lru_cache(maxsize=4)
def _metrics_of(meters: MeterProvider) -> _Metrics:
    """Made once for a provider: making an instrument a second time is warned of."""
    return _Metrics(meters)


def _common(exchange: Exchange, request: Mapping[str, Any]) -> dict[str, Any]:
    """What spans and metrics of a call have in common."""
    model = {"gen_ai.request.model": request["model"]} if "model" in request else {}
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": exchange.dialect.telemetry_name,
        **model,
        **_server(exchange.url),
    }


def _server(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request; what has another type is the service's to refuse."""
    told: dict[str, Any] = {
        f"gen_ai.request.{name}": request[name]
        for name in _REQUEST_KEYS
        if isinstance(request.get(name), int | float)
    }
    stop = request.get("stop")
    if isinstance(stop, str | list | tuple):
        told["gen_ai.request.stop_sequences"] = (
            [stop] if isinstance(stop, str) else list(cast("list[str]", stop))
        )
    if request.get("stream"):
        told["gen_ai.request.stream"] = True
    if isinstance(request.get("n"), int) and request["n"] != 1:
        told["gen_ai.request.choice.count"] = request["n"]
    return told


def _answered(done: Completion) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if done.raw.get("id"):
        told["gen_ai.response.id"] = str(done.raw["id"])
    if done.model:
        told["gen_ai.response.model"] = done.model
    if done.finish_reason:
        told["gen_ai.response.finish_reasons"] = [done.finish_reason]
    if done.usage is not None:
        told["gen_ai.usage.input_tokens"] = done.usage.prompt_tokens
        told["gen_ai.usage.output_tokens"] = done.usage.completion_tokens
    return told


def _input_of(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "role": message.get("role"),
            "parts": [{"type": "text", "content": text} for text in _texts(message)],
        }
        for message in request["messages"]
    ]


def _texts(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content")
    if isinstance(content, str | None):
        return [content] if content else []
    parts = cast("list[Any]", content)
    return [cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part for part in parts]


def _output_of(done: Completion) -> list[dict[str, Any]]:
    parts = [("reasoning", done.reasoning), ("text", done.content)]
    return [
        {
            "role": "assistant",
            "parts": [{"type": kind, "content": text} for kind, text in parts if text],
            "finish_reason": done.finish_reason,
        }
    ]


def _fail(span: Span, error: BaseException) -> str:
    """Mark a span as failed by its kind of error alone: a message may quote the service, and the service the prompt."""
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

    kind = str(error.status_code) if isinstance(error, APIStatusError) else type(error).__name__
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
    return kind
