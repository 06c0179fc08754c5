"""One connection, as uvicorn speaks HTTP on it, fed and waited for within bounds.

It must not know the application. What the bounds are for: asyncio hands over up to 256 kB at once, which may be one
header of that size, or ten thousand chunks of one byte, each of which costs as much as one of a page; and a request
that never comes to its end must not keep a connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

__all__ = ["MOST_HEAD_BYTES", "BoundedProtocol"]

MOST_HEAD_BYTES: Final = 32 * 1024
"""Of a request line and its headers; a token of Entra ID takes some kilobytes."""

_PIECE_BYTES: Final = 8 * 1024
"""What is read before others have their turn: some milliseconds, even where it is chunks of one byte."""

_HEAD_S: Final = 75.0
"""Time for a request's head to come in."""


class BoundedProtocol(H11Protocol):
    """`H11Protocol`, which reads in small pieces and doesn't wait for ever."""

    head_seconds: float = _HEAD_S
    _unread: bytes = b""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]  # a stream's, as uvicorn has it
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what is unread."""
        self._unread = b""
        self._stop_watching()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a piece now and the rest when others have had their turn."""
        if self._unread:
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
            self.transport.close()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, of which a part may be there."""
        super().on_response_complete()
        self._watch_head()

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
            self._timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self._has_request:
            self.transport.close()
