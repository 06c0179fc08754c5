"""Answers requests from recordings, frame by frame, at the recorded pace or another. It must not know files."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from starlette.types import Receive, Send

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_client.contract.service.refusals import Refusal
from phi_emulator.recordings.exchanges import End, RecordedExchange, RecordedRequest
from phi_emulator.recordings.local import AnswerStep
from phi_emulator.recordings.shelf import NoRecordingError, Shelf
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.chain import abort
from phi_emulator.web.disconnect import run_unless_gone
from phi_emulator.web.exchange import Exchange

__all__ = ["NO_RECORDING", "Replayer"]

logger = logging.getLogger("phi_emulator.recordings")

NO_RECORDING: Final = "NoRecording"
"""The code of the error that a request gets which no recording answers."""
_STATUS: Final = 400
"""No client tries again on it."""
_MOST_MISSES: Final = 100


class Replayer:
    """Answers from a shelf. `speed` is how much faster than recorded: 1 keeps the times, 0 waits for nothing.

    What no recording answers goes to `otherwise`, where there is one, and else gets an error.
    Its waits are `clock`'s.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        speed: float = 1,
        otherwise: AnswerStep | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._shelf = shelf
        self._speed = speed
        self._otherwise = otherwise
        self._clock = clock
        self._turn = asyncio.Lock()
        self.answered = 0
        """Requests that a recording answered."""
        self.unanswered = 0
        """Requests that none answered."""
        self.misses: deque[str] = deque(maxlen=_MOST_MISSES)
        """Why the last of them were not, in the words of their answers, which quote what was asked."""

    async def answer(self, asked: RecordedRequest, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ServiceError: no recording answers it.
            ClientDisconnect: the client left before the end.
        """
        started = self._clock.now()
        try:
            # In a thread: what a large body means takes a while to read.
            async with self._turn:
                found = await asyncio.to_thread(self._shelf.find, asked)
        except NoRecordingError as error:
            if self._otherwise is not None:
                await self._otherwise.answer(asked, exchange, receive, send)
                return
            self.unanswered += 1
            self.misses.append(str(error))
            logger.warning("no recording answers request %s; its answer says why", exchange.request_id)
            told = {"error": {"code": NO_RECORDING, "message": str(error), "type": NO_RECORDING}}
            raise ServiceError(Refusal(_STATUS, told, by_model=False)) from None
        self.answered += 1
        await run_unless_gone(receive, self._play(found, started, exchange, send))

    async def _play(self, found: RecordedExchange, started: float, exchange: Exchange, send: Send) -> None:
        if found.head is not None:
            await self._wait(started, found.head.ms)
            told = dict(found.head.headers)
            if "content-length" in told and found.chunks and found.end is End.COMPLETE:
                # A recording may have been edited by hand.
                told["content-length"] = str(len(found.body))
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
            await send({"type": "http.response.start", "status": found.head.status, "headers": headers})
        for chunk in found.chunks:
            await self._wait(started, chunk.ms)
            await send({"type": "http.response.body", "body": chunk.data, "more_body": True})
        await self._wait(started, found.ms)
        if found.end is End.COMPLETE:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await abort(exchange, send, reset=False)

    async def _wait(self, started: float, ms: int) -> None:
        """Until so many milliseconds after the request, by the recording's time."""
        if self._speed:
            seconds = started + ms / 1000 / self._speed - self._clock.now()
            if seconds > 0:
                await self._clock.sleep_async(seconds)
