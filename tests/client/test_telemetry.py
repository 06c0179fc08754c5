"""OpenTelemetry: a span for the call and for each attempt, metrics, no content, and nothing where nobody listens."""

from __future__ import annotations

import asyncio
import json
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, get_current_span, get_tracer

from phi_client import PhiError, StreamInterruptedError
from phi_client._call.telemetry import begin_trace
from phi_client.contract.genai import CONTENT_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.context import Context

    from phi_client._call.exchange import Exchange
    from tests.conftest import Driver, FakeTime, Pieces

KEY = "planted-key-0123456789abcdef"
PROMPT = "planted prompt: my bank account holds 1234 dollars"
ANSWER = "planted answer"
OK = {
    "id": "chatcmpl-1",
    "model": "phi-4",
    "choices": [{"message": {"content": f"<think>planted thought</think>{ANSWER}"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
HEADERS = {"X-Request-ID": "r-1"}
EVENTS = b"".join(
    b"data: " + json.dumps(one).encode() + b"\n\n"
    for one in (
        {"id": "chatcmpl-1", "model": "phi-4", "choices": [{"delta": {"content": ANSWER}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": OK["usage"]},
    )
)


@dataclass
class AnExchange:
    """What a trace looks at when an attempt begins."""

    method: str = "POST"
    url: str = "https://phi.example/chat/completions"
    request: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def dialect(self) -> AnExchange:
        return self

    telemetry_name: str = "azure.ai.inference"


@dataclass
class Told:
    """What was told to OpenTelemetry."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    tracers: TracerProvider = field(default_factory=TracerProvider)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def spans(self) -> tuple[ReadableSpan, list[ReadableSpan]]:
        """The span of the call, and those of its attempts."""
        spans = self.exporter.get_finished_spans()
        (call,) = [span for span in spans if span.name.startswith("chat")]
        attempts = [span for span in spans if span is not call]
        assert call.context is not None
        for attempt in attempts:
            assert attempt.parent is not None
            assert attempt.parent.span_id == call.context.span_id
        return call, attempts

    def points(self) -> dict[str, list[Any]]:
        """The data points by metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def everything(self) -> str:
        """All that was told, as text."""
        return "".join(span.to_json() for span in self.exporter.get_finished_spans()) + str(self.points())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Providers that keep what they are told. A process can set its providers once, so they are put in their place."""
    told = Told()
    told.tracers.add_span_processor(SimpleSpanProcessor(told.exporter))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", told.tracers)
    monkeypatch.setattr(
        "opentelemetry.metrics._internal._METER_PROVIDER", MeterProvider(metric_readers=[told.reader])
    )
    return told


FIRST, SECOND = "https://first.services.ai.azure.com/openai/v1", "https://second.eastus2.models.ai.azure.com"


def two_endpoints(phi: Driver, first: httpx.Response, second: httpx.Response) -> Driver:
    """A client of two endpoints, of which the first one alone is asked for a model."""
    phi.router.route(host=str(httpx.URL(FIRST).host)).mock(side_effect=lambda _: first)
    phi.router.route(host=str(httpx.URL(SECOND).host)).mock(side_effect=lambda _: second)
    return phi.open(f"{FIRST} {SECOND}", "key-1 key-2", model="first -", max_retries=1)


def test_after_a_hop_span_and_metrics_name_who_answered(phi: Driver, told: Told) -> None:
    two_endpoints(phi, httpx.Response(503), httpx.Response(200, json=OK)).complete()
    call, attempts = told.spans()
    points = told.points()
    metrics = [points[f"gen_ai.client.{name}"][0] for name in ("operation.duration", "token.usage")]
    for attributes in (call.attributes or {}, *(point.attributes for point in metrics)):
        assert attributes["server.address"] == "second.eastus2.models.ai.azure.com"
        assert attributes["gen_ai.provider.name"] == "azure.ai.inference"
        assert attributes["gen_ai.response.model"] == "phi-4"
        assert "gen_ai.request.model" not in attributes
    assert call.name == "chat"
    assert [(call.attributes or {})[f"phi_client.{name}"] for name in ("attempts", "hops")] == [2, 1]
    assert [(one.attributes or {})["server.address"] for one in attempts] == [
        "first.services.ai.azure.com", "second.eastus2.models.ai.azure.com"
    ]  # fmt: skip


def test_what_samplers_decide_by_is_told_at_the_start(phi: Driver, told: Told) -> None:
    class Started(SpanProcessor):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            started.append(dict(span.attributes or {}))

    started: list[dict[str, Any]] = []
    told.tracers.add_span_processor(Started())
    phi.answer(httpx.Response(200, json=OK))
    phi.open(model="phi-4").complete()
    wanted = {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "server.address",
        "server.port",
    }
    assert wanted <= started[0].keys()


def test_a_call_that_no_endpoint_answers_is_the_last_ones(phi: Driver, told: Told) -> None:
    with pytest.raises(PhiError):
        two_endpoints(phi, httpx.Response(429), httpx.Response(503)).complete()
    call, attempts = told.spans()
    (point,) = told.points()["gen_ai.client.operation.duration"]
    for attributes in (call.attributes or {}, point.attributes):
        assert attributes["server.address"] == "second.eastus2.models.ai.azure.com"
        assert attributes["error.type"] == "503"
        assert "gen_ai.request.model" not in attributes
    assert (call.attributes or {})["phi_client.attempts"] == len(attempts) == 3


def test_a_stream_after_a_hop_is_the_last_ones(phi: Driver, told: Told) -> None:
    two_endpoints(phi, httpx.Response(503), httpx.Response(200, content=EVENTS)).stream()
    call, _ = told.spans()
    assert (call.attributes or {})["server.address"] == "second.eastus2.models.ai.azure.com"
    assert (call.attributes or {})["phi_client.hops"] == 1


def test_a_call_is_a_span_with_its_parameters_and_counts(phi: Driver, told: Told) -> None:
    phi.answer(httpx.Response(200, json=OK, headers=HEADERS))
    phi.open(model="phi-4").complete(PROMPT, seed=7, stop=["."], top_p=None)
    call, (attempt,) = told.spans()
    assert (call.name, call.kind, call.status.status_code) == (
        "chat phi-4",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert dict(call.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.inference",
        "gen_ai.request.model": "phi-4",
        "gen_ai.request.temperature": 0.8,
        "gen_ai.request.max_tokens": 32768,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": (".",),
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "phi-4",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
        "server.address": "phi.eastus2.models.ai.azure.com",
        "server.port": 443,
    }
    assert dict(attempt.attributes or {}) == {
        "http.request.method": "POST",
        "url.full": "https://phi.eastus2.models.ai.azure.com/chat/completions",
        "http.response.status_code": 200,
        "azure.service.request.id": "r-1",
        "server.address": "phi.eastus2.models.ai.azure.com",
        "server.port": 443,
    }


def test_each_attempt_has_a_span_and_the_service_learns_the_trace(phi: Driver, told: Told) -> None:
    phi.answer(httpx.Response(503), httpx.ConnectError("refused"), httpx.Response(200, json=OK))
    phi.open().complete()
    call, attempts = told.spans()
    assert call.name == "chat"
    assert [(one.attributes or {}).get("error.type") for one in attempts] == [
        "503",
        "APIConnectionError",
        None,
    ]
    assert [(one.attributes or {}).get("http.request.resend_count") for one in attempts] == [None, 1, 2]
    assert call.status.status_code is StatusCode.UNSET
    assert attempts[2].context is not None
    sent = phi.router.calls.last.request.headers["traceparent"]
    assert sent.split("-")[1:3] == [
        f"{attempts[2].context.trace_id:032x}", f"{attempts[2].context.span_id:016x}"
    ]  # fmt: skip


def test_a_call_belongs_to_the_span_around_it(phi: Driver, told: Told) -> None:
    phi.answer(httpx.Response(200, json=OK))
    phi.open()
    with get_tracer("test").start_as_current_span("around") as around:
        phi.complete()
    call = next(one for one in told.exporter.get_finished_spans() if one.name == "chat")
    assert call.parent is not None
    assert call.parent.span_id == around.get_span_context().span_id


def test_a_call_that_fails_says_how_and_no_more(phi: Driver, told: Told) -> None:
    body = {"error": {"code": "429", "message": f"{KEY} {PROMPT}"}}
    phi.answer(httpx.Response(429, json=body))
    with pytest.raises(PhiError):
        phi.open(api_key=KEY, max_retries=0).complete(PROMPT)
    call, (attempt,) = told.spans()
    for span in (call, attempt):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
        assert (span.attributes or {})["error.type"] == "429"
    (point,) = told.points()["gen_ai.client.operation.duration"]
    assert point.attributes["error.type"] == "429"
    assert KEY not in told.everything()
    assert PROMPT not in told.everything()


def test_a_stream_is_told_of_at_its_end(
    phi: Driver, told: Told, pieces: type[Pieces], fake_time: FakeTime
) -> None:
    def two_seconds() -> None:
        fake_time.seconds += 2

    first, second, _ = EVENTS.split(b"\n\n")
    parts = (two_seconds, first + b"\n\n", two_seconds, second + b"\n\n", two_seconds, b"data: [DONE]\n\n")
    phi.answer(httpx.Response(200, stream=pieces(*parts)))
    phi.open("https://phi.services.ai.azure.com/openai/v1", model="phi-4").stream(PROMPT)
    call, (attempt,) = told.spans()
    attributes = call.attributes or {}
    assert attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] == 2
    assert attributes["gen_ai.usage.output_tokens"] == 4
    assert (attempt.attributes or {})["http.response.status_code"] == 200
    points = told.points()
    assert points["gen_ai.client.operation.time_to_first_chunk"][0].sum == 2
    (gap,) = points["gen_ai.client.operation.time_per_output_chunk"]
    assert (gap.count, gap.sum) == (1, 2)
    assert points["gen_ai.client.operation.duration"][0].sum == 6


def test_a_stream_that_breaks_is_a_call_that_failed(phi: Driver, told: Told, pieces: type[Pieces]) -> None:
    phi.answer(httpx.Response(200, stream=pieces(EVENTS.split(b"\n\n")[0] + b"\n\n")))
    with pytest.raises(StreamInterruptedError):
        phi.open().stream()
    call, (attempt,) = told.spans()
    assert (call.attributes or {})["error.type"] == "StreamInterruptedError"
    assert attempt.status.status_code is StatusCode.UNSET


def test_a_stream_that_is_left_early_has_what_came(phi: Driver, told: Told) -> None:
    phi.answer(httpx.Response(200, content=EVENTS))
    phi.open().stream(leave_after=1)
    call, _ = told.spans()
    assert call.status.status_code is StatusCode.UNSET
    assert (call.attributes or {})["gen_ai.response.model"] == "phi-4"
    assert "gen_ai.response.finish_reasons" not in (call.attributes or {})


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, asyncio.CancelledError])
def test_whatever_ends_a_call_ends_its_spans_once(
    phi: Driver,
    told: Told,
    pieces: type[Pieces],
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    def fail() -> None:
        raise error

    phi.answer(httpx.Response(200, stream=pieces(EVENTS[:20], fail)))
    phi.open()
    for ask in (phi.complete, phi.stream):
        told.exporter.clear()
        phi.answer(httpx.Response(200, stream=pieces(EVENTS[:20], fail)))
        with pytest.raises(BaseException) as caught:  # noqa: PT011  # whatever it becomes
            ask()
        call, _ = told.spans()
        assert (call.attributes or {})["error.type"] == type(caught.value).__name__
        assert get_current_span() is INVALID_SPAN
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_an_attempt_that_is_closed_in_another_context_leaves_no_mark(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    def flow() -> Generator[None]:
        trace = begin_trace(cast("Exchange", AnExchange()), lambda: 0.0)
        assert trace is not None
        with trace.attempt(cast("Exchange", AnExchange())):
            yield

    running = flow()
    copy_context().run(next, running)
    running.close()
    (attempt,) = told.exporter.get_finished_spans()
    assert attempt.status.status_code is StatusCode.ERROR
    assert caplog.records == []
    assert get_current_span() is INVALID_SPAN


def test_tokens_and_time_are_measured(phi: Driver, told: Told) -> None:
    phi.answer(httpx.Response(200, json=OK), httpx.Response(200, json=OK))
    phi.open(model="phi-4").complete()
    phi.complete()
    points = told.points()
    tokens = {point.attributes["gen_ai.token.type"]: point for point in points["gen_ai.client.token.usage"]}
    assert {kind: (point.sum, point.count) for kind, point in tokens.items()} == {
        "input": (6, 2), "output": (8, 2)
    }  # fmt: skip
    assert tokens["input"].explicit_bounds[:3] == (1, 4, 16)
    (duration,) = points["gen_ai.client.operation.duration"]
    assert dict(duration.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.inference",
        "gen_ai.request.model": "phi-4",
        "gen_ai.response.model": "phi-4",
        "server.address": "phi.eastus2.models.ai.azure.com",
        "server.port": 443,
    }


def test_content_is_told_only_where_it_is_asked_for(
    phi: Driver, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    phi.answer(httpx.Response(200, json=OK), httpx.Response(200, json=OK))
    phi.open().complete(PROMPT)
    for planted in (PROMPT, ANSWER, "planted thought"):
        assert planted not in told.everything()
    told.exporter.clear()
    monkeypatch.setenv(CONTENT_VARIABLE, "true")
    phi.complete([{"role": "user", "content": [{"type": "text", "text": PROMPT}]}])
    attributes = told.spans()[0].attributes or {}
    assert json.loads(str(attributes["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": PROMPT}]}
    ]
    assert json.loads(str(attributes["gen_ai.output.messages"])) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "planted thought"},
                {"type": "text", "content": ANSWER},
            ],
            "finish_reason": "stop",
        }
    ]


def test_parameters_of_a_wrong_type_do_not_fail_a_call(phi: Driver, told: Told) -> None:
    phi.answer(httpx.Response(200, json=OK))
    phi.open().complete(PROMPT, stop=[], extra={"n": 2, "max_new_tokens": "many"})
    assert (told.spans()[0].attributes or {})["gen_ai.request.choice.count"] == 2


def test_the_info_route_is_no_chat(phi: Driver, told: Told) -> None:
    phi.answer(httpx.Response(200, json={"model_name": "phi"}))
    phi.open().get_model_info()
    assert told.exporter.get_finished_spans() == ()


def test_without_a_provider_no_trace_is_begun(phi: Driver) -> None:
    phi.answer(httpx.Response(200, json=OK))
    done = phi.open().complete()
    assert "traceparent" not in phi.router.calls.last.request.headers
    assert done.content == ANSWER
