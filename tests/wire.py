"""One face for sync and async connections and credentials, and a peer on loopback that does as a test says.

It must not use a client: what is tested is the wire alone.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from phi_client import Timeout
from phi_client._call.deadline import Deadline, Limits
from phi_client._call.secrets import Secrets
from phi_client._call.steps import Send
from phi_client._wire.connections import AsyncConnections, Connections
from phi_client.contract.dialects import resolve_endpoint

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

KEY = "a-key-that-must-never-be-shown-00"
BODY = b'{"choices":[{"message":{"content":"42"},"finish_reason":"stop"}]}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LIMIT_S = 20.0
"""When a test has failed."""
SOON_S = 0.15
"""A limit that is meant to be reached."""
LATE_S = 2.0
"""How long after a limit a wait may still end on a machine that does much else; what is silent is so for `LIMIT_S`."""


@dataclass
class Reply:
    """An answer that was read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """`Connections` or `AsyncConnections`."""

    def __init__(self, url: str, *, is_async: bool, given: Any = None, factory: Any = None) -> None:
        self.url = url
        self.is_async = is_async
        self._runner = asyncio.Runner(loop_factory=factory) if is_async else None
        endpoint = resolve_endpoint(url, "serverless")
        self.connections: Any = (AsyncConnections if is_async else Connections)(given, endpoint)

    def step(
        self, *, deadline: float | None = None, timeout: Timeout | None = None, content: bytes = b"{}"
    ) -> Send:
        """What to send."""
        limits = Limits(timeout or Timeout(), Deadline.of(deadline, time.monotonic))
        headers = {"content-type": "application/json", "api-key": KEY}
        url = f"{self.url}/chat/completions"
        return Send(self.connections, "POST", url, headers, content, limits, Secrets((KEY,), content))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on this wire's loop."""
        assert self._runner is not None
        return self._runner.run(work)

    def ask(self, **options: Any) -> Reply:
        """A whole exchange."""
        if self.is_async:
            return self.run(ask_async(self.connections, self.step(**options)))
        return ask(self.connections, self.step(**options))

    def close(self) -> None:
        """Close the connections and the loop."""
        if self._runner is None:
            self.connections.close()
        else:
            self._runner.run(self.connections.close())
            self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(connections: Connections, step: Send) -> Reply:
    """A whole exchange."""
    reply = connections.send(step)
    body = b""
    while (data := reply.read()) is not None:
        body += data
    return Reply(reply.status, reply.headers, body)


async def ask_async(connections: AsyncConnections, step: Send) -> Reply:
    """As `ask`."""
    reply = await connections.send(step)
    body = b""
    while (data := await reply.read()) is not None:
        body += data
    return Reply(reply.status, reply.headers, body)


class Peer:
    """A server whose connections are each served by `serve(self, sock, number)` on a thread, until it returns."""

    def __init__(
        self, serve: Callable[[Peer, socket.socket, int], None], context: ssl.SSLContext | None = None
    ) -> None:
        self._serve = serve
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self.connections = 0
        self.ended = threading.Event()
        """Set when the test is over."""
        self.port: int = self._listening.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._context else ''}://{'localhost' if self._context else '127.0.0.1'}:{self.port}"

    def close(self) -> None:
        """End all."""
        self.ended.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(LIMIT_S)
        self._listening.close()
        for sock in self._socks:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT_S)
        for sock in self._socks:
            sock.close()

    def threads_end(self) -> None:
        """Wait until each connection so far is served."""
        for thread in list(self._threads):
            thread.join(LIMIT_S)

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._socks.append(sock)
            thread = threading.Thread(target=self._run, args=(sock, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
                self._socks.append(sock)
            self._serve(self, sock, number)
            sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def listening(
    serve: Callable[[Peer, socket.socket, int], None], context: ssl.SSLContext | None = None
) -> Iterator[Peer]:
    """A peer while it is needed."""
    peer = Peer(serve, context)
    try:
        yield peer
    finally:
        peer.close()


def read_request(sock: socket.socket) -> bytes | None:
    """A whole request; `None` when the client has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(peer: Peer, sock: socket.socket, number: int) -> None:
    """Answer each request of a connection."""
    while read_request(sock) is not None:
        sock.sendall(WHOLE)
