"""A link that notes what passes: each exchange with a place of Azure's becomes an entry of the journal.

It must not change anything that passes. It stands outside of all that answers, so it sees what goes over the wire. An
entry is complete before the last bytes go out: whoever has read them finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from starlette.types import Message, Receive, Send

from phi_client.contract.clock.base import SYSTEM_CLOCK
from phi_client.contract.error_body import read_error_body
from phi_emulator.journal.entry import Ending, JournalEntry, TokensUsed
from phi_emulator.journal.journal import Journal
from phi_emulator.journal.secrets import Cleaner
from phi_emulator.journal.spent import Spent
from phi_emulator.journal.timeline import Timeline
from phi_emulator.web.chain import Step
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.transport import ABORT

__all__ = ["JournalLink"]

_REFUSED: Final = 400
"""The first status of an error."""
_MOST_KEPT: Final = 64 * 1024
"""Bytes of an answer that are kept until it has ended."""
_MOST_CODE: Final = 100


class JournalLink:
    """The link. `keys` are those of the emulator, `unix` tells the seconds since 1970."""

    def __init__(
        self, journal: Journal, keys: Collection[str] = (), *, unix: Callable[[], float] = SYSTEM_CLOCK.unix
    ) -> None:
        self._journal = journal
        self._keys = keys
        self._unix = unix

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Let an exchange pass, and note it."""
        journal = self._journal
        if journal.most <= 0 or not exchange.place.is_of_surface:
            await following(exchange, receive, send)
            return
        note = _Note(exchange, self._keys, self._unix())
        journal.begin(note, note.entry)

        async def received() -> Message:
            message = await receive()
            note.take_in(message)
            return message

        async def sent(message: Message) -> None:
            if note.see(message):
                journal.end(note)
            await send(message)

        try:
            await following(exchange, received, sent)
        finally:
            note.leave()
            journal.end(note)


class _Note:
    """What is noted of one exchange so far."""

    def __init__(self, exchange: Exchange, keys: Collection[str], began: float) -> None:
        self._exchange = exchange
        self._clock = exchange.clock.now
        self._received = exchange.received
        self._keys = keys
        self._began = began
        self._over: float | None = None
        self._ending: Ending = "running"
        self._status: int | None = None
        self._headers: list[tuple[str, str]] = []
        self._is_stream = False
        self._request_bytes = 0
        self._response_bytes = 0
        self._timeline = Timeline()
        self._kept = b""

    def take_in(self, message: Message) -> None:
        """A piece of the request."""
        self._request_bytes += len(message.get("body", b""))

    def see(self, message: Message) -> bool:
        """A piece of the answer, before it goes out. Whether it is the last one."""
        kind = message["type"]
        if kind == "http.response.body":
            data: bytes = message.get("body", b"")
            if data:
                self._add(data)
            if message.get("more_body", False):
                return False
            self._end("refused" if (self._status or 0) >= _REFUSED else "answered")
            return True
        if kind == "http.response.start":
            self._status = message["status"]
            self._headers = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            ]
            self._is_stream = any(
                name == "content-type" and value.startswith("text/event-stream")
                for name, value in self._headers
            )
            return False
        if kind == ABORT:
            if message["last"]:
                self._add(message["last"])
            self._end("cut")
            return True
        return False

    def leave(self) -> None:
        """Nothing more comes of it."""
        self._end("hung up")

    def entry(self, number: int | None) -> JournalEntry:
        """How it stands."""
        exchange = self._exchange
        request, asked, answer = exchange.request, exchange.asked, exchange.answer
        clean = Cleaner(self._keys, exchange.headers)
        usage, finish_reason = self._outcome()
        return JournalEntry(
            number=number,
            id=exchange.request_id,
            scope=clean.text(exchange.scope),
            began=self._began,
            ending=self._ending,
            method=clean.text(request.method),
            path=clean.text(exchange.path),
            surface=exchange.dialect.name,
            route=clean.text(exchange.place.route),
            request_headers=clean.head(exchange.headers.items()),
            api_version=request.query_params.get("api-version"),
            deployment=None if exchange.deployment is None else clean.text(exchange.deployment[:256]),
            streamed=asked is not None and bool(asked.stream),
            sampling={}
            if asked is None
            else {
                "temperature": asked.temperature,
                "top_p": asked.top_p,
                "seed": asked.seed,
                "max_tokens": asked.max_tokens,
                "budget": None if answer is None else answer.sampling.max_tokens,
            },
            status=self._status,
            error_code=self._error_code(clean),
            response_headers=clean.head(self._headers),
            usage=usage,
            finish_reason=finish_reason,
            fault=exchange.fault,
            scripted=exchange.scripted,
            latency=exchange.latency,
            spent=self._spent(),
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
            timeline=self._timeline.copy(),
        )

    def _add(self, data: bytes) -> None:
        self._response_bytes += len(data)
        events = data.count(b"\n\n") if self._is_stream else 0
        self._timeline.add((self._clock() - self._received) * 1000, len(data), events)
        if not self._is_stream and len(self._kept) < _MOST_KEPT and (self._status or 0) >= _REFUSED:
            self._kept += data[:_MOST_KEPT]

    def _end(self, ending: Ending) -> None:
        if self._over is None:
            self._over, self._ending = self._clock(), ending

    def _error_code(self, clean: Cleaner) -> str | None:
        if self._status is None or self._status < _REFUSED:
            return None
        code = read_error_body(self._kept).code
        return str(self._status) if code is None else clean.text(str(code)[:_MOST_CODE])

    def _outcome(self) -> tuple[TokensUsed | None, str | None]:
        answer = self._exchange.answer
        if answer is None:
            return None, None
        progress = answer.progress
        usage = answer.usage
        if usage is None:
            return TokensUsed(progress.prompt_tokens, progress.completion_tokens), None
        tokens = TokensUsed(usage.prompt_tokens, usage.completion_tokens, progress.cached_prompt_tokens)
        return tokens, answer.finish_reason

    def _spent(self) -> Spent:
        over = self._clock() if self._over is None else self._over
        answer = self._exchange.answer
        marks: Mapping[str, Any] = {}
        if answer is not None:
            progress = answer.times or answer.progress
            marks = {name: getattr(progress, name) for name in ("queued", "admitted", "first_token", "ended")}
        return Spent.between(self._received, over, held=self._exchange.held_s, **marks)
