"""Where spans of an emulator that is a process of its own go: to the collector that OpenTelemetry's variables name.

It must not be imported before it is known that somebody wants spans: the packages are an extra.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["ExportError", "exporting"]

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVICE: Final = "OTEL_SERVICE_NAME"
_INSTALL: Final = 'python -m pip install "phi-client[emulator-telemetry]"'
_PATIENCE_S: Final = 5.0
"""How long a collector that doesn't answer may keep the emulator from its end."""


class ExportError(Exception):
    """Spans can't be exported; the message says what to install."""


@contextmanager
def exporting(asked: bool | None, environ: Mapping[str, str]) -> Generator[TracerProvider | None]:  # noqa: FBT001 - a setting
    """The provider whose spans go to a collector while the block runs; none where nobody asks for one.

    Without a wish it is wanted where the environment names a collector. What is left is sent at the end.

    Raises:
        ExportError: packages are missing.
    """
    names_collector = any(environ.get(name) for name in _ENDPOINTS)
    if asked is False or (asked is None and not names_collector):
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider as SdkProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        wish = "--otel" if asked else next(name for name in _ENDPOINTS if environ.get(name))
        way_out = "" if asked else ", or start with `--otel no`"
        raise ExportError(
            f"{wish} asks for spans, and {error.name} is missing: run  {_INSTALL}{way_out}"
        ) from None
    resource = Resource.create({} if environ.get(_SERVICE) else {"service.name": "phi-emulator"})
    provider = SdkProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider
    finally:
        ending = threading.Thread(target=provider.shutdown, name="phi-emulator-spans", daemon=True)
        ending.start()
        ending.join(_PATIENCE_S)
