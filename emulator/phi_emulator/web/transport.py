"""A connection's transport, which closes so that a last answer can be read, and can be made to reset.

It must not know HTTP. A socket that is closed while something comes in is reset by the system, and an answer that is on
its way is lost with it. So whoever is still sending is told the end first, and what comes is dropped for a while
(RFC 9112, 9.6; other servers call it a lingering close).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from phi_emulator.platforms import reset_on_close
from phi_emulator.web.wire_end import WireEnd

__all__ = ["ABORT", "ASIDE", "LingeringTransport"]

ABORT: Final = "phi_emulator.abort"
"""An ASGI message that cuts the connection: with a `reset` or with an early end, after bytes that are `last`."""

ASIDE: Final = "phi_emulator.aside"
"""An ASGI message after which virtual time doesn't wait for the exchange any more: it only looks at others."""

_LINGER_S: Final = 10.0
_LINGER_BYTES: Final = 64 * 1024 * 1024


class LingeringTransport(asyncio.Transport):
    """`inner`, whose `close` lingers where `is_being_sent_to` says that something is still coming."""

    def __init__(
        self,
        inner: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        is_being_sent_to: Callable[[], bool],
        end: WireEnd,
    ) -> None:
        super().__init__()
        self._inner = inner
        self._loop = loop
        self._is_being_sent_to = is_being_sent_to
        self._end = end
        self._may_drop = _LINGER_BYTES
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Close when all is written; a second call waits for nobody."""
        if self.is_closing() or not self._is_being_sent_to():
            self.close_now()
            return
        try:
            self._end.ends()
            self._inner.write_eof()
        except OSError:
            # The client was faster.
            self.close_now()
            return
        self._timer = self._loop.call_later(_LINGER_S, self._inner.abort)
        self._inner.resume_reading()

    def close_now(self) -> None:
        """Close when all is written, whoever is still sending."""
        self._end.ends()
        self._inner.close()

    def reset(self) -> None:
        """Close with a reset; what the system has not sent yet is lost."""
        self._end.ends()
        sock: socket.socket = self._inner.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close())
        self._inner.abort()

    def drop(self, size: int) -> None:
        """So many bytes came after the end."""
        self._may_drop -= size
        if self._may_drop < 0:
            self._inner.abort()

    def lost(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()

    def is_closing(self) -> bool:
        """Whether nothing is read any more that counts."""
        return self._timer is not None or self._inner.is_closing()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send; nothing after the end."""
        if self._timer is None:
            self._end.gives(len(data))
            self._inner.write(data)

    def pause_reading(self) -> None:
        """Read nothing for now; what is dropped is read on."""
        if self._timer is None:
            self._end.deaf(is_so=True)
            self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._end.deaf(is_so=False)
        self._inner.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio has it."""
        self._inner.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio has it."""
        return self._inner.get_extra_info(name, default)
