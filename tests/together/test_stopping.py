"""Stopping: running requests may end within the time to drain, and nothing hangs or leaves a traceback."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig, EmulatorError
from phi_emulator.engine.errors import ModelLoadError

from phi_client.contract.emulator import EMULATOR_KEY

if TYPE_CHECKING:
    from tests.together.conftest import Command, Running

    Eventually = Callable[[Callable[[], object]], None]

ASK = {"messages": [{"role": "user", "content": "six times seven"}]}
END = b'"finish_reason":"stop"'
DONE = b"data: [DONE]\n\n"


def test_a_running_request_ends_while_the_emulator_drains(running: Running, eventually: Eventually) -> None:
    running.gate.close()
    with running.http.stream("POST", "/chat/completions", json=ASK | {"stream": True}) as answer:
        received = answer.iter_bytes()
        next(received)
        stopping = threading.Thread(target=running.emulator.stop, kwargs={"drain_seconds": 20})
        stopping.start()
        eventually(running.refuses_connections)
        running.gate.allow()
        rest = b"".join(received)
    stopping.join(20)
    assert not stopping.is_alive()
    assert END in rest
    assert rest.endswith(DONE)
    assert not running.emulator.is_running


def test_a_request_that_does_not_end_in_time_is_told_so(running: Running, eventually: Eventually) -> None:
    running.gate.close()
    with running.http.stream("POST", "/chat/completions", json=ASK | {"stream": True}) as answer:
        received = answer.iter_bytes()
        next(received)
        eventually(lambda: running.gate.waiting)
        stopping = threading.Thread(target=running.emulator.stop, kwargs={"drain_seconds": 0})
        stopping.start()
        eventually(running.refuses_connections)
        running.gate.allow(1)  # a model's step can't be interrupted; it is the last
        rest = b"".join(received)
    stopping.join(20)
    assert rest.endswith(
        b"event: error\ndata: Error parsing decoded stream: the engine has stopped\n\n" + DONE
    )
    assert running.engine.steps == 1


def test_a_whole_answer_that_does_not_end_in_time_is_503(running: Running, eventually: Eventually) -> None:
    running.gate.close()
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(running.http.post("/chat/completions", json=ASK)))
    asking.start()
    eventually(lambda: running.gate.waiting)
    stopping = threading.Thread(target=running.emulator.stop, kwargs={"drain_seconds": 0})
    stopping.start()
    eventually(running.refuses_connections)
    running.gate.allow(1)
    asking.join(20)
    stopping.join(20)
    assert answers[0].status_code == 503


def test_a_body_that_never_comes_does_not_hold_up_the_stop(running: Running) -> None:
    url = httpx.URL(running.emulator.root)
    head = (
        f"POST /chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.emulator.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        running.emulator.stop(drain_seconds=0)
        assert connection.recv(1000).startswith(b"HTTP/1.1 503 ")


def test_stopping_twice_or_before_the_start_does_no_harm(running: Running) -> None:
    Emulator().stop()
    running.emulator.stop()
    running.emulator.stop()
    assert not running.emulator.is_running


def test_a_taken_port_is_an_error_that_says_what_to_do(running: Running) -> None:
    port = httpx.URL(running.emulator.root).port or 0
    second = Emulator(EmulatorConfig(port=port), make_engine=lambda: running.engine)
    with pytest.raises(EmulatorError, match=rf"127\.0\.0\.1:{port} is in use: .*`--port`"):
        second.start()


def test_a_model_that_can_not_be_loaded_frees_the_port() -> None:
    def fail() -> None:
        raise ModelLoadError("the weights are missing")

    emulator = Emulator(make_engine=fail)  # type: ignore[arg-type]  # it never returns
    with pytest.raises(EmulatorError, match="the weights are missing"):
        emulator.start()
    assert not emulator.is_running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_exits_with_0(command: Callable[..., Command], number: signal.Signals) -> None:
    served = command("serve", "--port", "0")
    root = served.stderr_line("phi-emulator listens on").split()[-1]
    served.stderr_line("Ctrl-C stops it.")
    headers = {"Authorization": f"Bearer {EMULATOR_KEY}"}
    body = ASK | {"stream": True}
    with httpx.stream(
        "POST", root + "/chat/completions", json=body, headers=headers, trust_env=False
    ) as answer:
        received = answer.iter_bytes()
        next(received)
        served.process.send_signal(number)
        served.stderr_line("stopping:")
        served.allow(100)
        rest = b"".join(received)
    assert END in rest
    status, _, err = served.end()
    assert status == 0
    assert "Traceback" not in err


def test_a_second_signal_stops_at_once(command: Callable[..., Command]) -> None:
    served = command("serve", "--port", "0", "--drain-seconds", "1000")
    root = served.stderr_line("phi-emulator listens on").split()[-1]
    served.stderr_line("Ctrl-C stops it.")
    headers = {"Authorization": f"Bearer {EMULATOR_KEY}"}
    body = ASK | {"stream": True}
    with httpx.stream(
        "POST", root + "/chat/completions", json=body, headers=headers, trust_env=False
    ) as answer:
        next(answer.iter_bytes())
        served.process.send_signal(signal.SIGINT)
        served.stderr_line("stopping:")
        served.process.send_signal(signal.SIGINT)
        status, _, err = served.end()
    assert status == 130
    assert "Traceback" not in err


def test_a_taken_port_ends_the_command_with_1_and_one_line(
    running: Running, command: Callable[..., Command]
) -> None:
    port = str(httpx.URL(running.emulator.root).port)
    status, _, err = command("serve", "--port", port).end()
    assert status == 1
    assert len(err.splitlines()) == 1
    assert "--port" in err


def test_the_banner_leads_a_client_to_the_emulator(command: Callable[..., Command]) -> None:
    served = command("serve", "--port", "0", "--key", "a-secret-of-mine", free=True)
    endpoint = served.stderr_line("  export PHI_ENDPOINT=").partition("=")[2]
    assert served.stderr_line("  export PHI_API_KEY=") == "export PHI_API_KEY=<the key you chose>"
    headers = {"Authorization": "Bearer a-secret-of-mine"}
    answer = httpx.post(
        endpoint + "/chat/completions",
        content=json.dumps(ASK),
        headers=headers | {"Content-Type": "application/json"},
        trust_env=False,
    )
    assert answer.status_code == 200
