"""Spans of OpenTelemetry for exchanges, which join the trace that the client's `traceparent` names.

It must not know HTTP or engines, nor import OpenTelemetry unless somebody has set it up. Prompts are told only where
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for them; answers never are, and keys neither.

    SERVER  chat MODEL            the exchange, in the client's trace
      INTERNAL  queue             until it had its place beside those that run
      INTERNAL  prefill           until its first token
      INTERNAL  decode            until its last one
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from phi_client.contract import genai
from phi_emulator.telemetry.told import Told

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["Spans", "Trace"]

_NAME: Final = "phi_emulator"
_FAILED: Final = 500
"""The first status that is a server's own failure: what a client did wrong leaves a server's span without an error."""
_PARENT: Final = "traceparent"
_STATE: Final = "tracestate"


class Spans:
    """Makes spans by `provider`; without one by that of the application, if it has set one by then.

    `unix` tells the seconds since 1970.
    """

    def __init__(
        self, provider: TracerProvider | None = None, *, unix: Callable[[], float] = time.time
    ) -> None:
        self._provider = provider
        self._unix = unix

    def begin(self, method: str, route: str, headers: Sequence[tuple[str, str]]) -> Trace | None:
        """The span of a request that came in just now; none where nobody listens. Names of headers are small."""
        provider = self._provider or _provider_of_application()
        if provider is None:
            return None
        from opentelemetry import trace  # noqa: PLC0415 - somebody has set it up

        tracer = trace.get_tracer(_NAME, tracer_provider=provider, schema_url=genai.SCHEMA_URL)
        began = round(self._unix() * 1e9)
        span = tracer.start_span(
            f"{method} {route}",
            context=_context_of(headers),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route},
            start_time=began,
        )
        return Trace(tracer, span, began)


class Trace:
    """The span of one exchange that runs."""

    def __init__(self, tracer: Tracer, span: Span, began_ns: int) -> None:
        self._tracer = tracer
        self._span = span
        self._began_ns = began_ns

    def end(self, told: Told) -> None:
        """End it, with its parts."""
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

        def at(seconds: float) -> int:
            return self._began_ns + max(0, round((seconds - told.received) * 1e9))

        span = self._span
        if span.is_recording():
            self._tell(told)
            around = trace.set_span_in_context(span)
            for name, begin, end in _parts(told):
                self._tracer.start_span(name, context=around, start_time=at(begin)).end(at(end))
        if told.error_type:
            span.set_attribute("error.type", told.error_type)
        if told.ending == "cut" or (told.status or 0) >= _FAILED:
            span.set_status(Status(StatusCode.ERROR))
        span.end(at(told.over))

    def _tell(self, told: Told) -> None:
        attributes: dict[str, Any] = {
            "http.response.status_code": told.status,
            "azure.service.request.id": told.request_id or None,
            "phi_emulator.surface": told.surface,
            "phi_emulator.fault": told.fault or None,
            "phi_emulator.ending": told.ending,
        }
        if told.is_chat:
            attributes |= {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": told.provider,
                "gen_ai.request.model": genai.identifier(told.deployment),
                "gen_ai.response.model": told.model,
                "gen_ai.response.finish_reasons": None
                if told.finish_reason is None
                else [told.finish_reason],
                "gen_ai.usage.input_tokens": told.prompt_tokens,
                "gen_ai.usage.output_tokens": told.completion_tokens,
                "gen_ai.usage.cache_read.input_tokens": told.cached_tokens,
                **genai.asked(told.parameters()),
            }
            self._span.update_name(genai.name_of(genai.without_gaps(attributes)))
            if genai.tells_content():
                attributes |= told.content()
        self._span.set_attributes(genai.without_gaps(attributes))


def _parts(told: Told) -> list[tuple[str, float, float]]:
    """The parts of an exchange that came about, each with its begin and end."""
    marks = (
        ("queue", told.queued),
        ("prefill", told.admitted),
        ("decode", told.first_token),
        ("", told.ended),
    )
    known = [(name, moment) for name, moment in marks if moment is not None]
    if known and known[-1][0]:
        # It was left while this part ran.
        known.append(("", told.over))
    return [(name, begin, max(begin, end)) for (name, begin), (_, end) in pairwise(known)]


def _provider_of_application() -> TracerProvider | None:
    """What the application has set, if it has; OpenTelemetry's own stand-ins do nothing."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider: TracerProvider = api.get_tracer_provider()
    return None if type(provider).__module__.startswith("opentelemetry.trace") else provider


def _context_of(headers: Sequence[tuple[str, str]]) -> Context:
    """The trace that a request's headers name, in the form that the application's propagators read.

    A `traceparent` that is none, or that comes twice, is no one, and what a `tracestate` says goes with it.
    """
    from opentelemetry import propagate  # noqa: PLC0415
    from opentelemetry.context import Context  # noqa: PLC0415

    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    if len(found.get(_PARENT, ())) > 1:
        found.pop(_PARENT)
        found.pop(_STATE, None)
    carrier: Mapping[str, str] = {name: ",".join(values) for name, values in found.items()}
    return propagate.extract(carrier, context=Context())
