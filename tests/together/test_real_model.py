"""From nothing to an answer: the command pulls the real model's files from a hub and serves them.

The hub is on loopback, and holds the bundled model's weights under the real repository's names. Each command is a
process of its own, which is also how it gets killed.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from phi_emulator.models.store.store import Store

from tests.hub_server import CPU_FOLDER, HubServer

NAME = "phi-4-mini-reasoning"
DATA = "model.onnx.data"
DEADLINE_S = 40.0
QUESTION = {"messages": [{"role": "user", "content": "What is 17 * 24?"}], "temperature": 0}
WHAT_SERVE_LOADS = """
import sys
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.config import EmulatorConfig
from phi_emulator.emulator import Emulator
from phi_emulator.command_line.model_commands import obtain_model
with Emulator(obtain_model(EmulatorConfig(port=0), yes=False)):
    print(*sys.modules)
"""


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(server: HubServer, home: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts `phi-emulator` with the test's hub and store; what still runs at the end is killed."""
    with ExitStack() as cleanup:

        def run(*arguments: str, **environ: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", "phi_emulator", *arguments],
                env=environment(server, home, tmp_path) | environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            cleanup.callback(end, process)
            return process

        yield run


def environment(server: HubServer, home: Path, scratch: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PHI_", "HF_")) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "PHI_EMULATOR_HOME": str(home),
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(scratch / "hf"),
        "HF_TOKEN": "hf_secret-token",
    }


def end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def outcome(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and all that was said, in which no secret may be."""
    out, err = process.communicate(timeout=DEADLINE_S)
    assert "secret" not in out + err
    assert "Traceback" not in err
    return process.returncode, out + err


def banner(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The address and the model that a serving process names."""
    assert process.stderr is not None
    address = ""
    for line in process.stderr:
        if line.startswith("phi-emulator listens on "):
            address = line.split()[-1]
        if line.startswith("  model "):
            return address, line.split(maxsplit=1)[1].strip()
    raise AssertionError("it ended without a banner")


def test_serve_pulls_the_model_and_answers_with_it(start: Start, server: HubServer) -> None:
    serving = start("serve", "--model", NAME, "--yes", "--port", "0")
    address, model = banner(serving)
    assert model.startswith(f"{NAME}: Microsoft's Phi-4-mini-reasoning, cpu-int4, from `microsoft/")
    headers = {"Authorization": "Bearer phi-emulator-well-known-key-0000"}
    with httpx.Client(base_url=address, headers=headers, timeout=DEADLINE_S, trust_env=False) as http:
        body = http.post("/chat/completions", json=QUESTION).json()
        assert body["model"] == NAME
        assert "\\boxed{408}" in body["choices"][0]["message"]["content"]
        assert http.get("/info").json()["model_name"] == NAME
    serving.send_signal(signal.SIGTERM)
    assert outcome(serving)[0] == 0
    assert server.sent(DATA) == len(server.files[f"{CPU_FOLDER}/{DATA}"])


def test_serve_takes_what_was_pulled_and_needs_no_network_for_it(start: Start) -> None:
    assert outcome(start("models", "pull", NAME, "--yes"))[0] == 0
    serving = start("serve", "--port", "0", HF_ENDPOINT="http://127.0.0.1:1", HF_HUB_OFFLINE="1")
    assert banner(serving)[1].startswith(f"{NAME}: ")


def test_serve_without_a_terminal_downloads_nothing_unasked(start: Start, server: HubServer) -> None:
    status, text = outcome(start("serve", "--model", NAME, "--port", "0"))
    assert (status, server.requests) == (1, [])
    assert (
        f"nobody can be asked: `{NAME}` is not on this machine: get it with `phi-emulator models pull" in text
    )


def test_a_pull_that_was_killed_leaves_nothing_to_use_and_goes_on(
    start: Start, server: HubServer, home: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    size = len(server.files[f"{CPU_FOLDER}/{DATA}"])
    server.fail(DATA, hold_after=1_500_000)
    pulling = start("models", "pull", NAME, "--yes")
    assert server.held.wait(DEADLINE_S)
    eventually(lambda: sum(path.stat().st_size for path in home.rglob("*.part")) >= 1_400_000)
    pulling.kill()
    assert pulling.wait(DEADLINE_S) == -signal.SIGKILL
    server.released.set()

    assert f"{NAME}:cpu-int4  begun" in outcome(start("models", "list"))[1]
    assert Store(home).models() == []
    assert "is not on this machine" in outcome(start("serve", "--model", NAME))[1]

    came = sum(path.stat().st_size for path in home.rglob("*.part"))
    before = server.sent(DATA)
    assert outcome(start("models", "pull", NAME, "--yes"))[0] == 0
    assert server.ranges(DATA)[-1] == f"bytes={came}-"
    assert server.sent(DATA) - before == size - came
    assert "is whole" in outcome(start("models", "verify", NAME))[1]


def test_ctrl_c_says_how_to_go_on_and_exits_with_130(start: Start, server: HubServer, home: Path) -> None:
    server.fail(DATA, hold_after=1_000_000)
    pulling = start("models", "pull", NAME, "--yes")
    assert server.held.wait(DEADLINE_S)
    pulling.send_signal(signal.SIGINT)
    status, text = outcome(pulling)
    server.released.set()
    assert status == 130
    assert f"stopped: `phi-emulator models pull {NAME}:cpu-int4` goes on from what is here" in text
    assert outcome(start("models", "pull", NAME, "--yes"))[0] == 0
    assert len(Store(home).models()) == 1


def test_what_is_to_come_is_said_in_plain_lines(start: Start, server: HubServer) -> None:
    status, text = outcome(start("models", "pull", NAME, "--yes"))
    assert status == 0
    assert (
        f"{NAME}:cpu-int4 from microsoft/Phi-4-mini-reasoning-onnx at {server.commit[:12]}: 12 files, 2.7 MB, MIT"
        in text
    )
    assert "to fetch: 2.7 MB, about less than a minute at 100 Mbit/s; free in" in text
    assert "downloading 12 files (2.7 MB)\n" in text
    assert "\x1b" not in text


def test_another_variant_says_what_it_needs(start: Start) -> None:
    status, text = outcome(start("models", "pull", f"{NAME}:gpu-int4", "--yes"))
    assert status == 0
    assert "it needs an ONNX Runtime GenAI with CUDAExecutionProvider" in text


def test_the_hub_is_not_told_what_else_is_on_the_machine(start: Start, server: HubServer) -> None:
    assert outcome(start("models", "pull", NAME, "--yes", AI_AGENT="some-agent"))[0] == 0
    told = {part.partition("/")[0] for request in server.requests for part in request.user_agent.split("; ")}
    assert told == {"phi-emulator", "hf_hub", "python"}


def test_offline_mode_asks_nobody(start: Start, server: HubServer) -> None:
    status, text = outcome(start("models", "pull", NAME, "--yes", HF_HUB_OFFLINE="1"))
    assert (status, server.requests) == (1, [])
    assert "`HF_HUB_OFFLINE` is set" in text


def test_a_proxy_is_used(start: Start, server: HubServer) -> None:
    proxied = {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": server.endpoint, "NO_PROXY": "127.0.0.1"}
    assert outcome(start("models", "pull", NAME, "--yes", **proxied))[0] == 0


def test_without_a_terminal_a_pull_needs_a_yes(start: Start, server: HubServer) -> None:
    status, text = outcome(start("models", "pull", NAME))
    assert status == 1
    assert f"run `phi-emulator models pull {NAME}:cpu-int4 --yes`" in text
    assert server.sent(DATA) == 0


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (["models", "pull", NAME], b"y\n"),
        (["models", "pull", NAME], b"n\n"),
        (["serve", "--model", NAME], b"n\n"),
    ],
    ids=["pull yes", "pull no", "serve no"],
)
def test_on_a_terminal_the_user_is_asked_first(
    server: HubServer, home: Path, tmp_path: Path, command: Sequence[str], reply: bytes
) -> None:
    status = 0 if reply == b"y\n" else 1
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "phi_emulator", *command],
        env=environment(server, home, tmp_path) | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # which is how a terminal says that nobody writes to it any more
        while chunk := os.read(ours, 65_536):
            said += chunk
            if b"[y/N]" in said and reply:
                assert server.sent(DATA) == 0
                for told in (
                    b"free in ",
                    b"that speed is assumed",
                    b"GB of memory, and ",
                    b"an answer of 2,000 tokens",
                ):
                    assert told in said
                os.write(ours, reply)
                reply = b""
    os.close(ours)
    assert process.wait(DEADLINE_S) == status
    assert not reply
    assert (server.sent(DATA) > 0) is (status == 0)
    if status == 0:
        assert b"downloading 12 files: 100%" in said


def test_serving_the_bundled_model_loads_nothing_that_only_a_pull_needs(
    server: HubServer, home: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WHAT_SERVE_LOADS],
        env=environment(server, home, tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {module.partition(".")[0] for module in done.stdout.split()}
    assert "phi_emulator" in loaded
    assert loaded & {"huggingface_hub", "filelock", "tqdm", "psutil"} == set()
    assert server.requests == []
    assert not home.exists()
