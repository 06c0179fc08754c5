"""`phi-emulator exec`: the child finds the emulator, and its exit status is the command's."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.together.conftest import Command

    Start = Callable[..., Command]

ASK = """
import httpx, os
answer = httpx.post(
    os.environ["PHI_ENDPOINT"] + "/chat/completions",
    json={"messages": [{"role": "user", "content": "six times seven"}]},
    headers={"Authorization": "Bearer " + os.environ["PHI_API_KEY"]},
)
print(answer.json()["choices"][0]["message"]["content"], os.environ.get("PHI_DIALECT"))
"""
CLIENT = "from phi_client import PhiClient; print(PhiClient().complete('six times seven').content)"
WAIT = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(33))
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("dialect", ["serverless", "managed_compute"])
def test_the_child_reaches_the_emulator(command: Start, dialect: str) -> None:
    made = command(
        "exec", "--dialect", dialect, "--", sys.executable, "-c", ASK, free=True,
        PHI_ENDPOINT="https://elsewhere.invalid", PHI_DIALECT="serverless", HTTP_PROXY="http://127.0.0.1:9",
    )  # fmt: skip
    status, out, err = made.end()
    assert (status, out) == (0, "<think>6 7</think>42 None\n")
    assert len(err.splitlines()) == 1


def test_the_port_of_serve_is_not_taken(command: Start) -> None:
    script = "import os; print(os.environ['PHI_ENDPOINT'])"
    made = command("exec", "--", sys.executable, "-c", script, free=True, PHI_EMULATOR_PORT="1")
    assert made.end()[1].strip() != "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
    ],
    ids=["its own", "killed"],
)
def test_the_status_is_the_childs(command: Start, script: str, expected: int) -> None:
    assert command("exec", "--", sys.executable, "-c", script, free=True).end()[0] == expected


def test_a_file_that_is_no_program_is_126(command: Start, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch(mode=0o644)
    path = str(tmp_path / "notes.txt")
    status, _, err = command("exec", "--", path).end()
    assert (status, err) == (126, f"phi-emulator: can't run {path!r}\n")


def test_a_command_that_is_not_there_is_127(command: Start) -> None:
    status, _, err = command("exec", "--", "no-such-command", free=True).end()
    assert (status, err) == (127, "phi-emulator: command not found: 'no-such-command'\n")


def test_arguments_that_look_like_options_are_the_childs(command: Start) -> None:
    made = command(
        "exec", "--", sys.executable, "-c", "import sys; print(sys.argv)", "--port", "-h", free=True
    )
    assert made.end()[1] == "['-c', '--port', '-h']\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_forwarded_and_the_child_decides(command: Start, number: signal.Signals) -> None:
    script = WAIT.replace("SIGTERM", number.name)
    made = command("exec", "--", sys.executable, "-c", script, free=True)
    assert made.process.stdout is not None
    assert made.process.stdout.readline() == "ready\n"
    made.process.send_signal(number)
    status, _, err = made.end()
    assert status == 33
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PHI_API_VERSION", "2025-04-01-preview"),
        ("PHI_MODEL", "my-deployment another"),
        ("PHI_DEPLOYMENT", "blue"),
        ("PHI_DIALECT", "openai_v1"),
        ("PHI_WHAT_IS_YET_TO_COME", "x"),
    ],
)
def test_nothing_that_was_set_for_another_endpoint_reaches_the_child(
    command: Start, variable: str, value: str
) -> None:
    environ = {
        "PHI_ENDPOINT": "https://name.openai.azure.com/openai/v1",
        "PHI_API_KEY": "x" * 20,
        variable: value,
    }
    script = f"{CLIENT}; import os; print(os.environ.get({variable!r}))"
    status, out, err = command("exec", "--", sys.executable, "-c", script, free=True, **environ).end()
    assert (status, out) == (0, "42\nNone\n"), err


@pytest.mark.parametrize("dialect", ["serverless", "managed_compute", "openai_v1", "foundry_models"])
def test_the_client_needs_nothing_more_whatever_the_surface(command: Start, dialect: str) -> None:
    made = command("exec", "--dialect", dialect, "--", sys.executable, "-c", CLIENT, free=True)
    status, out, err = made.end()
    assert (status, out) == (0, "42\n"), err


def test_a_hang_up_that_nohup_ignores_reaches_neither_it_nor_the_child(command: Start) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        made = command("exec", "--", sys.executable, "-c", WAIT, free=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert made.process.stdout is not None
    assert made.process.stdout.readline() == "ready\n"
    made.process.send_signal(signal.SIGHUP)
    made.process.send_signal(signal.SIGTERM)
    assert made.end()[0] == 33
