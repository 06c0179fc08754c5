"""Every wait ends with the deadline or its own limit, whatever the peer does, on our connections and a caller's."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme

from phi_client import APIConnectionError, APITimeoutError, Timeout
from tests.wire import BODY, CHUNKED, KEY, LATE_S, LIMIT_S, SOON_S, WHOLE, Peer, Wire, listening, read_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
HOSTS = pytest.mark.parametrize("is_given", [False, True], ids=["ours", "a caller's"])
STEP_S = SOON_S / 5


def trickle(sock: socket.socket, data: bytes, ended: threading.Event) -> None:
    """Send byte after byte, each well before any limit of one wait."""
    for place in range(len(data)):
        sock.sendall(data[place : place + 1])
        if ended.wait(STEP_S):
            return


def trickling_body(peer: Peer, sock: socket.socket, number: int) -> None:
    read_request(sock)
    sock.sendall(WHOLE[: -len(BODY)])
    trickle(sock, BODY, peer.ended)


def trickling_head(peer: Peer, sock: socket.socket, number: int) -> None:
    read_request(sock)
    trickle(sock, WHOLE, peer.ended)


def trickling_without_length(peer: Peer, sock: socket.socket, number: int) -> None:
    read_request(sock)
    sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    trickle(sock, BODY, peer.ended)


def silent(peer: Peer, sock: socket.socket, number: int) -> None:
    read_request(sock)
    peer.ended.wait(LIMIT_S)


def silent_in_a_stream(peer: Peer, sock: socket.socket, number: int) -> None:
    read_request(sock)
    sock.sendall(CHUNKED + b"1\r\na\r\n")
    peer.ended.wait(LIMIT_S)


def comments_without_a_pause(peer: Peer, sock: socket.socket, number: int) -> None:
    read_request(sock)
    sock.sendall(CHUNKED)
    comments = b"7\r\n: more\n\r\n" * 500
    while not peer.ended.is_set():
        sock.sendall(comments)


def takes_nothing(peer: Peer, sock: socket.socket, number: int) -> None:
    peer.ended.wait(LIMIT_S)


PEERS: list[Callable[[Peer, socket.socket, int], None]] = [
    trickling_body, trickling_head, trickling_without_length, silent, silent_in_a_stream, comments_without_a_pause,
]  # fmt: skip


class Given:
    """A caller's client of either kind, closed at the end."""

    def __init__(self, *, is_async: bool, is_given: bool, **options: Any) -> None:
        kind = httpx.AsyncClient if is_async else httpx.Client
        self.http: Any = kind(trust_env=False, **options) if is_given else None

    def close_in(self, wire: Wire) -> None:
        if isinstance(self.http, httpx.AsyncClient):
            wire.run(self.http.aclose())
        elif self.http is not None:
            self.http.close()


def ended_in_time(wire: Wire, **options: Any) -> APITimeoutError:
    """The error of an exchange whose deadline is soon."""
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        wire.ask(**options)
    assert time.monotonic() - began < SOON_S + LATE_S
    return caught.value


@BOTH
@HOSTS
@pytest.mark.parametrize("serve", PEERS, ids=lambda serve: serve.__name__)
def test_the_deadline_ends_an_exchange_whatever_comes(
    serve: Callable[[Peer, socket.socket, int], None], is_given: bool, is_async: bool
) -> None:
    given = Given(is_async=is_async, is_given=is_given)
    with listening(serve) as peer, Wire(peer.url, is_async=is_async, given=given.http) as wire:
        error = ended_in_time(wire, deadline=SOON_S)
        given.close_in(wire)
    assert (error.phase, error.limit_s, error.request_sent) == ("deadline", SOON_S, True)
    assert KEY not in repr(error.__cause__)


@BOTH
def test_the_deadline_ends_the_sending_of_a_long_request(is_async: bool) -> None:
    with listening(takes_nothing) as peer, Wire(peer.url, is_async=is_async) as wire:
        error = ended_in_time(wire, deadline=SOON_S, content=bytes(16 * 1024 * 1024))
    assert (error.phase, error.request_sent) == ("deadline", True)


@BOTH
@HOSTS
def test_a_read_that_takes_its_own_limit_is_called_so(is_given: bool, is_async: bool) -> None:
    given = Given(is_async=is_async, is_given=is_given)
    with listening(silent) as peer, Wire(peer.url, is_async=is_async, given=given.http) as wire:
        error = ended_in_time(wire, timeout=Timeout(read=SOON_S))
        given.close_in(wire)
    assert (error.phase, error.limit_s, error.request_sent) == ("read", SOON_S, True)


@BOTH
def test_a_pool_of_a_callers_that_is_full_takes_no_longer_than_what_is_left(is_async: bool) -> None:
    came = threading.Event()

    def hold_the_first(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        came.set()
        peer.ended.wait(LIMIT_S)

    given = Given(is_async=is_async, is_given=True, limits=httpx.Limits(max_connections=1))
    with listening(hold_the_first) as peer, Wire(peer.url, is_async=is_async, given=given.http) as wire:
        if is_async:

            async def both() -> None:
                first = asyncio.create_task(wire.connections.send(wire.step()))
                await asyncio.to_thread(came.wait, LIMIT_S)
                began = time.monotonic()
                with pytest.raises(APITimeoutError):
                    await wire.connections.send(wire.step(deadline=SOON_S))
                assert time.monotonic() - began < SOON_S + LATE_S
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)

            wire.run(both())
        else:

            def hold() -> None:
                with pytest.raises(APIConnectionError):
                    wire.ask(deadline=1.0)

            thread = threading.Thread(target=hold)
            thread.start()
            came.wait(LIMIT_S)
            ended_in_time(wire, deadline=SOON_S)
            thread.join()
        given.close_in(wire)


@BOTH
def test_dns_that_does_not_answer_is_bounded(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    known = socket.getaddrinfo

    def never(host: str, *arguments: Any, flags: int = 0, **options: Any) -> Any:
        if flags:
            return known(host, arguments[0], flags=flags, **options)
        over.wait(LIMIT_S)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never)
    with Wire("https://phi.eastus2.models.ai.azure.com", is_async=is_async) as wire:
        error = ended_in_time(wire, timeout=Timeout(connect=SOON_S))
        assert (error.phase, error.request_sent) == ("connect", False)
        error = ended_in_time(wire, deadline=SOON_S)
        assert (error.phase, error.request_sent) == ("deadline", False)
    over.set()


@BOTH
def test_dns_is_not_waited_for_when_the_loop_ends(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    known = socket.getaddrinfo

    def never(host: str, *arguments: Any, flags: int = 0, **options: Any) -> Any:
        if flags:
            return known(host, arguments[0], flags=flags, **options)
        over.wait(LIMIT_S)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never)
    began = time.monotonic()
    with Wire("https://phi.eastus2.models.ai.azure.com", is_async=is_async) as wire:
        ended_in_time(wire, deadline=SOON_S)
    assert time.monotonic() - began < LIMIT_S / 4
    over.set()


@BOTH
def test_a_handshake_that_does_not_come_is_a_connect_that_takes_too_long(is_async: bool) -> None:
    def say_nothing(peer: Peer, sock: socket.socket, number: int) -> None:
        peer.ended.wait(LIMIT_S)

    with listening(say_nothing) as peer:
        url = peer.url.replace("http://127.0.0.1", "https://localhost")
        with Wire(url, is_async=is_async) as wire:
            error = ended_in_time(wire, timeout=Timeout(connect=SOON_S))
            assert (error.phase, error.request_sent) == ("connect", False)
            error = ended_in_time(wire, deadline=SOON_S)
            assert (error.phase, error.request_sent) == ("deadline", False)


@BOTH
def test_a_callers_handshake_that_does_not_come_leaves_no_socket(is_async: bool) -> None:
    def say_nothing(peer: Peer, sock: socket.socket, number: int) -> None:
        peer.ended.wait(LIMIT_S)

    given = Given(is_async=is_async, is_given=True)
    with listening(say_nothing) as peer:
        url = peer.url.replace("http://127.0.0.1", "https://localhost")
        with Wire(url, is_async=is_async, given=given.http) as wire:
            ended_in_time(wire, deadline=SOON_S)
            given.close_in(wire)
        gc.collect()
        assert not [
            one for one in gc.get_objects() if isinstance(one, socket.socket) and is_to(one, peer.port)
        ]


def is_to(sock: socket.socket, port: int) -> bool:
    """Whether a socket is open and connected to `port`."""
    try:
        return bool(sock.fileno() >= 0 and sock.getpeername()[1] == port)
    except (OSError, IndexError):
        return False


@BOTH
def test_name_address_and_handshake_share_one_limit(is_async: bool) -> None:
    def trickle_records(peer: Peer, sock: socket.socket, number: int) -> None:
        sock.recv(65536)
        trickle(sock, b"\x16\x03\x03\x40\x00" + bytes(200), peer.ended)

    with listening(trickle_records) as peer:
        url = peer.url.replace("http://127.0.0.1", "https://localhost")
        with Wire(url, is_async=is_async) as wire:
            error = ended_in_time(wire, timeout=Timeout(connect=SOON_S))
    assert (error.phase, error.request_sent) == ("connect", False)


@BOTH
@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "tls"])
def test_the_deadline_holds_over_tls(
    is_async: bool, is_plain: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    def stream(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(CHUNKED)
        trickle(sock, b"1\r\na\r\n" * 100, peer.ended)

    with listening(stream, None if is_plain else context) as peer, Wire(peer.url, is_async=is_async) as wire:
        error = ended_in_time(wire, deadline=2 * SOON_S)
    assert (error.phase, error.request_sent) == ("deadline", True)


@BOTH
@HOSTS
@pytest.mark.parametrize(
    ("end", "connections"), [(b"0\r\n\r\n", 1), (b"later", 1), (b"", 2), (b"7\r\n: more\n\r\n", 2)]
)
def test_after_the_last_event_the_end_is_waited_for_a_moment(
    end: bytes, connections: int, is_given: bool, is_async: bool
) -> None:
    event = b"e\r\ndata: [DONE]\n\n\r\n"

    def stream(peer: Peer, sock: socket.socket, number: int) -> None:
        while read_request(sock):
            if end == b"later":
                sock.sendall(CHUNKED + event)
                sock.sendall(b"0\r\n\r\n")
            else:
                sock.sendall(CHUNKED + event + end)

    def read(wire: Wire) -> None:
        reply = wire.connections.send(wire.step())
        while b"[DONE]" not in (reply.read() or b"[DONE]"):
            pass
        reply.drain()
        reply.close()

    async def read_async(wire: Wire) -> None:
        reply = await wire.connections.send(wire.step())
        while b"[DONE]" not in (await reply.read() or b"[DONE]"):
            pass
        await reply.drain()
        await reply.close()

    given = Given(is_async=is_async, is_given=is_given)
    with listening(stream) as peer, Wire(peer.url, is_async=is_async, given=given.http) as wire:
        began = time.monotonic()
        for _ in range(2):
            if is_async:
                wire.run(read_async(wire))
            else:
                read(wire)
        assert time.monotonic() - began < 2 * (0.1 + LATE_S)
        given.close_in(wire)
        assert peer.connections == connections


def test_a_stream_that_never_pauses_lets_other_tasks_run() -> None:
    async def run(wire: Wire) -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        with pytest.raises(APITimeoutError):
            await _read_all(wire)
        counting.cancel()
        return turns

    with listening(comments_without_a_pause) as peer, Wire(peer.url, is_async=True) as wire:
        assert wire.run(run(wire)) >= 3


async def _read_all(wire: Wire) -> None:
    reply = await wire.connections.send(wire.step(deadline=SOON_S))
    while await reply.read() is not None:
        pass


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """A name with two addresses, at the first of which nobody listens."""
    known = socket.getaddrinfo

    def name_them(port: int) -> None:
        def resolve(host: str, *arguments: Any, flags: int = 0, **options: Any) -> Any:
            if flags:
                return known(host, arguments[0], flags=flags, **options)
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in ("127.0.0.2", "127.0.0.1")
            ]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    yield name_them
    monkeypatch.undo()


@BOTH
def test_a_host_is_reached_at_the_address_that_takes_connections(
    is_async: bool, two_addresses: Callable[[int], None]
) -> None:
    def answer(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(WHOLE)

    with listening(answer) as peer:
        two_addresses(peer.port)
        with Wire(peer.url.replace("127.0.0.1", "localhost"), is_async=is_async) as wire:
            assert wire.ask().body == BODY


@BOTH
def test_where_nobody_listens_at_any_address_that_is_said(
    is_async: bool, two_addresses: Callable[[int], None]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            if host == "localhost":
                two_addresses(port)
            with Wire(f"http://{host}:{port}", is_async=is_async) as wire:
                with pytest.raises(APIConnectionError) as caught:
                    wire.ask()
                assert (caught.value.is_refused, caught.value.request_sent) == (True, False)


@BOTH
def test_an_address_that_does_not_answer_takes_only_its_share_of_the_limit(
    is_async: bool, two_addresses: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(WHOLE)

    # No address of this machine leaves a connection without any answer.
    shares: list[float | None] = []
    connect = socket.socket.connect

    def silent_first(self: socket.socket, address: Any) -> None:
        if address[0] == "127.0.0.2":
            shares.append(self.gettimeout())
            raise TimeoutError("timed out")
        connect(self, address)

    class Sock(socket.socket):
        connect = silent_first

    if is_async:

        async def never(loop: object, sock: socket.socket, address: Any) -> None:
            if address[0] == "127.0.0.2":
                await asyncio.Event().wait()
            with pytest.raises(BlockingIOError):
                sock.connect(address)

        monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", never)
    else:
        monkeypatch.setattr(socket, "socket", Sock)
    with listening(answer) as peer:
        two_addresses(peer.port)
        began = time.monotonic()
        with Wire(peer.url.replace("127.0.0.1", "localhost"), is_async=is_async) as wire:
            assert wire.ask(timeout=Timeout(connect=2 * SOON_S)).body == BODY
        assert time.monotonic() - began < 2 * SOON_S + LATE_S
    assert is_async or (shares[0] is not None and shares[0] <= SOON_S)
