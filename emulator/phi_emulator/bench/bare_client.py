"""The barest HTTP client that can hear a stream. It must not know what is asked or measured.

What a better one does for its user is no time of the emulator, and on a small machine it takes the engine's processors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

__all__ = ["BareClient"]

_LAST: Final = b"0\r\n\r\n"
_MOST_BYTES: Final = 65536


class BareClient:
    """Posts JSON to one path of a server on this machine, over connections that it keeps."""

    def __init__(self, host: str, port: int, path: str, authorization: str) -> None:
        self._where = host, port
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def stream(self, body: bytes) -> AsyncGenerator[bytes]:
        """The body of the answer as it comes, with the marks of its transfer between. Close it to hang up.

        Raises:
            RuntimeError: the status is not 200, or the stream breaks off.
        """
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._where)
        is_whole = False
        try:
            writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
            status = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in status.partition(b"\r\n")[0]:
                raise RuntimeError(f"a stream was refused: {status.decode('latin-1')}")
            end = b""
            # JSON has no line breaks in its texts, so nothing else ends like this.
            while not end.endswith(_LAST):
                piece = await reader.read(_MOST_BYTES)
                if not piece:
                    raise RuntimeError("a stream broke off")
                end = (end + piece)[-len(_LAST) :]
                yield piece
            is_whole = True
        finally:
            if is_whole:
                self._idle.append((reader, writer))
            else:
                writer.close()

    def close(self) -> None:
        """Close what is kept."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
