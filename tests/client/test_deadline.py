"""A deadline ends a call wherever it is held up: each hold here would last half a minute."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import APITimeoutError, AsyncPhiClient, PhiClient, PhiError, StreamInterruptedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 0.4
HELD_S = 30.0
# Loose, because others may use the machine; each hold is many times as long.
LATEST_S = 6.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content":"4"}}]}\n\n'


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def hear(connection: socket.socket) -> None:
    """Take a whole request, which may come in pieces."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        data = connection.recv(65_536)
        if not data:
            return
        heard += data
    head, _, body = heard.partition(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while size is not None and len(body) < int(size[1]):
        body += connection.recv(65_536)


def drip(connection: socket.socket, data: bytes) -> None:
    """Send it again and again, a little at a time, until the other end hangs up."""
    end = time.monotonic() + HELD_S
    pace = threading.Event()
    while time.monotonic() < end:
        connection.sendall(data)
        pace.wait(0.02)


def silent(connection: socket.socket) -> None:
    hear(connection)
    connection.recv(1)


def silent_body(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall(HEAD % b"application/json" + piece(b"{"))
    connection.recv(1)


def dripping_head(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    drip(connection, b"x")


def dripping_body(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall(HEAD % b"application/json")
    drip(connection, piece(b" "))


def dripping_failure(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall((HEAD % b"application/json").replace(b"200 OK", b"400 Bad Request"))
    drip(connection, piece(b" "))


def silent_stream(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall(HEAD % b"text/event-stream" + piece(EVENT))
    connection.recv(1)


def dripping_stream(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall(HEAD % b"text/event-stream")
    drip(connection, piece(EVENT))


def comments_alone(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall(HEAD % b"text/event-stream")
    drip(connection, piece(b": still here\n\n"))


def busy(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall(
        b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )


@contextmanager
def served(hold: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server each of whose connections `hold` has; all end with the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def run() -> None:
        with ExitStack() as stack:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connections.append(stack.enter_context(connection))
                threading.Thread(target=held, args=[connection], daemon=True).start()

    def held(connection: socket.socket) -> None:
        try:
            hold(connection)
        except OSError:
            return
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for one in [listener, *connections]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        listener.close()
        thread.join(5)


def ask(kind: str, url: str, *, stream: bool, own_http: bool, **arguments: Any) -> PhiError:
    """The error that a call under a deadline comes to."""
    arguments = {"api_key": "a-key-0123456789", "max_retries": 50, "dialect": "serverless", **arguments}
    if arguments.get("credential"):
        del arguments["api_key"]

    def sync() -> None:
        http = httpx.Client() if own_http else None
        with ExitStack() as stack:
            if http is not None:
                stack.enter_context(http)
            client = stack.enter_context(PhiClient(url, http_client=http, **arguments))
            if not stream:
                client.complete("x", deadline=DEADLINE_S)
                return
            with client.stream("x", deadline=DEADLINE_S) as opened:
                list(opened)

    async def run() -> None:
        http = httpx.AsyncClient() if own_http else None
        try:
            async with AsyncPhiClient(url, http_client=http, **arguments) as client:
                if not stream:
                    await client.complete("x", deadline=DEADLINE_S)
                    return
                async with client.stream("x", deadline=DEADLINE_S) as opened:
                    [chunk async for chunk in opened]
        finally:
            if http is not None:
                await http.aclose()

    with pytest.raises(PhiError) as caught:
        sync() if kind == "sync" else asyncio.run(run())
    return caught.value


HOLDS = [
    (silent, "http", False),
    (silent, "http", True),
    (silent, "https", False),
    (silent_body, "http", False),
    (dripping_head, "http", False),
    (dripping_body, "http", False),
    (dripping_failure, "http", False),
    (silent_stream, "http", True),
    (dripping_stream, "http", True),
    (comments_alone, "http", True),
    (busy, "http", False),
]


@pytest.mark.parametrize("own_http", [False, True], ids=["ours", "the callers"])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("hold", "scheme", "stream"), HOLDS)
def test_a_deadline_ends_a_call_wherever_it_is_held_up(
    hold: Callable[[socket.socket], None], scheme: str, stream: bool, kind: str, own_http: bool
) -> None:
    with served(hold) as address:
        began = time.monotonic()
        error = ask(kind, f"{scheme}://{address}", stream=stream, own_http=own_http)
        took_s = time.monotonic() - began
    assert took_s < LATEST_S
    if hold in (busy, dripping_failure):
        # A status was told before.
        return
    assert took_s > DEADLINE_S / 2
    if isinstance(error, StreamInterruptedError):
        assert error.partial.content in ("", *("4" * n for n in range(1000)))
        error = error.__cause__  # type: ignore[assignment]
    assert isinstance(error, APITimeoutError)
    assert error.phase == "deadline"


class Slow:
    """A credential that takes its time."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()

    def get_token(self, *scopes: str, **kwargs: object) -> Any:
        self.may_go_on.wait(HELD_S)
        raise AssertionError("too late")


class SlowAsync:
    """A credential that takes its time."""

    async def get_token(self, *scopes: str, **kwargs: object) -> Any:
        await asyncio.sleep(HELD_S)
        raise AssertionError("too late")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_deadline_ends_the_wait_for_a_credential(kind: str, stream: bool) -> None:
    credential = Slow() if kind == "sync" else SlowAsync()
    began = time.monotonic()
    error = ask(kind, "http://127.0.0.1:9", stream=stream, own_http=False, credential=credential)
    assert time.monotonic() - began < LATEST_S
    assert isinstance(error, APITimeoutError)
    assert (error.phase, error.request_sent) == ("deadline", False)
    if isinstance(credential, Slow):
        credential.may_go_on.set()
