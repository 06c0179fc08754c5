"""Spans of client and emulator are one trace, whoever the client is; what no prompt may be in has none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from phi_emulator import Emulator
from phi_emulator.engine.scripted import ScriptedEngine

from phi_client import PhiClient, PhiError
from phi_client.contract.genai import CONTENT_VARIABLE

if TYPE_CHECKING:
    from tests.together.conftest import Running, StartEmulator

PROMPT = "planted prompt: my bank account holds 1234 dollars"
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": PROMPT}]}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{PARENT}-01"


@dataclass
class Told:
    """What was told to OpenTelemetry."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def spans(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.kind is kind]

    def server(self) -> ReadableSpan:
        (span,) = self.spans(SpanKind.SERVER)
        return span


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """A provider that keeps what it is told. A process can set its provider once, so it is put in its place."""
    told = Told()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(told.exporter))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", tracers)
    return told


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Its trace and its parent."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", "" if span.parent is None else f"{span.parent.span_id:016x}"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_each_attempt_of_the_client_is_the_parent_of_a_span_of_the_emulator(
    running: Running, told: Told
) -> None:
    running.emulator.faults.add("error", error="engine_failed", times=1)
    with PhiClient(running.emulator.endpoint, running.emulator.key, max_retries=1) as client:
        client.complete(PROMPT, temperature=0.5, seed=7, max_tokens=50)
    attempts = [span for span in told.spans(SpanKind.CLIENT) if span.name == "POST"]
    servers = told.spans(SpanKind.SERVER)
    assert len(attempts) == len(servers) == 2
    for attempt, server in zip(attempts, servers, strict=True):
        assert attempt.context is not None
        assert ids(server) == (f"{attempt.context.trace_id:032x}", f"{attempt.context.span_id:016x}")
        assert (
            attributes(attempt)["azure.service.request.id"] == attributes(server)["azure.service.request.id"]
        )
    failed, good = map(attributes, servers)
    assert (failed["http.response.status_code"], failed["phi_emulator.fault"], failed["error.type"]) == (
        500,
        "error",
        "500",
    )
    assert servers[0].status.status_code is StatusCode.ERROR
    assert good["gen_ai.operation.name"] == "chat"
    assert good["gen_ai.provider.name"] == "azure.ai.inference"
    assert (
        good["gen_ai.request.temperature"],
        good["gen_ai.request.seed"],
        good["gen_ai.request.max_tokens"],
    ) == (0.5, 7, 50)
    assert good["gen_ai.response.finish_reasons"] == ("stop",)
    call = next(span for span in told.spans(SpanKind.CLIENT) if span.name.startswith("chat"))
    for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.response.model"):
        assert good[name] == attributes(call)[name]


def test_the_parts_of_an_answer_lie_within_it_one_after_the_other(running: Running, told: Told) -> None:
    with (
        PhiClient(running.emulator.endpoint, running.emulator.key) as client,
        client.stream(PROMPT) as stream,
    ):
        assert list(stream)
    server = told.server()
    parts = [span for span in told.spans(SpanKind.INTERNAL) if ids(span)[1]]
    assert [part.name for part in parts] == ["queue", "prefill", "decode"]
    moments = [
        server.start_time,
        *(moment for part in parts for moment in (part.start_time, part.end_time)),
        server.end_time,
    ]
    assert None not in moments
    assert moments == sorted(moments, key=lambda moment: moment or 0)
    assert server.context is not None
    assert {ids(part) for part in parts} == {(ids(server)[0], f"{server.context.span_id:016x}")}


def test_the_trace_of_a_foreign_client_is_joined(running: Running, told: Told) -> None:
    endpoint, key = running.emulator.endpoint_of("openai_v1"), running.emulator.key
    with openai.OpenAI(base_url=endpoint, api_key=key) as client:
        client.chat.completions.create(
            model="phi",
            messages=[{"role": "user", "content": PROMPT}],
            extra_headers={"traceparent": GOOD, "tracestate": "a=1"},
        )
    server = told.server()
    assert ids(server) == (TRACE, PARENT)
    assert server.name == "chat phi"
    assert server.context is not None
    assert server.context.trace_state.get("a") == "1"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", "")],
        [("traceparent", "nonsense")],
        [("traceparent", GOOD.upper())],
        [("traceparent", f"ff-{TRACE}-{PARENT}-01")],
        [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
        [("traceparent", f"00-{TRACE}-{PARENT}-01-more")],
        [("traceparent", f"00-{TRACE[:-1]}-{PARENT}-01")],
        [("traceparent", GOOD), ("traceparent", GOOD)],
        [("traceparent", "00-" + "x" * 5000)],
        [("tracestate", "a=1")],
    ],
    ids=str,
)
def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(
    running: Running, told: Told, headers: list[tuple[str, str]]
) -> None:
    key = ("Authorization", f"Bearer {running.emulator.key}")
    answer = httpx.post(f"{running.emulator.root}/chat/completions", json=ASK, headers=[key, *headers])
    assert answer.status_code == 200
    trace, parent = ids(told.server())
    assert parent == ""
    assert trace != TRACE


def test_what_is_not_sampled_by_the_client_is_told_nowhere(running: Running, told: Told) -> None:
    running.http.post("/chat/completions", json=ASK, headers={"traceparent": GOOD[:-1] + "0"})
    assert told.exporter.get_finished_spans() == ()


def test_a_cut_answer_is_a_failed_span(running: Running, told: Told) -> None:
    running.emulator.faults.add("cut_body", bytes=600)
    with (
        PhiClient(running.emulator.endpoint, running.emulator.key, max_retries=0) as client,
        pytest.raises(PhiError),
        client.stream(PROMPT) as stream,
    ):
        list(stream)
    server = told.server()
    assert (attributes(server)["phi_emulator.ending"], server.status.status_code) == ("cut", StatusCode.ERROR)


@pytest.mark.parametrize("asked_for", [False, True])
def test_prompts_are_told_only_where_they_are_asked_for_and_keys_never(
    start_emulator: StartEmulator, told: Told, monkeypatch: pytest.MonkeyPatch, asked_for: bool
) -> None:
    running = start_emulator()
    monkeypatch.setenv(CONTENT_VARIABLE, str(asked_for))
    key = running.emulator.key
    with PhiClient(running.emulator.endpoint, key) as client:
        client.complete(f"{PROMPT} {key}")
    text = told.server().to_json() + "".join(span.to_json() for span in told.spans(SpanKind.INTERNAL))
    assert (PROMPT in text) is asked_for
    assert key not in text


def test_requests_that_are_no_chat_and_are_refused_are_told_too(running: Running, told: Told) -> None:
    running.http.get("/info")
    running.http.get("/nowhere/secret-name")
    first, second = told.spans(SpanKind.SERVER)
    assert (first.name, second.name) == ("GET /info", "GET other")
    assert attributes(second)["http.response.status_code"] == 404
    assert second.status.status_code is StatusCode.UNSET
    assert "secret-name" not in second.to_json()


def test_a_provider_of_its_own_is_told_in_the_place_of_the_applications(told: Told) -> None:
    exporter = InMemorySpanExporter()
    own = TracerProvider()
    own.add_span_processor(SimpleSpanProcessor(exporter))
    with Emulator(make_engine=lambda: ScriptedEngine(lambda _: "42"), tracer_provider=own) as emulator:
        httpx.post(
            f"{emulator.root}/chat/completions", json=ASK, headers={"Authorization": f"Bearer {emulator.key}"}
        )
    assert [span.name for span in exporter.get_finished_spans()] == ["queue", "prefill", "decode", "chat"]
    assert told.exporter.get_finished_spans() == ()
