"""An exchange as a recording, which `phi-emulator replay` answers from. It must not know who replays it."""

from __future__ import annotations

from typing import Final

from phi_emulator.copies.copied import CopyError, copied
from phi_emulator.journal.entry import JournalEntry
from phi_emulator.recordings.exchanges import (
    KEPT_HEADERS,
    End,
    RecordedChunk,
    RecordedExchange,
    RecordedHead,
    RecordedRequest,
)
from phi_emulator.recordings.file import first_line, lines_of

__all__ = ["as_recording"]

_ENDS: Final = {
    "answered": End.COMPLETE,
    "refused": End.COMPLETE,
    "cut": End.CUT_OFF,
    "hung up": End.CLIENT_LEFT,
}


def as_recording(entry: JournalEntry, url: str) -> str:  # noqa: ARG001 - a recording is of no emulator
    """As the text of a file of one exchange.

    Raises:
        CopyError: it can't be.
    """
    if not entry.is_over:
        raise CopyError("it still runs: ask again when it has ended")
    asked = copied(entry)
    request = RecordedRequest(
        surface=asked.surface.name,
        method=asked.method,
        path=asked.route,
        api_version=entry.api_version,
        headers={name: value for name, value in asked.headers.items() if name in KEPT_HEADERS},
        body=asked.text.encode(),
    )
    chunks = tuple(_chunks(entry))
    ms = max(round(entry.spent.total_ms), chunks[-1].ms if chunks else 0)
    head = None
    if entry.status is not None:
        head = RecordedHead(entry.status, dict(entry.response_headers), chunks[0].ms if chunks else ms)
    end = _ENDS[entry.ending]
    if head is None and end is End.COMPLETE:
        raise CopyError("it has no answer")
    if head is None and end is End.CUT_OFF:
        end = End.UNREACHABLE
    return (first_line() + lines_of(RecordedExchange(request, head, chunks, end, ms))).decode()


def _chunks(entry: JournalEntry) -> list[RecordedChunk]:
    if not entry.response_bytes:
        return []
    if entry.texts is None:
        raise CopyError(
            "what was answered was not kept: set `journal_texts` (`--journal-texts yes`, or "
            '`POST /_emulator/settings` with {"journal_texts": true}), and ask again'
        )
    if entry.sent is None or not entry.sent.is_whole:
        raise CopyError("its answer is not kept whole: it is longer than 512 kB, or repeats a credential")
    body, place = entry.sent.body, 0
    found: list[RecordedChunk] = []
    for chunk in entry.timeline:
        found.append(RecordedChunk(body[place : place + chunk.size], round(chunk.ms)))
        place += chunk.size
    return found
