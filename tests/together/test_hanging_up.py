"""A caller that leaves frees the engine before its next step, and a full queue turns the next one away."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.together.conftest import Running, StartEmulator

    Eventually = Callable[[Callable[[], object]], None]

ASK = {"messages": [{"role": "user", "content": "six times seven"}]}


def _call(running: Running, *, stream: bool) -> socket.socket:
    """A request on a bare socket, whose end is in the test's hands."""
    body = json.dumps(ASK | {"stream": stream}).encode()
    head = (
        f"POST /chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.emulator.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", httpx.URL(running.emulator.root).port or 0))
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole answer"])
def test_hanging_up_frees_the_engine_before_its_next_step(
    running: Running, eventually: Eventually, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.web")
    running.gate.close()
    connection = _call(running, stream=stream)
    running.gate.allow(2)
    eventually(lambda: running.engine.steps == 2 and running.gate.waiting)
    connection.close()
    eventually(lambda: "client left" in caplog.text)
    assert running.engine.released == []
    running.gate.allow()  # the step that was about to begin when the caller left
    eventually(lambda: running.engine.released == [1])
    eventually(lambda: running.status()["running"] == 0)
    assert running.engine.steps == 3


def test_hanging_up_while_waiting_gives_the_place_in_the_queue_back(
    start_emulator: StartEmulator, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.web")
    running = start_emulator(engine={"max_running": 1}, queue_size=1)
    running.gate.close()
    with _call(running, stream=True):
        eventually(lambda: running.status()["running"] == 1)
        with _call(running, stream=False):
            eventually(lambda: running.status()["waiting"] == 1)
        eventually(lambda: "client left" in caplog.text)
        running.gate.allow(1)
        eventually(lambda: running.status()["waiting"] == 0)
        assert running.status()["running"] == 1


@pytest.mark.parametrize(
    ("path", "status"), [("/chat/completions", 429), ("/managed-compute/v1/chat/completions", 429)]
)
def test_a_full_queue_answers_429_with_a_time_to_wait(
    start_emulator: StartEmulator, eventually: Eventually, path: str, status: int
) -> None:
    running = start_emulator(engine={"max_running": 1}, queue_size=1)
    running.gate.close()
    with _call(running, stream=True):
        eventually(lambda: running.status()["running"] == 1)
        with _call(running, stream=True):
            eventually(lambda: running.status()["waiting"] == 1)
            answer = running.http.post(path, json=ASK)
            assert answer.status_code == status
            assert int(answer.headers["Retry-After"]) >= 1
            running.gate.allow()
            eventually(lambda: running.status()["waiting"] == 0)
            assert running.http.post(path, json=ASK).status_code == 200


def test_an_engine_that_works_does_not_hold_up_other_requests(
    running: Running, eventually: Eventually
) -> None:
    running.gate.close()
    with _call(running, stream=True):
        eventually(lambda: running.gate.waiting)
        assert running.http.get("/info").status_code == 200
