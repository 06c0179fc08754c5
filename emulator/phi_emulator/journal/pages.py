"""An exchange as text for people, and as JSON for programs. It must not know where exchanges come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from phi_client.contract.service import SURFACES
from phi_emulator.journal.entry import JournalEntry
from phi_emulator.journal.tokens import Piece, Token, TokenReader
from phi_emulator.models.printable import printable

__all__ = ["describe", "to_json", "tokens_of"]

_MOST_SHOWN: Final = 400
"""Characters of a text that are shown."""


def describe(entry: JournalEntry) -> str:
    """What an exchange was, on a few lines, the first of which says most."""
    lines = [
        _headline(entry),
        *(f"  {name:<9} {printable(text, _MOST_SHOWN)}" for name, text in _rows(entry)),
    ]
    return "\n".join(lines)


def _headline(entry: JournalEntry) -> str:
    told = "no status" if entry.status is None else str(entry.status)
    code = "" if entry.error_code in (None, told) else f" {printable(entry.error_code or '', 60)}"
    number = "" if entry.number is None else f"#{entry.number} "
    path = printable(entry.path, 120)
    return f"{number}{printable(entry.method, 20)} {path}: {told}{code}, {entry.ending}, {_ms(entry.spent.total_ms)}"


def _rows(entry: JournalEntry) -> Iterator[tuple[str, str]]:
    yield "id", entry.id + (f", scope {entry.scope}" if entry.scope else "")
    version = "" if entry.api_version is None else f", api-version {entry.api_version}"
    yield "asked", entry.surface + (f", {entry.deployment}" if entry.deployment else "") + version
    sampling = ", ".join(f"{name} {value}" for name, value in entry.sampling.items() if value is not None)
    if sampling:
        yield "sampling", sampling + (", streamed" if entry.streamed else "")
    if entry.fault is not None:
        effect, *values = entry.fault.items()
        struck = "" if entry.fault_at is None else f", struck at {_ms(entry.fault_at.ms)}"
        yield "fault", " ".join((str(effect[1]), *(f"{name}={value}" for name, value in values))) + struck
    if entry.scripted is not None:
        yield "script", entry.scripted
    if entry.latency is not None:
        yield "latency", entry.latency
    if entry.usage is not None:
        cached = f" ({entry.usage.cached} cached)" if entry.usage.cached else ""
        ended = "" if entry.finish_reason is None else f", finish reason {entry.finish_reason}"
        yield "tokens", f"{entry.usage.prompt}{cached} + {entry.usage.completion}{ended}"
    yield "time", _times(entry)
    pieces = len(entry.timeline)
    of_pieces = "1 piece" if pieces == 1 else f"{pieces:,} pieces"
    yield "bytes", f"{entry.request_bytes:,} in, {entry.response_bytes:,} out in {of_pieces}"
    for one in entry.differences:
        yield "differs", f"{one.subject}: {one.emulator} ({one.link})"
    if entry.texts is not None:
        yield "request", entry.texts.request
        if entry.texts.reasoning:
            yield "reasoning", entry.texts.reasoning
        yield "answer", entry.texts.answer


def to_json(entry: JournalEntry, *, whole: bool = False) -> dict[str, Any]:
    """An exchange as JSON has it; `whole` is with its heads, its texts and its timeline."""
    told: dict[str, Any] = {
        name: getattr(entry, name)
        for name in (
            "number",
            "id",
            "scope",
            "began",
            "ending",
            "method",
            "path",
            "surface",
            "route",
            "api_version",
            "deployment",
            "streamed",
            "sampling",
            "status",
            "error_code",
            "finish_reason",
            "fault",
            "scripted",
            "latency",
            "request_bytes",
            "response_bytes",
        )
    }
    told["usage"] = None if entry.usage is None else asdict(entry.usage)
    told["differences"] = [asdict(one) for one in entry.differences]
    told["spent"] = {name: round(ms, 3) for name, ms in asdict(entry.spent).items()} | {
        "total_ms": round(entry.spent.total_ms, 3)
    }
    told["fault_at"] = None if entry.fault_at is None else entry.fault_at.to_json()
    told["chunks"] = len(entry.timeline)
    if whole:
        told["request_headers"] = dict(entry.request_headers)
        told["response_headers"] = dict(entry.response_headers)
        told["timeline"] = [[round(chunk.ms, 3), chunk.size, chunk.events] for chunk in entry.timeline]
        told["texts"] = None if entry.texts is None else asdict(entry.texts)
        told["why_slow"] = entry.why_slow.to_json()
        told["tokens"] = [one.to_json() for one in entry.tokens]
    return told


def tokens_of(entry: JournalEntry) -> list[Token]:
    """An answer as a line of tokens."""
    surface = SURFACES.get(entry.surface)
    if surface is None:
        return []
    is_stream = entry.response_headers.get("content-type", "").startswith("text/event-stream")
    reader = TokenReader(surface, entry.route, is_stream=is_stream)
    return reader.read(_pieces(entry), entry.fault_at, is_last=entry.is_over)


def _pieces(entry: JournalEntry) -> Iterator[Piece]:
    body = b"" if entry.sent is None else entry.sent.body
    place = 0
    for chunk in entry.timeline:
        end = place + chunk.size
        yield Piece(chunk.ms, chunk.size, chunk.events, body[place:end] if end <= len(body) else None)
        place = end


def _ms(ms: float) -> str:
    if ms < 10:  # noqa: PLR2004 - below it the digit behind the point counts
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"  # noqa: PLR2004


def _times(entry: JournalEntry) -> str:
    spent = entry.spent
    parts = (
        ("queue", spent.queue_ms),
        ("prefill", spent.prefill_ms),
        ("decode", spent.decode_ms),
        ("web", spent.web_ms),
        *([("client", spent.client_ms)] if spent.client_ms else []),
    )
    held = f"; {_ms(spent.held_ms)} of it waited on purpose" if spent.held_ms else ""
    return ", ".join(f"{name} {_ms(ms)}" for name, ms in parts) + held
