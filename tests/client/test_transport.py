"""Clients of httpx that a caller brings, over real sockets, and what mocks of httpx and httpcore see of ours."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import respx

from phi_client import (
    APIConnectionError,
    APITimeoutError,
    AsyncPhiClient,
    ConfigurationError,
    PhiClient,
    RateLimitError,
)
from tests.wire import BODY, CHUNKED, KEY, LIMIT_S, WHOLE, Peer, Wire, answer, listening, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
REMOTE = "https://phi.eastus2.models.ai.azure.com"


@contextmanager
def given(url: str, *, is_async: bool, **options: Any) -> Iterator[Wire]:
    """A wire with a caller's client, which is still open when the wire is closed."""
    kind = httpx.AsyncClient if is_async else httpx.Client
    http: Any = kind(**options)
    wire = Wire(url, is_async=is_async, given=http)
    yield wire
    if is_async:
        wire.run(wire.connections.close())
        assert not http.is_closed
        wire.run(http.aclose())
    wire.close()
    assert http.is_closed == is_async
    if not is_async:
        http.close()


@BOTH
def test_a_client_of_the_callers_may_have_a_proxy(is_async: bool) -> None:
    asked: list[bytes] = []

    def stand_in(peer: Peer, sock: socket.socket, number: int) -> None:
        while request := read_request(sock):
            asked.append(request)
            sock.sendall(WHOLE)

    with (
        listening(stand_in) as proxy,
        given("http://127.0.0.1:1", is_async=is_async, proxy=proxy.url) as wire,
    ):
        assert wire.ask().body == BODY
    assert asked[0].startswith(b"POST http://127.0.0.1:1/chat/completions ")


@BOTH
def test_what_a_callers_client_does_by_itself_goes_on_working(is_async: bool) -> None:
    seen: list[str] = []
    asked: list[bytes] = []

    def note(event: str) -> Any:
        async def tell_async(_: object) -> None:
            seen.append(event)

        return tell_async if is_async else lambda _: seen.append(event)

    def look(peer: Peer, sock: socket.socket, number: int) -> None:
        while request := read_request(sock):
            asked.append(request.lower())
            sock.sendall(WHOLE)

    options: dict[str, Any] = {
        "event_hooks": {"request": [note("request")], "response": [note("response")]},
        "auth": ("user", "password"),
        "headers": {"x-team": "phi"},
    }
    with listening(look) as peer, given(peer.url, is_async=is_async, **options) as wire:
        assert wire.ask().body == BODY
    assert seen == ["request", "response"]
    assert b"authorization: basic" in asked[0]
    assert b"x-team: phi" in asked[0]
    assert f"api-key: {KEY}".encode() in asked[0]


@BOTH
@pytest.mark.parametrize("is_read", [False, True])
def test_a_status_that_a_callers_hook_raises_for_is_an_answer(is_read: bool, is_async: bool) -> None:
    def serve(peer: Peer, sock: socket.socket, number: int) -> None:
        del peer, number
        read_request(sock)
        sock.sendall(b"HTTP/1.1 429 No\r\ncontent-length: 25\r\n\r\n" + b'{"message": "slow, please')

    def hook(response: httpx.Response) -> None:
        if is_read:
            response.read()
        response.raise_for_status()

    async def async_hook(response: httpx.Response) -> None:
        if is_read:
            await response.aread()
        response.raise_for_status()

    said = "slow, please" if is_read else "no reason"
    with listening(serve) as peer:
        if is_async:

            async def ask() -> None:
                async with httpx.AsyncClient(event_hooks={"response": [async_hook]}) as http:
                    client = AsyncPhiClient(peer.url, api_key=KEY, max_retries=0, http_client=http)
                    await client.complete("hi")

            with pytest.raises(RateLimitError, match=said):
                asyncio.run(ask())
        else:
            with httpx.Client(event_hooks={"response": [hook]}) as http:
                client = PhiClient(peer.url, api_key=KEY, max_retries=0, http_client=http)
                with pytest.raises(RateLimitError, match=said):
                    client.complete("hi")


@BOTH
def test_a_redirect_is_an_answer(is_async: bool) -> None:
    def redirect(peer: Peer, sock: socket.socket, number: int) -> None:
        while read_request(sock):
            sock.sendall(
                b"HTTP/1.1 307 Moved\r\nlocation: http://elsewhere.example/\r\ncontent-length: 0\r\n\r\n"
            )

    with listening(redirect) as peer:
        with given(peer.url, is_async=is_async, follow_redirects=True) as wire:
            assert wire.ask().status == 307
        with Wire(peer.url, is_async=is_async) as wire:
            assert wire.ask().status == 307


@BOTH
def test_a_callers_client_that_is_closed_is_named(is_async: bool) -> None:
    kind = httpx.AsyncClient if is_async else httpx.Client
    http: Any = kind()
    with Wire("http://127.0.0.1:1", is_async=is_async, given=http) as wire:
        if is_async:
            wire.run(http.aclose())
        else:
            http.close()
        with pytest.raises(ConfigurationError, match="`http_client` is closed"):
            wire.ask()


class Failing(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport of a caller's that only fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error


@BOTH
@pytest.mark.parametrize(
    ("error", "kind", "is_sent"),
    [
        (httpx.ConnectError("no"), APIConnectionError, False),
        (httpx.ReadError("no"), APIConnectionError, True),
        (httpx.RemoteProtocolError("no"), APIConnectionError, True),
        (httpx.ProxyError("no"), APIConnectionError, False),
        (httpx.LocalProtocolError(f"Illegal header value {KEY}"), APIConnectionError, False),
        (httpx.ConnectTimeout("no"), APITimeoutError, False),
        (httpx.ReadTimeout("no"), APITimeoutError, True),
        (httpx.WriteTimeout("no"), APITimeoutError, True),
        (httpx.PoolTimeout("no"), APITimeoutError, False),
        (ConnectionResetError(104, f"reset {KEY}"), APIConnectionError, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_failure_says_whether_the_service_may_have_got_the_request(
    error: Exception, kind: type[Exception], is_sent: bool, is_async: bool
) -> None:
    with given(REMOTE, is_async=is_async, transport=Failing(error)) as wire, pytest.raises(kind) as caught:
        wire.ask()
    found: Any = caught.value
    assert found.request_sent == is_sent
    assert KEY not in f"{found!r} {found} {found.__cause__!r} {found.__context__!r}"
    cause = found.__cause__
    assert cause is not None
    assert cause.__traceback__ is None or KEY not in str(cause.__traceback__.tb_frame.f_locals)


@BOTH
def test_an_echo_of_the_key_in_a_broken_answer_is_not_shown(is_async: bool) -> None:
    def echo(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(f"HTTP/1.1 2{KEY} OK\r\n\r\n".encode())

    with (
        listening(echo) as peer,
        Wire(peer.url, is_async=is_async) as wire,
        pytest.raises(APIConnectionError) as caught,
    ):
        wire.ask()
    chain: list[BaseException] = [caught.value]
    while (one := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(one)
    assert len(chain) > 1
    assert not [one for one in chain if KEY in repr(one)]


@BOTH
@pytest.mark.parametrize("is_given", [False, True], ids=["ours", "a caller's"])
def test_a_body_that_is_compressed_or_cut(is_given: bool, is_async: bool) -> None:
    packed = gzip.compress(BODY)
    bodies = [
        b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(packed), packed),
        b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!",
        b"content-length: 1000\r\n\r\ncut",
        b"\r\nuntil the end",
    ]

    def serve(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + bodies[number - 1])

    with listening(serve) as peer:
        made = given(peer.url, is_async=is_async) if is_given else Wire(peer.url, is_async=is_async)
        with made as wire:
            assert wire.ask().body == BODY
            for _ in range(2):
                with pytest.raises(APIConnectionError) as caught:
                    wire.ask()
                assert caught.value.request_sent
            assert wire.ask().body == b"until the end"


@BOTH
@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize("coding", [b"gzip, gzip", b"gzip,identity , GZIP"])
def test_a_body_that_is_compressed_twice_is_taken_as_it_comes(
    coding: bytes, is_given: bool, is_async: bool
) -> None:
    # Unpacked, some kilobytes may be gigabytes, in one step that no limit can end.
    packed = gzip.compress(gzip.compress(b" " * 1_000_000))

    def serve(peer: Peer, sock: socket.socket, number: int) -> None:
        del peer, number
        assert b"\r\naccept-encoding: gzip, deflate\r\n" in (read_request(sock) or b"").lower()
        sock.sendall(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: %b\r\n" % coding
            + b"content-length: %d\r\n\r\n%b" % (len(packed), packed)
        )

    with listening(serve) as peer:
        made = given(peer.url, is_async=is_async) if is_given else Wire(peer.url, is_async=is_async)
        with made as wire:
            assert wire.ask().body == packed


@BOTH
@pytest.mark.parametrize("using", ["httpcore", "httpx"])
def test_respx_stands_between_us_and_the_network(
    using: str, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proxy in ("", "http://proxy.example:3128"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with respx.mock(using=using) as router, Wire(REMOTE, is_async=is_async) as wire:
            router.post(f"{REMOTE}/chat/completions").mock(
                side_effect=[
                    httpx.Response(200, content=BODY),
                    httpx.ReadTimeout("no"),
                    httpx.ConnectError("no"),
                ]
            )
            assert wire.ask().body == BODY
            with pytest.raises(APITimeoutError) as caught:
                wire.ask()
            assert caught.value.request_sent
            with pytest.raises(APIConnectionError) as refused:
                wire.ask()
            assert not refused.value.request_sent


@BOTH
def test_a_request_is_one_packet_and_a_long_one_arrives_whole(is_async: bool) -> None:
    got: list[int] = []

    def count(peer: Peer, sock: socket.socket, number: int) -> None:
        # Until the client hangs up: a server that closes what it has just answered meets the next request.
        while first := sock.recv(65536):
            got.append(len(first))
            head, _, body = first.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += sock.recv(1024 * 1024)
            got.append(len(body))
            sock.sendall(WHOLE)

    with listening(count) as peer, Wire(peer.url, is_async=is_async) as wire:
        assert wire.ask(content=b"{%b}" % (b" " * 1000)).body == BODY
        assert got[0] > 1000
        assert wire.ask(content=b"[%b]" % (b" " * 8_000_000)).body == BODY
        assert got[3] == 8_000_002


@BOTH
def test_a_refusal_that_comes_before_the_request_is_sent_can_be_read(is_async: bool) -> None:
    def refuse(peer: Peer, sock: socket.socket, number: int) -> None:
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nno!")
        sock.recv(1)

    with listening(refuse) as peer, Wire(peer.url, is_async=is_async) as wire:
        reply = wire.ask(content=b"{%b}" % (b" " * 1000))
    assert (reply.status, reply.body) == (413, b"no!")


def test_a_peer_that_sends_faster_than_is_read_has_to_wait() -> None:
    sent = 0

    def flood(peer: Peer, sock: socket.socket, number: int) -> None:
        nonlocal sent
        read_request(sock)
        part = b"%x\r\n%b\r\n" % (1 << 16, bytes(1 << 16))
        sock.sendall(CHUNKED)
        sock.settimeout(0.5)  # until nothing more fits
        for _ in range(1000):
            sock.sendall(part)
            sent += len(part)

    async def dawdle(wire: Wire, peer: Peer) -> None:
        reply = await wire.connections.send(wire.step())
        assert await reply.read()
        await asyncio.to_thread(peer.threads_end)
        await reply.close()

    with listening(flood) as peer, Wire(peer.url, is_async=True) as wire:
        wire.run(dawdle(wire, peer))
    assert sent < 32 * 1024 * 1024


def serve_http2(listening: socket.socket) -> None:
    """Answer the requests of one connection."""
    sock, _ = listening.accept()
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    with sock:
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    assert event.stream_id is not None
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    connection.send_data(event.stream_id, BODY, end_stream=True)
            sock.sendall(connection.data_to_send())


@BOTH
def test_http2_is_spoken_by_a_client_that_speaks_it(is_async: bool) -> None:
    async def read_and_drain(wire: Wire) -> None:
        reply = await wire.connections.send(wire.step())
        assert await reply.read() == BODY
        await reply.drain()
        await reply.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve_http2, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with given(url, is_async=is_async, http1=False, http2=True) as wire:
            assert wire.ask(deadline=LIMIT_S).body == BODY
            if is_async:
                wire.run(read_and_drain(wire))
            else:
                reply = wire.connections.send(wire.step(deadline=LIMIT_S))
                assert reply.read() == BODY
                reply.drain()
                reply.close()
            assert wire.ask().body == BODY
        thread.join(10)
        assert not thread.is_alive()


@BOTH
def test_a_callers_connection_serves_again_after_a_deadline_that_held(is_async: bool) -> None:
    with listening(answer) as peer, given(peer.url, is_async=is_async) as wire:
        began = time.monotonic()
        for _ in range(3):
            assert wire.ask(deadline=LIMIT_S).body == BODY
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join(LIMIT_S)
        assert time.monotonic() - began < LIMIT_S / 2
    assert peer.connections == 1
