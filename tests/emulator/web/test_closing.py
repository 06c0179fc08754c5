"""How a connection ends: whoever is still sending can read the answer, and nobody is listened to for ever."""

from __future__ import annotations

import logging
import re
import socket
from functools import partial

import pytest
from phi_emulator.web import endpoints, transport
from phi_emulator.web.body import read_json_body

from tests.emulator.web.serving import ASK, CHAT, Served, listen, serving

LARGE = 24 * 1024 * 1024
"""More than the sockets of both sides hold."""


def send_all(served: Served, head: bytes, body: bytes) -> tuple[int, bool]:
    """The status that a client reads who reads nothing before all is sent, and whether the whole answer came."""
    with served.connect() as connection:
        connection.sendall(head)
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        heard = listen(connection)
    length = int(heard.data.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    return heard.status, not heard.was_reset and len(heard.body) >= length


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 413),
        ({"path": "/nowhere"}, 404),
        ({"method": "PUT"}, 405),
        ({"path": CHAT + "?api-version=2099-01-01"}, 400),
        ({"host": "evil.example"}, 403),
        ({"path": "/" + "a" * 20_000}, 414),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("closes", [True, False])
def test_a_refusal_is_read_by_a_client_that_sends_its_body_first(
    change: dict[str, str], status: int, closes: bool
) -> None:
    lines = [f"Content-Length: {LARGE}", *(["Connection: close"] if closes else [])]
    with serving() as served:
        assert send_all(served, served.head(*lines, **change), b"x" * LARGE) == (status, True)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
        (tuple(f"X-{number}: a" for number in range(120)), 431),
        (("Content-Type: text/plain",), 415),
        (("Authorization: Bearer other", "Transfer-Encoding: chunked"), 401),
        (("Transfer-Encoding: chunked",), 413),
    ],
    ids=["two lengths", "many headers", "no JSON", "no key", "chunks"],
)
def test_so_is_one_of_a_head(lines: tuple[str, ...], status: int) -> None:
    is_chunked = any(line.startswith("Transfer") for line in lines)
    body = (
        (b"400\r\n" + b"x" * 1024 + b"\r\n") * (LARGE // 1024) + b"0\r\n\r\n" if is_chunked else b"x" * LARGE
    )
    length = () if is_chunked else (f"Content-Length: {LARGE}",)
    names = {line.partition(":")[0] for line in lines}
    with serving() as served:
        head = served.head(*length, *lines).split(b"\r\n")
        # A header that is given stands in the place of the usual one.
        kept = [
            line
            for number, line in enumerate(head)
            if number >= 4 or line.partition(b":")[0].decode() not in names
        ]
        assert send_all(served, b"\r\n".join(kept), body) == (status, True)


def test_so_is_that_of_no_http_at_all() -> None:
    with serving() as served:
        assert send_all(served, b"X-Long: " + b"a" * 300_000, b"a" * LARGE) == (400, True)


def test_so_is_that_of_a_body_that_came_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "read_json_body", partial(read_json_body, seconds=0.05))
    with serving() as served, served.connect() as connection:
        connection.sendall(served.head(f"Content-Length: {LARGE}"[:-3]) + b"x")
        first = connection.recv(10)
        connection.sendall(b"x" * (LARGE // 1000 - 1))
        heard = listen(connection)
    assert (first + heard.data)[:13] == b"HTTP/1.1 408 "
    assert not heard.was_reset


def _refused(served: Served) -> socket.socket:
    """A connection whose answer is there, while its body is not."""
    connection = served.connect()
    connection.sendall(served.head(f"Content-Length: {2**40}", host="evil.example"))
    assert listen(connection).status == 403
    return connection


def _sends_for_ever(connection: socket.socket) -> bool:
    try:
        for _ in range(2000):
            connection.sendall(b"x" * 65536)
    except ConnectionError:
        return False
    return True


def test_what_is_dropped_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_LINGER_BYTES", 100_000)
    with serving() as served, _refused(served) as connection:
        assert not _sends_for_ever(connection)


def test_waiting_for_the_rest_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_LINGER_S", 0.01)
    monkeypatch.setattr(transport, "_LINGER_BYTES", 2**50)
    with serving() as served, _refused(served) as connection:
        assert not _sends_for_ever(connection)


def test_a_service_that_stops_waits_for_no_rest() -> None:
    with serving() as served:
        connection = _refused(served)
    with connection:
        assert not _sends_for_ever(connection)


def test_a_whole_request_is_closed_at_once_after_its_answer() -> None:
    with serving() as served, served.connect() as connection:
        connection.sendall(served.whole(ASK))
        assert listen(connection).status == 200
        assert not _sends_for_ever(connection)


@pytest.mark.parametrize(
    ("change", "status"),
    [({}, 413), ({"path": "/nowhere"}, 404), ({"path": "/serverless/info", "method": "GET"}, 200)],
)
def test_a_body_that_nobody_reads_is_followed_by_the_next_request(
    change: dict[str, str], status: int
) -> None:
    size = 1024 * 1024
    with serving() as served, served.connect() as connection:
        connection.sendall(served.head(f"Content-Length: {size}", **change))
        connection.sendall(b"x" * size + served.whole(ASK))
        heard = listen(connection)
    assert re.findall(rb"HTTP/1.1 ([0-9]{3}) ", heard.data) == [b"%d" % status, b"200"]


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.2"])
def test_an_upgrade_is_not_taken_and_not_talked_of(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    lines = (f"Content-Length: {len(ASK)}", f"Upgrade: {protocol}", "Connection: close, upgrade")
    with serving() as served:
        assert served.ask(served.head(*lines) + ASK).status == 200
    assert caplog.records == []
