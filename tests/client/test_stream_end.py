"""After `[DONE]`: the connection serves again if the body ends at once, and nobody waits for it if it does not."""

from __future__ import annotations

import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from phi_client import AsyncPhiClient, PhiClient

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = b"".join(
    b"data: " + data + b"\n\n"
    for data in (b'{"choices":[{"delta":{"content":"42"},"finish_reason":"stop"}]}', b"[DONE]")
)
TOO_LONG_S = 20.0


class Streaming(BaseHTTPRequestHandler):
    """Streams an answer, and then does as its server says."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        end = {"with it": b"0\r\n\r\n", "later": b"", "never": b"", "with more": b"7\r\n: more\n\r\n"}
        self.wfile.write(b"%x\r\n%b\r\n%b" % (len(EVENTS), EVENTS, end[self.server.ends]))
        if self.server.ends == "later":
            self.wfile.write(b"0\r\n\r\n")
        elif self.server.ends != "with it":
            # Until the client hangs up.
            self.rfile.read(1)
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


class Server(ThreadingHTTPServer):
    """Counts its connections; `ends` says when the body of a stream does."""

    daemon_threads = True
    connections = 0
    ends = "with it"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Streaming) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def stream_twice(url: str) -> None:
    with PhiClient(url, "k") as client:
        for _ in range(2):
            with client.stream("x") as stream:
                assert "".join(chunk.content for chunk in stream) == "42"


async def stream_twice_async(url: str) -> None:
    async with AsyncPhiClient(url, "k") as client:
        for _ in range(2):
            async with client.stream("x") as stream:
                assert [chunk.content async for chunk in stream] == ["42"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("ends", "connections"), [("with it", 1), ("later", 1), ("never", 2), ("with more", 2)]
)
def test_the_connection_is_used_again_where_the_body_ends(
    server: Server, is_async: bool, ends: str, connections: int
) -> None:
    server.ends = ends
    began = time.monotonic()
    if is_async:
        asyncio.run(stream_twice_async(server.url))
    else:
        stream_twice(server.url)
    assert server.connections == connections
    assert time.monotonic() - began < TOO_LONG_S
