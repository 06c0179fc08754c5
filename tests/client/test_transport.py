"""Ways to the service: proxies, HTTP/2 and clients of httpx that a caller brings, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from phi_client import APIConnectionError, AsyncPhiClient, Completion, PhiClient

if TYPE_CHECKING:
    from collections.abc import Iterator

REMOTE = "https://phi.eastus2.models.ai.azure.com"
BODY = b'{"choices":[{"message":{"content":"42"},"finish_reason":"stop"}]}'
EVENTS = b'data: {"choices":[{"delta":{"content":"42"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class Proxying(BaseHTTPRequestHandler):
    """Answers in the service's place, and refuses tunnels; keeps what it was asked for."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(502)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


class Proxy(ThreadingHTTPServer):
    """A proxy, or a service of its own when it is asked directly."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Proxying)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def ask(url: str, *, is_async: bool, **transport: Any) -> Completion:
    """One completion, with a client of httpx that `transport` describes, or with the client's own."""
    if not is_async:
        http = httpx.Client(**transport) if transport else None
        with PhiClient(url, "k", max_retries=0, http_client=http) as client:
            done = client.complete("x")
        if http is not None:
            assert not http.is_closed
            http.close()
        return done

    async def run() -> Completion:
        http = httpx.AsyncClient(**transport) if transport else None
        async with AsyncPhiClient(url, "k", max_retries=0, http_client=http) as client:
            done = await client.complete("x")
        if http is not None:
            assert not http.is_closed
            await http.aclose()
        return done

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@BOTH
def test_a_client_of_the_callers_may_have_a_proxy(proxy: Proxy, is_async: bool) -> None:
    done = ask("http://127.0.0.1:1", is_async=is_async, proxy=proxy.url)
    assert done.content == "42"
    assert proxy.asked[0].startswith("http://127.0.0.1:1/chat/completions")


@BOTH
def test_the_proxy_of_the_environment_is_used_for_others_and_not_for_this_machine(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(APIConnectionError, match="502") as caught:
        ask(REMOTE, is_async=is_async)
    assert not caught.value.request_sent
    assert proxy.asked == ["phi.eastus2.models.ai.azure.com:443"]
    assert ask(proxy.url, is_async=is_async).content == "42"
    assert proxy.asked[1].startswith("/chat/completions")


def serve_http2(listening: socket.socket) -> None:
    """Answer the requests of one connection, as a stream where that is asked for."""
    sock, _ = listening.accept()
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    bodies: dict[int, bytes] = {}
    with sock:
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    assert event.stream_id is not None
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + (event.data or b"")
                elif isinstance(event, h2.events.StreamEnded):
                    assert event.stream_id is not None
                    is_stream = json.loads(bodies[event.stream_id]).get("stream")
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    connection.send_data(event.stream_id, EVENTS if is_stream else BODY, end_stream=True)
            sock.sendall(connection.data_to_send())


@BOTH
def test_http2_is_spoken_by_a_client_that_speaks_it(is_async: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve_http2, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        if is_async:
            asyncio.run(use_http2_async(url))
        else:
            with (
                httpx.Client(http1=False, http2=True) as http,
                PhiClient(url, "k", http_client=http) as client,
            ):
                assert client.complete("x").content == "42"
                with client.stream("x") as stream:
                    assert [chunk.content for chunk in stream] == ["42"]
                assert client.complete("x").content == "42"
        thread.join(10)
        assert not thread.is_alive()


async def use_http2_async(url: str) -> None:
    async with (
        httpx.AsyncClient(http1=False, http2=True) as http,
        AsyncPhiClient(url, "k", http_client=http) as client,
    ):
        assert (await client.complete("x")).content == "42"
        async with client.stream("x") as stream:
            assert [chunk.content async for chunk in stream] == ["42"]
        assert (await client.complete("x")).content == "42"
