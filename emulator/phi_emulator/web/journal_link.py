"""A link that notes what passes: each exchange with a place of Azure's becomes an entry of the journal.

It must not change anything that passes. It stands outside of all that answers, so it sees what goes over the wire. All
is noted before the last bytes go out: whoever has read them finds the entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from starlette.types import Message, Receive, Send

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_emulator.journal.journal import Journal
from phi_emulator.journal.secrets import Cleaner, Harmless
from phi_emulator.web.chain import Step
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.journal_note import Note

__all__ = ["JournalLink"]

_TIDY_S: Final = 0.02


class JournalLink:
    """The link. `keys` are those of the emulator, `unix` tells the seconds since 1970."""

    def __init__(
        self, journal: Journal, keys: Collection[str] = (), *, unix: Callable[[], float] = SYSTEM_CLOCK.unix
    ) -> None:
        self._journal = journal
        self._keys = keys
        self._harmless = Harmless()
        self._unix = unix
        self._is_planned = False

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Let an exchange pass, and note it."""
        journal = self._journal
        if journal.most <= 0 or not exchange.place.is_of_surface:
            await following(exchange, receive, send)
            return

        def cleaner() -> Cleaner:
            return Cleaner(self._keys, exchange.headers, self._harmless)

        note = Note(exchange, cleaner, self._unix(), keeps_texts=exchange.behaviour.keeps_texts)
        journal.begin(note, note.entry, note)

        async def received() -> Message:
            note.wait_for_body()
            message = await receive()
            note.take_in(message)
            return message

        async def sent(message: Message) -> None:
            if note.see(message):
                journal.end(note)
            await send(message)
            note.wait_no_more()

        try:
            await following(exchange, received, sent)
        finally:
            note.leave()
            journal.end(note)
            self._tidy_later(exchange.clock)

    def _tidy_later(self, clock: Clock) -> None:
        """Make the entry when the next request, which often follows at once, is on its way."""
        if not self._is_planned:
            self._is_planned = True
            clock.call_later(asyncio.get_running_loop(), _TIDY_S, partial(self._tidy, clock))

    def _tidy(self, clock: Clock) -> None:
        self._is_planned = False
        if self._journal.tidy():
            self._tidy_later(clock)
