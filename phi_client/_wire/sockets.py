"""Sockets of asyncio as httpcore's connections want them.

It must not know HTTP. httpcore brings its own, on anyio, which costs a quarter of a small request's time; an event loop
of another kind than asyncio's is not supported here anyway.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any, Final

import httpcore

__all__ = ["AsyncioNetwork"]

_MOST_HELD: Final = 256 * 1024
"""Bytes that may have come and not been read before the peer is made to wait."""
_MOST_PENDING: Final = 64 * 1024
"""Bytes that may wait to be sent together; about what asyncio itself takes before it asks to wait."""


class AsyncioNetwork(httpcore.AsyncNetworkBackend):
    """Makes connections on the running event loop."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection.

        Raises:
            httpcore.ConnectError: there is none.
            httpcore.ConnectTimeout: there was none within `timeout` seconds.
        """
        with _raised_as(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                wire = await _connected(host, port, timeout, local_address)
        for option in socket_options or ():
            wire.transport.get_extra_info("socket").setsockopt(*option)
        return _Stream(wire)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class _Wire(asyncio.Protocol):
    """What has come over a connection and was not read yet, and whether more may be sent."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = bytearray()
        self.has_ended = False
        self.error: Exception | None = None
        self._is_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._must_wait = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # of a stream
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        _wake(self._reader)
        if len(self.received) > _MOST_HELD and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> None:
        self.has_ended = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended, self.error = True, exc
        _wake(self._reader)
        self.resume_writing()

    def pause_writing(self) -> None:
        self._must_wait = True

    def resume_writing(self) -> None:
        self._must_wait = False
        _wake(self._writer)

    async def some(self, most: int) -> bytes:
        """Up to `most` bytes, as soon as there are any; none at the end."""
        while not self.received and not self.has_ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if self.error is not None and not self.received:
            raise self.error
        data = bytes(self.received[:most])
        del self.received[:most]
        if self._is_paused and len(self.received) <= _MOST_HELD:
            self._is_paused = False
            self.transport.resume_reading()
        return data

    async def sent(self) -> None:
        """Return when more may be sent."""
        while self._must_wait and not self.has_ended:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self.error is not None:
            raise self.error


class _Stream(httpcore.AsyncNetworkStream):
    """A connection. What is written goes out when it is much, or when the answer is waited for: so a request's head
    and body, which are written one after the other, are one packet.
    """

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._pending: list[bytes] = []
        self._pending_size = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's
        """Up to `max_bytes` bytes; none at the end.

        Raises:
            httpcore.ReadError: the connection broke.
            httpcore.ReadTimeout: nothing came within `timeout` seconds.
        """
        # A peer that listens no more may have answered before.
        self._send_pending()
        wire = self._wire
        with _raised_as(httpcore.ReadTimeout, httpcore.ReadError):
            if wire.received:
                return await wire.some(max_bytes)
            async with asyncio.timeout(timeout):
                return await wire.some(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's
        """Take bytes to send.

        Raises:
            httpcore.WriteError: the connection broke.
            httpcore.WriteTimeout: the peer did not take what was sent before within `timeout` seconds.
        """
        if not buffer:
            return
        self._pending.append(buffer)
        self._pending_size += len(buffer)
        if self._pending_size < _MOST_PENDING:
            return
        self._send_pending()
        with _raised_as(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                await self._wire.sent()

    async def aclose(self) -> None:
        """End the connection at once."""
        self._pending.clear()
        self._wire.transport.abort()
        await asyncio.sleep(0)  # in which the loop closes the socket

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
    ) -> httpcore.AsyncNetworkStream:
        """The connection, encrypted from here on.

        Raises:
            httpcore.ConnectError: the handshake failed.
            httpcore.ConnectTimeout: it took longer than `timeout` seconds.
        """
        wire = self._wire
        try:
            with _raised_as(httpcore.ConnectTimeout, httpcore.ConnectError):
                async with asyncio.timeout(timeout):
                    transport = await asyncio.get_running_loop().start_tls(
                        wire.transport, wire, ssl_context, server_hostname=server_hostname
                    )
        except BaseException:
            wire.transport.abort()
            raise
        assert transport is not None  # noqa: S101  # a failed handshake raises
        wire.transport = transport
        return _Stream(wire)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection."""
        extra = self._wire.transport.get_extra_info
        if info == "ssl_object":
            return extra("ssl_object")
        if info == "client_addr":
            return extra("sockname")
        if info == "server_addr":
            return extra("peername")
        if info == "socket":
            return extra("socket")
        if info == "is_readable":
            wire = self._wire
            return bool(wire.received) or wire.has_ended or _is_readable(extra("socket"))
        return None

    def _send_pending(self) -> None:
        if self._pending:
            self._wire.transport.write(b"".join(self._pending))
            self._pending.clear()
            self._pending_size = 0


async def _connected(host: str, port: int, limit_s: float | None, local_address: str | None) -> _Wire:
    """A connection to the first of a host's addresses that takes one, each with its share of the limit.

    Not two at once: asyncio's own race loses a socket when it is cancelled in the moment in which it is won.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + (limit_s or 0.0)
    local = None if local_address is None else (local_address, 0)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(family, str(address[0])) for family, _, _, _, address in found]
    while len(addresses) > 1:
        family, address = addresses.pop(0)
        share_s = None if limit_s is None else (end - loop.time()) / (len(addresses) + 1)
        with suppress(OSError):
            async with asyncio.timeout(share_s):
                return (await loop.create_connection(_Wire, address, port, family=family, local_addr=local))[
                    1
                ]
    # A single address stays as it was given: it may have a zone, which resolving takes away.
    last = addresses[0][1] if len(found) > 1 else host
    return (await loop.create_connection(_Wire, last, port, local_addr=local))[1]


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _is_readable(connected: socket.socket) -> bool:
    """Whether anything has come, or the end has, of which the event loop may not know yet."""
    if connected.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([connected], [], [], 0)[0])
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _raised_as(timed_out: type[Exception], failed: type[Exception]) -> Generator[None]:
    """Turn the errors of sockets and of TLS into httpcore's."""
    try:
        yield
    except TimeoutError as error:
        raise timed_out(error) from error
    except (OSError, RuntimeError) as error:
        raise failed(error) from error
