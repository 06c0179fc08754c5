"""Sockets as httpcore's sync connections want them. Its twin is `async_network.py`, with `await`.

It must not know HTTP. Before each wait the cable says how long it may take; the timeouts that httpcore passes do not
count. What is written goes out when it is much, or when the answer is waited for: a request's head and body, which are
written one after the other, are one packet.
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar, cast

import httpcore

from phi_client._wire.addresses import Address, Tries, known_addresses, open_socket, resolved
from phi_client._wire.background import Job
from phi_client._wire.connection_state import Cable
from phi_client._wire.network_facts import MOST_AT_ONCE, MOST_PENDING, about, raised_as
from phi_client.contract.clock.wires import Wire

__all__ = ["Network"]

_T = TypeVar("_T")


class Network(httpcore.NetworkBackend):
    """Makes the one connection of a cable."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  # httpcore's
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """A connection.

        Raises:
            httpcore.ConnectError: there is none.
            httpcore.ConnectTimeout: there was none within the limit.
        """
        try:
            self._reach(host, port)
        except OSError as error:
            raise raised_as(error, "connect") from error
        except BaseException:
            self._cable.close()
            raise
        return _Plain(self._cable)

    def _reach(self, host: str, port: int) -> None:
        """Connect to the first of a host's addresses that takes a connection."""
        tries = Tries.of(self._cable, self._addresses(host, port))
        for address, share_s in tries:
            try:
                self._connect(address, share_s)
            except OSError as error:
                tries.failed(error)
            else:
                return
        raise tries.failure()

    def _addresses(self, host: str, port: int) -> list[Address]:
        known = known_addresses(host, port)
        if known is not None:
            return known
        cable, job = self._cable, Job[list[Address]]()
        cable.waiting = job
        try:
            left_s = cable.left_s("connect")
            job.start(partial(resolved, host, port))
            if not job.wait(left_s):
                raise TimeoutError("DNS does not answer")
            return job.result()
        finally:
            cable.waiting = None

    def _connect(self, address: Address, limit_s: float | None) -> None:
        cable = self._cable
        sock = open_socket(cable, address)
        sock.settimeout(limit_s)
        sock.connect(address[3])
        cable.connected()


class _Plain(httpcore.NetworkStream):
    """A connection as it is."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self._pending: list[bytes] = []
        self._pending_size = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Up to `max_bytes` bytes; none at the end.

        Raises:
            httpcore.ReadError: the connection broke.
            httpcore.ReadTimeout: nothing came within the limit.
        """
        cable = self._cable
        if self._pending:
            # A peer that listens no more may have answered before.
            with suppress(httpcore.WriteError):
                self._send_pending(timeout)
        phase = cable.phase("read", timeout)
        try:
            left_s, sock = cable.left_s(phase), cable.sock
            if sock is None:
                raise ConnectionAbortedError("the connection is closed")
            if cable.wire is not None:
                return _awaited(cable, cable.wire, sock, max_bytes, left_s)
            if sock.gettimeout() != left_s:  # setting it is a system call
                sock.settimeout(left_s)
            data = sock.recv(max_bytes)
            if not data:
                cable.check()
        except OSError as error:
            raise raised_as(error, phase) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take bytes to send.

        Raises:
            httpcore.WriteError: the connection broke.
            httpcore.WriteTimeout: the peer did not take what was sent within the limit.
        """
        if buffer:
            self._pending.append(buffer)
            self._pending_size += len(buffer)
            if self._pending_size >= MOST_PENDING:
                self._send_pending(timeout)

    def close(self) -> None:
        """End the connection at once."""
        self._pending.clear()
        self._cable.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The connection, encrypted from here on.

        Raises:
            httpcore.ConnectError: the handshake failed.
            httpcore.ConnectTimeout: it took longer than the limit.
        """
        return _sealed(self, self._cable, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection."""
        return about(self._cable.sock, info)

    def _send_pending(self, given_s: float | None) -> None:
        cable = self._cable
        phase = cable.phase("write", given_s)
        rest = memoryview(b"".join(self._pending))
        self._pending.clear()
        self._pending_size = 0
        try:
            while rest:
                left_s, sock = cable.left_s(phase), cable.sock
                if sock is None:
                    raise ConnectionAbortedError("the connection is closed")
                cable.is_sent |= phase == "write"
                sock.settimeout(left_s)
                sent = sock.send(rest[:MOST_AT_ONCE])
                rest = rest[sent:]
                if cable.wire is not None:
                    cable.wire.sent(sent)
        except OSError as error:
            raise raised_as(error, phase) from error


def _awaited(cable: Cable, wire: Wire, sock: socket.socket, most: int, limit_s: float | None) -> bytes:
    """What comes over a wire that goes by virtual time. The limit is real where the server does not go by it."""
    with wire.awaited(limit_s, cable.run_out):
        while True:
            sock.settimeout(limit_s)
            try:
                data = sock.recv(most)
            except TimeoutError:
                if not wire.is_served:
                    raise
            else:
                break
        wire.received(len(data))
    if not data:
        cable.check_end()
    return data


class _Sealed(httpcore.NetworkStream):
    """A connection under TLS, over one that may be so itself, as through a proxy."""

    def __init__(
        self, inner: httpcore.NetworkStream, cable: Cable, context: ssl.SSLContext, host: str | None
    ) -> None:
        self._inner = inner
        self._cable = cable
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self, given_s: float | None) -> None:
        """Come to an agreement with the peer."""
        self._do(self._tls.do_handshake, given_s)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As that of a plain connection."""
        try:
            return self._do(lambda: self._tls.read(max_bytes), timeout)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As that of a plain connection."""
        rest = memoryview(buffer)
        try:
            while rest:
                part = rest[:MOST_AT_ONCE]
                rest = rest[self._do(lambda part=part: self._tls.write(part), timeout) :]  # type: ignore[misc]
        except ssl.SSLError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """End the connection at once."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """As that of a plain connection: TLS within TLS."""
        return _sealed(self, self._cable, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection."""
        if info == "ssl_object":
            return self._tls
        if info == "is_readable" and self._tls.pending():
            return True
        return self._inner.get_extra_info(info)

    def _do(self, operation: Callable[[], _T], given_s: float | None) -> _T:
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
                self._inner.write(self._outgoing.read(), given_s)
            if is_done:
                return cast("_T", outcome)
            data = self._inner.read(_RECORDS, given_s)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()


_RECORDS: Final = 64 * 1024


def _sealed(
    inner: httpcore.NetworkStream,
    cable: Cable,
    context: ssl.SSLContext,
    host: str | None,
    given_s: float | None,
) -> httpcore.NetworkStream:
    try:
        sealed = _Sealed(inner, cable, context, host)
        sealed.shake_hands(given_s)
    except (
        OSError,
        ValueError,
    ) as error:  # TLS's own, a certificate's, and those of a host that TLS can't name
        inner.close()
        raise httpcore.ConnectError(str(error)) from error
    except BaseException:
        inner.close()
        raise
    cable.handshakes += 1
    return sealed
