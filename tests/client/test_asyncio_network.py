"""Sockets of asyncio under httpcore's connections: what is sent and read, and how each failure is called."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import pytest
import trustme

from phi_client._wire.sockets import AsyncioNetwork

LIMIT_S = 20.0
SOON_S = 0.05
MEGABYTE = bytes(1024 * 1024)

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(
    peer: Peer, context: ssl.SSLContext | None = None
) -> AsyncIterator[httpcore.AsyncNetworkStream]:
    """A connection to `peer`, which is closed at the end, and the peer's end with it."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
            await ended.wait()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        stream = await AsyncioNetwork().connect_tcp("127.0.0.1", port_of(server), timeout=LIMIT_S)
        try:
            yield stream
        finally:
            await stream.aclose()
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def serving_as(name: str, authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A peer that listens and is silent."""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A peer that repeats what it reads first."""
    writer.write(await reader.read(1024))


def test_what_is_written_before_an_answer_is_read_is_one_packet() -> None:
    async def run() -> bytes:
        async with connected(echo) as stream:
            await stream.write(b"head ")
            await stream.write(b"")
            await stream.write(b"body")
            return await stream.read(1024, timeout=LIMIT_S)

    assert asyncio.run(run()) == b"head body"


def test_no_more_is_read_than_was_asked_for() -> None:
    async def run() -> list[bytes]:
        async with connected(echo) as stream:
            await stream.write(b"abcdef")
            return [await stream.read(4, timeout=LIMIT_S), await stream.read(4, timeout=LIMIT_S)]

    assert asyncio.run(run()) == [b"abcd", b"ef"]


def test_an_end_is_no_bytes() -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last")
        writer.write_eof()

    async def run() -> list[bytes]:
        async with connected(end) as stream:
            return [await stream.read(1024, timeout=LIMIT_S) for _ in range(3)]

    assert asyncio.run(run()) == [b"last", b"", b""]


def test_silence_is_a_read_timeout() -> None:
    async def run() -> None:
        async with connected(say_nothing) as stream:
            with pytest.raises(httpcore.ReadTimeout):
                await stream.read(1024, timeout=SOON_S)

    asyncio.run(run())


def test_a_reset_is_a_read_error() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        connection: Any = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def run() -> None:
        async with connected(reset) as stream:
            await stream.write(b"x")
            with pytest.raises(httpcore.ReadError):
                await stream.read(1024, timeout=LIMIT_S)

    asyncio.run(run())


def test_a_peer_that_takes_nothing_is_a_write_timeout() -> None:
    async def stop_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()

    async def run() -> None:
        async with connected(stop_reading) as stream:
            with pytest.raises(httpcore.WriteTimeout):
                await stream.write(64 * MEGABYTE, timeout=SOON_S)

    asyncio.run(run())


def test_a_long_request_arrives_whole() -> None:
    parts = 16

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(parts * len(MEGABYTE))
        writer.write(b"all")

    async def run() -> bytes:
        async with connected(count) as stream:
            for _ in range(parts):
                await stream.write(MEGABYTE, timeout=LIMIT_S)
            return await stream.read(1024, timeout=LIMIT_S)

    assert asyncio.run(run()) == b"all"


def test_a_refusal_that_comes_before_the_request_is_sent_can_be_read() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"too long")
        await writer.drain()

    async def run() -> bytes:
        async with connected(refuse) as stream:
            await stream.write(b"a request")
            return await stream.read(1024, timeout=LIMIT_S)

    assert asyncio.run(run()) == b"too long"


def test_a_peer_that_sends_faster_than_is_read_has_to_wait() -> None:
    parts = 64

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(parts):
            writer.write(MEGABYTE)
            await writer.drain()
        writer.write_eof()

    async def run() -> tuple[int, int]:
        async with connected(flood) as stream:
            most, size = 0, 0
            while data := await stream.read(64 * 1024, timeout=LIMIT_S):
                size += len(data)
                held: Any = stream
                most = max(most, len(held._wire.received))
                await asyncio.sleep(0)
            return most, size

    most, size = asyncio.run(run())
    assert size == parts * len(MEGABYTE)
    assert most <= 1024 * 1024


def test_a_kept_connection_that_its_peer_closed_is_known_to_be_readable() -> None:
    async def run() -> list[bool]:
        closed = asyncio.Event()

        async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.close()
            closed.set()

        async with connected(close) as stream:
            before = stream.get_extra_info("is_readable")
            await stream.write(b"x")
            await stream.read(1024, timeout=LIMIT_S)
            await closed.wait()
            return [before, stream.get_extra_info("is_readable")]

    assert asyncio.run(run()) == [False, True]


def test_a_connection_can_be_closed_twice_and_tells_its_addresses() -> None:
    async def run() -> None:
        async with connected(say_nothing) as stream:
            assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
            assert stream.get_extra_info("client_addr")[0] == "127.0.0.1"
            assert stream.get_extra_info("ssl_object") is None
            assert stream.get_extra_info("nothing") is None
            await stream.aclose()
            assert stream.get_extra_info("is_readable")

    asyncio.run(run())


def test_nobody_there_is_a_connect_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        with pytest.raises(httpcore.ConnectError):
            asyncio.run(AsyncioNetwork().connect_tcp("127.0.0.1", port, timeout=LIMIT_S))


def test_no_answer_is_a_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        # No address of this machine leaves a connection without any answer.
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
        with pytest.raises(httpcore.ConnectTimeout):
            await AsyncioNetwork().connect_tcp("127.0.0.1", 1, timeout=SOON_S)

    asyncio.run(run())


def test_a_host_is_reached_at_the_address_that_takes_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> bytes:
        async with connected(echo) as known:
            port = known.get_extra_info("server_addr")[1]

            async def resolve(*_: object, **__: object) -> list[Any]:
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

            hosts = ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first
            monkeypatch.setattr(
                asyncio.get_running_loop(), "getaddrinfo", resolve
            )  # no such name is in any DNS
            stream = await AsyncioNetwork().connect_tcp("several.example", port, timeout=LIMIT_S)
            try:
                await stream.write(b"hello")
                return await stream.read(1024, timeout=LIMIT_S)
            finally:
                await stream.aclose()

    assert asyncio.run(run()) == b"hello"


def test_an_address_that_does_not_answer_takes_only_its_share_of_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> list[str]:
        loop = asyncio.get_running_loop()
        asked: list[str] = []

        async def resolve(*_: object, **__: object) -> list[Any]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 1)) for host in ("10.0.0.1", "10.0.0.2")
            ]

        async def silent_first(_: object, host: str, *__: object, **___: object) -> None:
            asked.append(host)
            if len(asked) == 1:
                await asyncio.Event().wait()
            raise ConnectionRefusedError

        # Neither a name with two addresses nor one without an answer is to be had on this machine.
        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        monkeypatch.setattr(loop, "create_connection", silent_first)
        with pytest.raises(httpcore.ConnectError):
            await AsyncioNetwork().connect_tcp("several.example", 1, timeout=4 * SOON_S)
        return asked

    assert asyncio.run(run()) == ["10.0.0.1", "10.0.0.2"]


def test_what_is_said_over_tls_arrives() -> None:
    authority = trustme.CA()

    async def run() -> bytes:
        async with connected(echo, serving_as("localhost", authority)) as plain:
            stream = await plain.start_tls(trusting(authority), "localhost", LIMIT_S)
            assert isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject)
            await stream.write(b"secret")
            return await stream.read(1024, timeout=LIMIT_S)

    assert asyncio.run(run()) == b"secret"


def test_a_certificate_for_another_host_is_a_connect_error() -> None:
    authority = trustme.CA()

    async def run() -> None:
        async with connected(echo, serving_as("elsewhere.example", authority)) as plain:
            with pytest.raises(httpcore.ConnectError, match="certificate"):
                await plain.start_tls(trusting(authority), "localhost", LIMIT_S)

    asyncio.run(run())


def test_a_peer_that_does_not_speak_tls_is_a_connect_error_or_timeout() -> None:
    async def run(peer: Peer, error: type[Exception]) -> None:
        async with connected(peer) as plain:
            with pytest.raises(error):
                await plain.start_tls(trusting(trustme.CA()), "localhost", 4 * SOON_S)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    asyncio.run(run(hang_up, httpcore.ConnectError))
    asyncio.run(run(say_nothing, httpcore.ConnectTimeout))
