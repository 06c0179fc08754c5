"""Sockets as httpcore's async connections want them. Its twin is `sync_network.py`, without `await`.

It must not know HTTP, nor any kind of event loop: it uses what all loops of asyncio have. A socket of our own can be
closed without the loop, at once, also after the loop itself is closed, so nothing must be shielded. Before each wait
the cable says how long it may take; the timeouts that httpcore passes do not count. What is written goes out when it is
much, or when the answer is waited for: a request's head and body, which are written one after the other, are one
packet.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar, cast

import httpcore

from phi_client._wire.addresses import Address, Tries, known_addresses, open_socket, resolved
from phi_client._wire.async_waiting import arrive, awaited, finished
from phi_client._wire.background import Job
from phi_client._wire.connection_state import Cable
from phi_client._wire.network_facts import MOST_AT_ONCE, MOST_PENDING, about, raised_as

__all__ = ["AsyncNetwork"]

_T = TypeVar("_T")


class AsyncNetwork(httpcore.AsyncNetworkBackend):
    """Makes the one connection of a cable."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109  # httpcore's
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """A connection.

        Raises:
            httpcore.ConnectError: there is none.
            httpcore.ConnectTimeout: there was none within the limit.
        """
        try:
            await self._reach(host, port)
        except OSError as error:
            raise raised_as(error, "connect") from error
        except BaseException:
            self._cable.close()
            raise
        return _Plain(self._cable)

    async def _reach(self, host: str, port: int) -> None:
        """Connect to the first of a host's addresses that takes a connection."""
        tries = Tries.of(self._cable, await self._addresses(host, port))
        for address, share_s in tries:
            try:
                await self._connect(address, share_s)
            except OSError as error:
                tries.failed(error)
            else:
                return
        raise tries.failure()

    async def _addresses(self, host: str, port: int) -> list[Address]:
        known = known_addresses(host, port)
        if known is not None:
            return known
        cable, job = self._cable, Job[list[Address]]()
        cable.waiting = job
        try:
            left_s = cable.left_s("connect")
            job.start(partial(resolved, host, port))
            await finished(job, left_s)
            return job.result()
        finally:
            cable.waiting = None

    async def _connect(self, address: Address, limit_s: float | None) -> None:
        cable = self._cable
        sock = open_socket(cable, address)
        sock.settimeout(0)
        async with asyncio.timeout(limit_s):
            await _connected(sock, address[3])
        cable.connected()


class _Plain(httpcore.AsyncNetworkStream):
    """A connection as it is."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._read_in_a_row = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's
        """Up to `max_bytes` bytes; none at the end.

        Raises:
            httpcore.ReadError: the connection broke.
            httpcore.ReadTimeout: nothing came within the limit.
        """
        cable = self._cable
        if self._pending:
            # A peer that listens no more may have answered before.
            with suppress(httpcore.WriteError):
                await self._send_pending(timeout)
        phase = cable.phase("read", timeout)
        try:
            data = await self._receive(max_bytes, cable.left_s(phase))
        except OSError as error:
            raise raised_as(error, phase) from error
        except BaseException:
            cable.close()
            raise
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's
        """Take bytes to send.

        Raises:
            httpcore.WriteError: the connection broke.
            httpcore.WriteTimeout: the peer did not take what was sent within the limit.
        """
        if buffer:
            self._pending.append(buffer)
            self._pending_size += len(buffer)
            if self._pending_size >= MOST_PENDING:
                await self._send_pending(timeout)

    async def aclose(self) -> None:
        """End the connection at once."""
        self._pending.clear()
        self._cable.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
    ) -> httpcore.AsyncNetworkStream:
        """The connection, encrypted from here on.

        Raises:
            httpcore.ConnectError: the handshake failed.
            httpcore.ConnectTimeout: it took longer than the limit.
        """
        return await _sealed(self, self._cable, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection."""
        return about(self._cable.sock, info)

    async def _send_pending(self, given_s: float | None) -> None:
        cable = self._cable
        phase = cable.phase("write", given_s)
        rest = memoryview(b"".join(self._pending))
        self._pending.clear()
        self._pending_size = 0
        try:
            while rest:
                left_s = cable.left_s(phase)
                cable.is_sent |= phase == "write"
                rest = await self._send_some(rest, left_s)
        except OSError as error:
            raise raised_as(error, phase) from error
        except BaseException:
            cable.close()
            raise

    async def _receive(self, most: int, limit_s: float | None) -> bytes:
        cable = self._cable
        sock = _open_socket(cable)
        if self._read_in_a_row < _MOST_IN_A_ROW:
            try:
                data = sock.recv(most)
            except (BlockingIOError, InterruptedError):
                self._read_in_a_row = 0
            else:
                self._read_in_a_row += len(data) + _COST_OF_A_READ
                if cable.wire is not None:
                    cable.wire.received(len(data))
                if not data:
                    cable.check()
                return data
        else:
            # A peer that is faster than we are must not keep all other tasks waiting.
            self._read_in_a_row = 0
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        with _alarm(cable, limit_s) if cable.wire is None else awaited(cable, cable.wire, limit_s):
            try:
                data = await loop.sock_recv(sock, most)
                if cable.wire is not None:
                    cable.wire.received(len(data))
            except GeneratorExit:
                _let_go(loop, sock)
                raise
        if not data:
            cable.check_end()
        return data

    async def _send_some(self, data: memoryview, limit_s: float | None) -> memoryview:
        """What is left of `data` after a part of it was sent."""
        sock, wire = _open_socket(self._cable), self._cable.wire
        part = data[:MOST_AT_ONCE]
        try:
            sent = sock.send(part)
        except (BlockingIOError, InterruptedError):
            pass
        else:
            if wire is not None:
                wire.sent(sent)
            return data[sent:]
        loop = asyncio.get_running_loop()
        with _alarm(self._cable, limit_s):
            try:
                await loop.sock_sendall(sock, part)
            except OSError:
                self._cable.check_end()
                raise
            except GeneratorExit:
                _let_go(loop, sock)
                raise
        if wire is not None:
            wire.sent(len(part))
        return data[len(part) :]


class _Sealed(httpcore.AsyncNetworkStream):
    """A connection under TLS, over one that may be so itself, as through a proxy."""

    def __init__(
        self, inner: httpcore.AsyncNetworkStream, cable: Cable, context: ssl.SSLContext, host: str | None
    ) -> None:
        self._inner = inner
        self._cable = cable
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def shake_hands(self, given_s: float | None) -> None:
        """Come to an agreement with the peer."""
        await self._do(self._tls.do_handshake, given_s)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's
        """As that of a plain connection."""
        try:
            return await self._do(lambda: self._tls.read(max_bytes), timeout)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's
        """As that of a plain connection."""
        rest = memoryview(buffer)
        try:
            while rest:
                part = rest[:MOST_AT_ONCE]
                rest = rest[await self._do(lambda part=part: self._tls.write(part), timeout) :]  # type: ignore[misc]
        except ssl.SSLError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        """End the connection at once."""
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
    ) -> httpcore.AsyncNetworkStream:
        """As that of a plain connection: TLS within TLS."""
        return await _sealed(self, self._cable, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection."""
        if info == "ssl_object":
            return self._tls
        if info == "is_readable" and self._tls.pending():
            return True
        return self._inner.get_extra_info(info)

    async def _do(self, operation: Callable[[], _T], given_s: float | None) -> _T:
        """Have TLS do something, and carry for it what it wants to send and to read."""
        while True:
            try:
                outcome = operation()
            except ssl.SSLWantReadError:
                outcome = None
                is_done = False
            else:
                is_done = True
            if self._outgoing.pending:
                await self._inner.write(self._outgoing.read(), given_s)
            if is_done:
                return cast("_T", outcome)
            data = await self._inner.read(_RECORDS, given_s)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()


_RECORDS: Final = 64 * 1024
_MOST_IN_A_ROW: Final = 64 * 1024
"""Bytes that are read without a wait before other tasks have a turn."""
_COST_OF_A_READ: Final = 1024
"""What a read counts besides, so that many small ones are noticed too."""


class _alarm:  # noqa: N801  # used as a function, and for each wait
    """Ends a wait from outside when its time is over, by what wakes any loop: the socket's end."""

    __slots__ = ("_cable", "_limit_s", "_timer")

    def __init__(self, cable: Cable, limit_s: float | None) -> None:
        self._cable = cable
        self._limit_s = limit_s
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._limit_s is not None:
            self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._cable.run_out)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _open_socket(cable: Cable) -> socket.socket:
    if cable.sock is None:
        raise ConnectionAbortedError("the connection is closed")
    return cable.sock


async def _connected(sock: socket.socket, address: Any) -> None:
    """Connect. uvloop's own way asks DNS for an address too, on threads at whose end a forked child then crashes."""
    loop = asyncio.get_running_loop()
    is_writable: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_writer(sock, arrive, is_writable)
    except NotImplementedError:  # by the usual loop of Windows
        await loop.sock_connect(sock, address)
        return
    try:
        sock.connect(address)
    except (BlockingIOError, InterruptedError):
        await is_writable
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code)) from None
    finally:
        _let_go(loop, sock)


def _let_go(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Have a loop forget a socket whose waiting coroutine was thrown away, which no loop notices by itself."""
    if not loop.is_closed():
        with suppress(NotImplementedError, ValueError, OSError):
            loop.remove_reader(sock)
            loop.remove_writer(sock)


async def _sealed(
    inner: httpcore.AsyncNetworkStream,
    cable: Cable,
    context: ssl.SSLContext,
    host: str | None,
    given_s: float | None,
) -> httpcore.AsyncNetworkStream:
    try:
        sealed = _Sealed(inner, cable, context, host)
        await sealed.shake_hands(given_s)
    except (
        OSError,
        ValueError,
    ) as error:  # TLS's own, a certificate's, and those of a host that TLS can't name
        await inner.aclose()
        raise httpcore.ConnectError(str(error)) from error
    except BaseException:
        await inner.aclose()
        raise
    cable.handshakes += 1
    return sealed
