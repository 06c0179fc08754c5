"""One question from the command line: what goes to a pipe, what to stderr, and the exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.command_line.commands import phi_emulator

from tests.emulator.chat.conftest import FORMULA

if TYPE_CHECKING:
    from pathlib import Path

needs_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows sends Ctrl-C to whole consoles alone"
)


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PHI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PHI_EMULATOR_PORT", "0")


def ask(*arguments: str, piped: str | bytes | None = None) -> Result:
    return CliRunner().invoke(phi_emulator, ["chat", *arguments], input=piped)


@pytest.mark.parametrize(
    ("question", "status", "out", "told"),
    [
        ("formula", 0, FORMULA + "\n", ""),
        ("cut", 3, "half an\n", "the limit of tokens ended it within the answer"),
        ("cut in thoughts", 3, "", "the limit of tokens ended it before there was an answer"),
        ("filtered", 4, "half an\n", "the content filter cut the answer off"),
        ("no", 4, "", "ask it in other words"),
        ("empty", 0, "", "the model said nothing"),
        ("thoughts alone", 0, "", "the model thought, and said nothing"),
    ],
)
def test_the_answer_alone_goes_to_a_pipe(
    emulator: Emulator, question: str, status: int, out: str, told: str
) -> None:
    for result in (
        ask("--url", emulator.root, question),
        ask("--url", emulator.root, "-", piped=f"{question}\n"),
    ):
        assert (result.exit_code, result.stdout) == (status, out)
        assert told in result.stderr
        assert result.stderr.count("\n") == bool(told)


def test_a_stream_that_breaks_off_leaves_what_came(emulator: Emulator) -> None:
    result = ask("--url", emulator.root, "broken")
    assert result.exit_code == 1
    assert result.stdout.startswith("half ")
    assert "what came is kept" in result.stderr
    assert "/retry" not in result.stderr


def test_what_is_piped_in_stands_where_the_hyphen_is(emulator: Emulator) -> None:
    emulator.script.answer("Say it:\n\nformula", "said")
    assert ask("--url", emulator.root, "Say it:", "-", piped="formula\n").stdout == "said\n"
    assert ask("--url", emulator.root, piped="cut").stdout == "half an\n"


def test_no_control_reaches_a_pipe(emulator: Emulator) -> None:
    out = ask("--url", emulator.root, "hostile").stdout
    assert not {"\x1b", "\x9b", "\b", "\x07", "\u202e"} & set(out)
    assert "<script>" in out


def test_json_is_one_object_with_all_of_it(emulator: Emulator) -> None:
    result = ask("--url", emulator.root, "--json", "--temperature", "0", "What is 6 * 7?")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 0
    assert result.stdout.isascii()
    assert result.stdout.count("\n") == 1
    assert (found["boxed"], found["finish_reason"], found["error"]) == ("42", "stop", None)
    assert found["answer"] == r"The answer is \boxed{42}."
    assert found["reasoning"]
    assert found["usage"]["completion_tokens"] > 0
    assert found["times"]["total_s"] >= found["times"]["first_token_s"] > 0
    assert found["endpoint"] == emulator.root


@pytest.mark.parametrize(("question", "status"), [("broken", 1), ("no", 4), ("cut", 3)])
def test_json_tells_what_went_wrong_too(emulator: Emulator, question: str, status: int) -> None:
    result = ask("--url", emulator.root, "--json", question)
    assert result.exit_code == status
    assert json.loads(result.stdout)["error"]


@pytest.mark.parametrize(
    ("arguments", "piped", "told"),
    [
        ([], "", "the question is empty"),
        (["-"], " \n", "the question is empty"),
        (["-"], b"\xff", "no UTF-8 text (byte 0)"),
        (["--temperature", "9", "x"], None, "9.0 is not in the range"),
        (["--url", "nonsense", "x"], None, "the endpoint has no scheme"),
        (["--url", "http://[", "x"], None, "give a URL such as"),
        (["--url", "http://127.0.0.1:99999", "x"], None, "give a URL such as"),
        (["--url", "http://elsewhere.invalid", "x"], None, "unencrypted"),
        (["--url", "emulator", "--model", "m", "x"], None, "model is of an emulator of its own"),
    ],
)
def test_wrong_usage_is_said_in_a_line(arguments: list[str], piped: str | bytes | None, told: str) -> None:
    result = ask(*arguments, piped=piped)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_nothing_that_listens_is_said_with_what_to_do() -> None:
    result = ask("--url", "http://127.0.0.1:9", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing listens at 127.0.0.1:9: start `phi-emulator serve`, or leave `--url` out" in result.stderr


def test_it_asks_the_endpoint_of_the_environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHI_ENDPOINT", emulator.endpoint)
    monkeypatch.setenv("PHI_API_KEY", "a-wrong-key")
    refused = ask("formula")
    assert refused.exit_code == 1
    assert "set PHI_API_KEY to the key of this endpoint" in refused.stderr
    monkeypatch.setenv("PHI_API_KEY", emulator.key)
    assert ask("formula").stdout == FORMULA + "\n"
    assert os.environ["PHI_ENDPOINT"] == emulator.endpoint


def test_it_finds_the_emulator_that_runs(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHI_EMULATOR_PORT", emulator.root.rpartition(":")[2])
    # What was set for another endpoint is not this one's.
    monkeypatch.setenv("PHI_API_KEY", "of-another-endpoint")
    monkeypatch.setenv("PHI_DIALECT", "managed_compute")
    assert ask("formula").stdout == FORMULA + "\n"


def test_a_setting_is_of_an_emulator_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "answers.toml").write_text('[[rule]]\nanswer = "mine"\n')
    monkeypatch.setenv("PHI_ENDPOINT", "https://elsewhere.invalid")
    for dialect in ("serverless", "openai_v1"):
        result = ask("--model", f"scripted:{tmp_path / 'answers.toml'}", "--dialect", dialect, "x")
        assert (result.exit_code, result.stdout) == (0, "mine\n"), result.stderr


@pytest.mark.parametrize("dialect", ["openai_v1", "managed_compute", "foundry_models"])
def test_every_surface_of_an_emulator_is_asked(emulator: Emulator, dialect: str) -> None:
    assert ask("--url", emulator.endpoint_of(dialect), "formula").stdout == FORMULA + "\n"


def test_a_key_of_its_own_opens_it() -> None:
    with Emulator(EmulatorConfig(port=0, key="a-key-of-my-own", model="scripted:traces")) as locked:
        assert ask("--url", locked.root, "two-boxes").exit_code == 1
        assert ask("--url", locked.root, "--key", "a-key-of-my-own", "two-boxes").exit_code == 0


def start(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "phi_emulator", "chat", *arguments],
        env=environ, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@needs_signals
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_ctrl_c_leaves_what_came_and_ends_the_models_work(
    emulator: Emulator, environ: dict[str, str], form: tuple[str, ...]
) -> None:
    before = emulator.journal.last
    made = start(environ, "--url", emulator.root, *form, "stalls")
    tick = threading.Event()
    while not any(
        one.number is None and len(one.timeline) > 4 for one in emulator.journal.exchanges(after=before)
    ):
        assert made.poll() is None
        tick.wait(0.02)
    made.send_signal(signal.SIGINT)
    out, err = made.communicate(timeout=30)
    assert made.returncode == 130
    assert "Traceback" not in err
    assert (json.loads(out)["answer"] if form else out).startswith("hal")
    (ended,) = emulator.journal.wait_for(after=before)
    assert ended.ending == "hung up"


@needs_signals
def test_a_reader_that_has_gone_ends_it_quietly(emulator: Emulator, environ: dict[str, str]) -> None:
    made = start(environ, "--url", emulator.root, "many")
    assert made.stdout is not None
    assert made.stdout.readline() == "a line of words\n"
    made.stdout.close()
    assert made.wait(30) == 141
    assert made.stderr is not None
    assert made.stderr.read() == ""
    made.stderr.close()
