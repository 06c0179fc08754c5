"""What the feeds tell of exchanges, batch by batch. It must not know who listens, or send anything."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from phi_emulator.journal.entry import JournalEntry
from phi_emulator.journal.journal import Journal, Watchable
from phi_emulator.journal.pages import to_json
from phi_emulator.web.insight.engine import EngineWatch
from phi_emulator.web.insight.feeds import Pause, event

__all__ = ["all_exchanges", "one_exchange"]

_LIST_S: Final = 0.1
_TOKENS_S: Final = 0.05
_RUNNING_S: Final = 1.0
"""How often it is told how those that run stand."""
_QUIET_S: Final = 15.0
"""After how long without news something is said, by which each end knows that the other is there."""
_MOST_ROWS: Final = 200
_MOST_TOKENS: Final = 500
_ALIVE: Final = b": nothing new\n\n"


async def all_exchanges(
    journal: Journal,
    engine: EngineWatch,
    now: Callable[[], float],
    *,
    keeps_texts: Callable[[], bool],
    scope: str | None = None,
    after: int = 0,
) -> AsyncGenerator[bytes]:
    """The list: what ended after a number, what begins and ends from now on, and how those stand that run."""
    pause, changes, said, looked = Pause(_LIST_S), -1, now(), float("-inf")
    ids = set[str]()
    while True:
        at = now()
        is_due = at - looked >= _RUNNING_S
        if journal.changes != changes or is_due:
            changes = journal.changes
            ended = journal.ended(scope=scope, after=after)
            running = journal.all_watched(scope=scope)
            shown = [one for one in running if is_due or one.id not in ids]
            ids = {one.id for one in running}
            rows = [*ended, *(one.row() for one in shown)]
            for batch in [rows[place : place + _MOST_ROWS] for place in range(0, len(rows), _MOST_ROWS)] or (
                [[]] if looked < 0 else []
            ):
                after = max([after, *(one.number or 0 for one in batch)])
                yield _list_event(journal, batch, after, keeps_texts=keeps_texts())
                said = at
        if is_due:
            looked = at
            yield event("engine", engine.look())
        elif at - said >= _QUIET_S:
            said = at
            yield _ALIVE
        await pause.wait()


def _list_event(journal: Journal, rows: list[JournalEntry], last: int, *, keeps_texts: bool) -> bytes:
    told: dict[str, Any] = {
        "last": last,
        "dropped": journal.dropped,
        "keeps_texts": keeps_texts,
        "exchanges": [to_json(one) for one in rows],
    }
    return event("exchanges", told, number=last)


async def one_exchange(journal: Journal, watched: Watchable | None, request_id: str) -> AsyncGenerator[bytes]:
    """The tokens of one from its beginning, as they come, and at its end all that is known of it."""
    pause, reader = Pause(_TOKENS_S), None
    while watched is not None and not watched.is_over:
        reader = reader or watched.reader()
        if reader is not None:
            tokens = [one.to_json() for one in reader.read(watched.pieces(reader.offset), watched.fault_at)]
            for place in range(0, len(tokens), _MOST_TOKENS):
                yield event("token", tokens[place : place + _MOST_TOKENS])
        await pause.wait()
    if watched is not None:
        reader = reader or watched.reader()
        if reader is not None:
            pieces = watched.pieces(reader.offset)
            tokens = [one.to_json() for one in reader.read(pieces, watched.fault_at, is_last=True)]
            if tokens:
                yield event("token", tokens)
    entry = journal.find(request_id)
    if entry is not None and watched is None:
        tokens = [one.to_json() for one in entry.tokens]
        for place in range(0, len(tokens), _MOST_TOKENS):
            yield event("token", tokens[place : place + _MOST_TOKENS])
    yield event("end", None if entry is None else to_json(entry, whole=True))
