"""Requests that no client sends, on a real socket: each is answered or cut off, and none harms the next one."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.web.http_protocol import BoundedProtocol

CHAT = "/serverless/chat/completions"
BODY = b'{"messages":[{"role":"user","content":"six"}]}'
SECONDS = 20


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """An emulator on a socket."""
    config = EmulatorConfig(port=0, max_body_bytes=100_000)
    with Emulator(config, make_engine=lambda: ScriptedEngine(lambda _: "42")) as running:
        yield running


def port_of(emulator: Emulator) -> int:
    return int(emulator.root.rpartition(":")[2])


def head(
    emulator: Emulator, *lines: str, method: str = "POST", path: str = CHAT, host: str = "127.0.0.1"
) -> str:
    known = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {emulator.config.key}"]
    return "\r\n".join([*known, "Content-Type: application/json", *lines]) + "\r\n\r\n"


def exchange(emulator: Emulator, sent: bytes, *, leaves: bool = False) -> bytes:
    """All that comes back until the server closes; with `leaves` the client says that nothing follows."""
    with socket.create_connection(("127.0.0.1", port_of(emulator)), timeout=SECONDS) as connection:
        got = b""
        with suppress(ConnectionError):
            connection.sendall(sent)
            if leaves:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                got += part
        return got


def statuses(answer: bytes) -> list[int]:
    """The status of each answer in what came back."""
    return [int(status) for status in re.findall(rb"HTTP/1.1 ([0-9]{3}) ", answer)]


def is_well(emulator: Emulator) -> bool:
    whole = head(emulator, f"Content-Length: {len(BODY)}", "Connection: close").encode() + BODY
    return statuses(exchange(emulator, whole)) == [200]


SMUGGLED = b"GET /_emulator/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("TRANSFER-ENCODING: CHUNKED", "content-length: 0"),
        ("Transfer-Encoding: \tchunked ", "Content-Length: 500"),
        ("Transfer-Encoding: chunked", "Content-Length: 5", "Content-Length: 5"),
    ],
)
def test_two_lengths_are_refused_and_what_follows_is_not_read(
    emulator: Emulator, lines: tuple[str, ...]
) -> None:
    answer = exchange(emulator, head(emulator, *lines).encode() + b"0\r\n\r\n" + SMUGGLED)
    assert statuses(answer) == [400]
    assert b"connection: close" in answer.lower()
    assert is_well(emulator)


def test_chunks_in_http_1_0_are_refused(emulator: Emulator) -> None:
    sent = head(emulator, "Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0").encode()
    assert statuses(exchange(emulator, sent + b"0\r\n\r\n")) == [400]


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -1",),
        ("Content-Length: +5",),
        ("Content-Length: 5_0",),
        ("Content-Length: " + "9" * 30,),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        (f"X-Long: {'a' * 300_000}",),
        tuple(f"X-{number}: {'a' * 300}" for number in range(1000)),
        tuple(f"X-{number}: a" for number in range(101)),
        ("X-\x00: a",),
        ("Host: other",),
        ("Origin: http://localhost", "Origin: https://evil.example"),
    ],
    ids=range(14),
)
def test_a_head_that_is_none_is_refused_and_closed(emulator: Emulator, lines: tuple[str, ...]) -> None:
    answer = exchange(emulator, head(emulator, *lines).encode("latin-1") + BODY + SMUGGLED)
    assert len(statuses(answer)) <= 1
    assert all(400 <= status < 500 or status == 501 for status in statuses(answer))
    assert is_well(emulator)


def test_a_target_of_many_kilobytes_is_refused(emulator: Emulator) -> None:
    answer = exchange(emulator, head(emulator, path="/" + "a" * 20_000, method="GET").encode())
    assert statuses(answer) == [414]


HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example:16180",
    "evil.com@127.0.0.1",
    "evil.com:80@127.0.0.1:16180",
    "@127.0.0.1",
    "127.0.0.1:16180@evil.com",
    "evil.com#@127.0.0.1",
    "evil.com/@127.0.0.1",
    "evil.com?127.0.0.1",
    "evil.com\\127.0.0.1",
    "127.0.0.1:evil.com",
    "127.0.0.1:",
    "127.0.0.1:123456",
    "127.0.0.1, evil.com",
    "127.0.0.1 evil.com",
    "evil.com\t127.0.0.1",
    "[::1",
    "[::1]evil.com",
    "[evil.com]",
    "[::1%25evil.com]",
    "\u00e9vil.127.0.0.1",
    "\u2488.localhost".encode().decode("latin-1"),
    "localhost..",
    ".localhost",
    "'\"><script>.localhost",
    "a" * 300 + ".localhost",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/_emulator/entra/common/v2.0/.well-known/openid-configuration", "/info"])
def test_a_host_that_is_none_or_foreign_is_refused_and_never_repeated(
    emulator: Emulator, host: str, path: str
) -> None:
    sent = head(emulator, "Connection: close", method="GET", path=path, host=host).encode("latin-1")
    answer = exchange(emulator, sent)
    assert statuses(answer) in ([400], [403])
    assert b"evil" not in answer
    assert b"<script" not in answer


@pytest.mark.parametrize(
    "origin",
    ["https://evil.com", "http://evil.com@127.0.0.1", "127.0.0.1", "http://", "null", "http://[::1", "a b"],
)
def test_an_origin_that_is_none_or_foreign_is_refused_and_never_repeated(
    emulator: Emulator, origin: str
) -> None:
    sent = head(emulator, f"Origin: {origin}", "Connection: close", method="GET", path="/info").encode()
    answer = exchange(emulator, sent)
    assert statuses(answer) == [403]
    assert b"evil" not in answer


def test_a_body_of_chunks_of_one_byte_is_read(emulator: Emulator) -> None:
    body = BODY + b" " * 20_000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    sent = head(emulator, "Transfer-Encoding: chunked", "Connection: close").encode() + chunks
    assert statuses(exchange(emulator, sent)) == [200]


def test_requests_in_one_packet_are_answered_in_turn(emulator: Emulator) -> None:
    whole = head(emulator, f"Content-Length: {len(BODY)}").encode() + BODY
    last = head(emulator, f"Content-Length: {len(BODY)}", "Connection: close").encode() + BODY
    assert statuses(exchange(emulator, whole * 40 + last)) == [200] * 41


PATHS = [
    CHAT,
    "/",
    "*",
    "http://evil.com/",
    "//evil.com",
    "/%00",
    "/%ff%fe",
    "/..%2f",
    "/openai/v1/models/%0a",
    "/_emulator/status?" + "&" * 2000,
    "/managed-compute/score",
    "/_emulator/entra/common/oauth2/v2.0/token",
    "/openai/deployments/%22%0d%0aX:%20y/chat/completions?api-version=2024-10-21",
]


class _Requests:
    """Hostile requests, the same ones for a seed."""

    def __init__(self, emulator: Emulator, seed: int) -> None:
        self._emulator = emulator
        self._random = random.Random(seed)

    def any(self) -> bytes:
        """A request of which some things are wrong, cut or changed."""
        pick = self._random.choice
        method = pick(["POST", "GET", "OPTIONS", "HEAD", "CONNECT", "TRACE", "PRI", "a" * 40])
        path = pick(PATHS)
        lines = self._random.sample(self._lines(), self._random.randrange(5))
        whole = head(
            self._emulator, *lines, method=method, path=path, host=pick([*HOSTS, "127.0.0.1", "localhost"])
        )
        body = pick(
            [b"", BODY, b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffff\r\n", b"\x00" * 50, SMUGGLED]
        )
        sent = bytearray(whole.encode("latin-1", "replace") + body)
        for _ in range(pick([0, 0, 1, 3])):
            sent[self._random.randrange(len(sent))] = self._random.randrange(256)
        return bytes(sent if pick([True, True, False]) else sent[: self._random.randrange(len(sent))])

    def _lines(self) -> list[str]:
        length = self._random.choice([0, 5, len(BODY), 10**6, 10**19])
        return [
            f"Content-Length: {length}",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: \x0bchunked",
            "Expect: 100-continue",
            "Connection: upgrade",
            "Upgrade: websocket",
            "Connection: keep-alive, close",
            "Authorization: Bearer \xff\xfe",
            "Authorization: Bearer a.b.c",
            "Content-Type: application/json; charset=\xe9",
            "x-ms-client-request-id: \xe4\xbd\xa0\x01'\"",
            "x-ms-return-client-request-id: true",
            "azureml-model-deployment: \xe6\xa8\xa1\x07",
            "x-ms-model-mesh-model-name: \xff",
            "extra-parameters: " + "x" * self._random.choice([1, 5000]),
            " folded: line",
            "Accept-Encoding: \t\t",
        ]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_a_500_and_nothing_hangs(
    emulator: Emulator, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    requests = _Requests(emulator, seed)
    for number in range(60):
        sent = requests.any()
        got = exchange(emulator, sent, leaves=True)
        assert not any(status >= 500 and status != 501 for status in statuses(got)), (number, sent, got)
        assert len(got) <= 64 * 1024 * max(1, len(statuses(got)))
    assert is_well(emulator)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_request_that_never_ends_its_head_is_given_up(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.05)
    for begun in (b"", b"GET /info HTTP/1.1\r\nHost: 127.0", SMUGGLED + b"GET /"):
        answer = exchange(emulator, begun)
        assert statuses(answer) == ([200] if begun.startswith(SMUGGLED) else [])


def test_json_of_any_kind_is_answered_in_strict_json_below_64_kb(emulator: Emulator) -> None:
    for body in (
        b'{"messages":[{"role":"user","content":"1"}],"temperature":1e999}',
        b'{"messages":[{"role":"user","content":"1"}],"n":-1e999}',
        b'{"messages":[' + b"1," * 45_000 + b"1]}",
    ):
        sent = head(emulator, f"Content-Length: {len(body)}", "Connection: close").encode() + body
        answer = exchange(emulator, sent)
        assert statuses(answer) == [422]
        text = answer.partition(b"\r\n\r\n")[2]
        assert len(text) <= 64 * 1024
        json.loads(text, parse_constant=pytest.fail)
