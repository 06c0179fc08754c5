"""What the client was waited for is its own part: for its body, and until it took the answer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import closing

from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.generation import Progress

from phi_client.testing import Clock

SECONDS = 20
MANY = " ".join(f"word{number}" for number in range(8000))


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 100.0

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.at)


def dialled(emulator: Emulator) -> socket.socket:
    host, port = emulator.root.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.settimeout(SECONDS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    return connection


def request(emulator: Emulator, **more: object) -> bytes:
    body = json.dumps({"messages": [{"role": "user", "content": "six"}], **more}).encode()
    head = (
        f"POST /chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {emulator.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def turns(emulator: Emulator) -> None:
    """Let the loop that serves do all that it can do now."""

    async def pass_on() -> None:
        for _ in range(500):
            await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(pass_on(), emulator.event_loop).result(SECONDS)


def wait_until(holds: Callable[[], object]) -> None:
    while not holds():
        pass


def test_a_body_that_comes_late_is_the_clients_time() -> None:
    hand = Hand()
    with (
        Emulator(
            EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: "7"), clock=hand.clock
        ) as emulator,
        closing(dialled(emulator)) as connection,
    ):
        data = request(emulator)
        connection.sendall(data[:-5])
        wait_until(emulator.journal.all_watched)
        [running] = emulator.journal.all_watched()
        wait_until(lambda: running.row().request_bytes)
        hand.at += 5
        assert running.row().spent.client_ms == 5000
        connection.sendall(data[-5:])
        while connection.recv(65_536):
            pass
        [entry] = emulator.journal.wait_for(1)
    assert (entry.spent.client_ms, entry.spent.total_ms) == (5000, 5000)
    assert entry.why_slow.text.startswith("5000 ms of 5000 ms (100%) went into waiting for the client")


def test_an_answer_that_is_not_taken_is_the_clients_time_from_the_last_token_on() -> None:
    hand = Hand()
    with (
        Emulator(
            EmulatorConfig(port=0),
            make_engine=lambda: ScriptedEngine(lambda _: MANY, context_length=40_000),
            clock=hand.clock,
        ) as emulator,
        closing(dialled(emulator)) as connection,
    ):
        connection.sendall(request(emulator, stream=True))
        wait_until(emulator.journal.all_watched)
        [running] = emulator.journal.all_watched()

        def is_computed() -> bool:
            progress = running.progress
            return isinstance(progress, Progress) and progress.ended is not None

        wait_until(is_computed)
        # It is stuck when what it has sent grows no more.
        sent = -1
        while sent != (sent := running.row().response_bytes):
            turns(emulator)
        hand.at += 7
        while connection.recv(65_536):
            pass
        [entry] = emulator.journal.wait_for(1)
    assert entry.ending == "answered"
    assert (entry.spent.client_ms, entry.spent.total_ms) == (7000, 7000)
