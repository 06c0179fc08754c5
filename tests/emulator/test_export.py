"""Spans of the command go to the collector that is named, and nothing goes anywhere where none is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from phi_emulator.telemetry.export import ExportError, exporting

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector(HTTPServer):
    """Takes spans as a collector does."""

    def __init__(self) -> None:
        self.got: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.got.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.01,))
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def test_what_is_left_is_sent_at_the_end(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {VARIABLE: f"http://127.0.0.1:{collector.server_port}"}
    monkeypatch.setenv(VARIABLE, environ[VARIABLE])
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with exporting(None, environ) as provider:
        assert provider is not None
        provider.get_tracer("x").start_span("chat").end()
        assert not collector.got
    (resource,) = collector.got[0].resource_spans
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["chat"]
    named = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert named["service.name"] == "phi-emulator"


@pytest.mark.parametrize(("asked", "environ"), [(None, {}), (False, {VARIABLE: "http://127.0.0.1:1"})])
def test_without_a_collector_or_a_wish_there_is_no_provider(
    asked: bool | None, environ: dict[str, str]
) -> None:
    with exporting(asked, environ) as provider:
        assert provider is None


@pytest.mark.parametrize(
    ("asked", "environ", "said"), [(True, {}, "--otel"), (None, {VARIABLE: "http://x"}, VARIABLE)]
)
def test_missing_packages_are_said(
    monkeypatch: pytest.MonkeyPatch, asked: bool | None, environ: dict[str, str], said: str
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with (
        pytest.raises(
            ExportError,
            match=rf'^{said} asks for spans.*pip install "phi-client\[emulator-telemetry\]"',
        ),
        exporting(asked, environ),
    ):
        pass
