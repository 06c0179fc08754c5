"""An application with links of a test's own, on a real socket, and a client that sees every byte and every reset."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from phi_emulator import EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.chat import ChatService
from phi_emulator.web.app import App
from phi_emulator.web.chain import Link
from phi_emulator.web.server import HttpServer

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock

CHAT = "/serverless/chat/completions"
ASK = b'{"messages":[{"role":"user","content":"six"}]}'
STREAM = b'{"messages":[{"role":"user","content":"six"}],"stream":true}'
SECONDS = 20


@dataclass
class Served:
    """What is served, and where."""

    app: App
    worker: Worker
    port: int
    key: str

    def wait_until_idle(self) -> None:
        """Return when the engine has nothing to do."""
        tick, end = threading.Event(), time.monotonic() + SECONDS
        while self.worker.status.running or self.worker.status.waiting:
            assert time.monotonic() < end
            tick.wait(0.005)

    def head(self, *lines: str, method: str = "POST", path: str = CHAT, host: str = "127.0.0.1") -> bytes:
        """The head of a request for JSON, with the key."""
        known = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {self.key}"]
        text = "\r\n".join([*known, "Content-Type: application/json", *lines]) + "\r\n\r\n"
        return text.encode("latin-1")

    def whole(self, body: bytes, *lines: str, **named: str) -> bytes:
        """A request, after which the connection is closed."""
        return self.head(f"Content-Length: {len(body)}", "Connection: close", *lines, **named) + body

    def connect(self) -> socket.socket:
        """A connection of one's own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def ask(self, sent: bytes) -> Heard:
        """All that comes back, and how it ended."""
        with self.connect() as connection:
            connection.sendall(sent)
            return listen(connection)


@dataclass
class Heard:
    """What came back on a connection, and whether it ended with a reset."""

    data: bytes
    was_reset: bool

    @property
    def status(self) -> int:
        """Of the first answer; 0 where there is none."""
        found = re.match(rb"HTTP/1.1 ([0-9]{3}) ", self.data)
        return 0 if found is None else int(found[1])

    @property
    def body(self) -> bytes:
        """Of the one answer, chunked or not."""
        head, _, rest = self.data.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" not in head.lower():
            return rest
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return body


def listen(connection: socket.socket) -> Heard:
    """All that comes until the end."""
    data = b""
    try:
        while part := connection.recv(65536):
            data += part
    except ConnectionResetError:
        return Heard(data, was_reset=True)
    return Heard(data, was_reset=False)


@contextmanager
def serving(
    *,
    outer: Sequence[Link] = (),
    inner: Sequence[Link] = (),
    config: EmulatorConfig | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[Served]:
    """An emulator with further links in its chain."""
    config = config or EmulatorConfig(max_body_bytes=100_000)
    worker = Worker(lambda: ScriptedEngine(lambda _: "one two three"))
    worker.start()
    app = App(ChatService(worker), config, outer=outer, inner=inner, clock=clock)
    server = HttpServer(app)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.serve_until_stopped, args=(listening,))
        thread.start()
        server.ready.wait(SECONDS)
        try:
            yield Served(app, worker, listening.getsockname()[1], config.key)
        finally:
            server.config.timeout_graceful_shutdown = 1
            server.should_exit = True
            thread.join(SECONDS)
            worker.stop()
