"""One connection, as uvicorn speaks HTTP on it, fed and waited for within bounds.

It must not know the application. What the bounds are for: asyncio hands over up to 256 kB at once, which may be one
header of that size, or ten thousand chunks of one byte, each of which costs as much as one of a page; and a request
that never comes to its end must not keep a connection for ever.

The application may cut a connection by an ASGI message of its own, `ABORT`, which the scope's extensions announce.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final, cast

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock, Timer
from phi_emulator.web.transport import ABORT, ASIDE, LingeringTransport
from phi_emulator.web.wire_end import WireEnd

__all__ = ["MOST_HEAD_BYTES", "BoundedProtocol"]

MOST_HEAD_BYTES: Final = 32 * 1024
"""Of a request line and its headers; a token of Entra ID takes some kilobytes."""

_PIECE_BYTES: Final = 8 * 1024
"""What is read before others have their turn: some milliseconds, even where it is chunks of one byte."""

_HEAD_S: Final = 75.0
"""Time for a request's head to come in."""


class BoundedProtocol(H11Protocol):
    """`H11Protocol`, which reads in small pieces, doesn't wait for ever, and lets refusals be read."""

    head_seconds: float = _HEAD_S
    _lingering: LingeringTransport
    _unread: bytes = b""
    _timer: Timer | None = None
    _is_stopping = False

    def __init__(self, *given: Any, clock: Clock = SYSTEM_CLOCK, **named: Any) -> None:
        super().__init__(*given, **named)
        self._clock = clock
        self._end = WireEnd(clock)
        self._application = cast("ASGIApp", self.app)
        self.app = cast("Any", self._run)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        # A stream's, as uvicorn has it.
        inner = cast("asyncio.Transport", transport)
        self._end.begin(inner.get_extra_info("sockname"), inner.get_extra_info("peername"))
        self._lingering = LingeringTransport(inner, self.loop, self._is_being_sent_to, self._end)
        super().connection_made(self._lingering)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what is unread."""
        self._unread = b""
        self._stop_watching()
        self._lingering.lost()
        super().connection_lost(exc)
        self._end.lose()

    def data_received(self, data: bytes) -> None:
        """Read a piece now and the rest when others have had their turn."""
        self._end.took(len(data))
        if self.transport.is_closing():
            self._lingering.drop(len(data))
        elif self._unread:
            self._unread += data
        else:
            self._read(data)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP and close; in the middle of an answer close alone."""
        self._unread = b""
        if self._has_request:
            # Whoever answers it is told that nobody listens any more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self._lingering.close_now()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, of which a part may be there."""
        super().on_response_complete()
        self._watch_head()

    def pause_writing(self) -> None:
        """Send nothing before the client has read."""
        super().pause_writing()
        self._end.stuck(is_so=True)

    def resume_writing(self) -> None:
        """Send on."""
        super().resume_writing()
        self._end.stuck(is_so=False)

    def shutdown(self) -> None:
        """End what needs no answer any more; from now on nothing lingers."""
        self._is_stopping = True
        if self.transport.is_closing():
            self._lingering.close_now()
        else:
            super().shutdown()

    def _should_upgrade(self) -> bool:
        """No: uvicorn would log which libraries to install for it."""
        return False

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one request, and do what it says to the connection."""
        cycle = self.cycle  # of this request: the next one is begun when this one is through

        async def sent(message: Message) -> None:
            if message["type"] == ASIDE:
                answering.close()
                return
            if message["type"] == ABORT:
                await self._abort(cycle, reset=message["reset"], last=message["last"])
                return
            if message["type"] == "http.response.start":
                cycle.default_headers = [(b"date", _date(int(self._clock.unix())))]
            with self._end.sending():
                await send(cast("Any", message))

        scope["extensions"] = {ABORT: {}, ASIDE: {}}
        with ExitStack() as answering:
            answering.enter_context(self._end.answering())
            await self._application(scope, receive, sent)

    async def _abort(self, cycle: RequestResponseCycle, *, reset: bool, last: bytes) -> None:
        if last and not cycle.response_complete:
            self.transport.write(last)
        if reset:
            # A reset throws away what is not on its way yet.
            self.transport.set_write_buffer_limits(0)
            with self._end.sending():
                await self.flow.drain()
        if cycle.response_complete or cycle.disconnected:
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if reset:
            self._lingering.reset()
        else:
            self._lingering.close_now()

    def _is_being_sent_to(self) -> bool:
        """Whether a request is still coming in, or what is none, and there is time for it."""
        is_amid = bool(self._unread) or self.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        return is_amid and not self._is_stopping

    def _read(self, data: bytes) -> None:
        piece, self._unread = data[:_PIECE_BYTES], data[_PIECE_BYTES:]
        if self._unread:
            # Before the piece is read: that may close the connection, after which nothing is unread.
            self.loop.call_soon(self._read_on)
        super().data_received(piece)
        if self._unread:
            self.transport.pause_reading()
        self._watch_head()

    def _read_on(self) -> None:
        if not self._unread or self.transport.is_closing():
            return
        self._read(self._unread)
        if not self._unread and not self.flow.read_paused:
            self.transport.resume_reading()

    @property
    def _has_request(self) -> bool:
        """Whether a request is being answered."""
        # None before the first request, whatever uvicorn's annotation says.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _watch_head(self) -> None:
        if self._has_request or self.transport.is_closing():
            self._stop_watching()
        elif self._timer is None:
            self._timer = self._clock.call_later(self.loop, self.head_seconds, self._give_up)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self._has_request:
            self.transport.close()


@lru_cache(maxsize=4)
def _date(unix: int) -> bytes:
    return formatdate(unix, usegmt=True).encode()
