"""The command line: its options are the settings, and what is missing is said in one line."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from asyncio import selector_events
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Self

import click
import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator import Emulator, EmulatorConfig, EmulatorError
from phi_emulator.command_line import commands
from phi_emulator.command_line.banner import make_banner
from phi_emulator.command_line.child import client_environment
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.config import SETTINGS
from phi_emulator.settings.setting import environment_name

import phi_client
from phi_client.contract.dialects import DIALECTS

CLIENT = Path(phi_client.__file__).parent
FIELDS = {field.name for field in fields(EmulatorConfig) if field.init}
WITHOUT_THE_EXTRA = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def without(name, path=None, target=None):
    missing = {"click", "starlette", "uvicorn", "onnxruntime_genai"}
    return None if name.partition(".")[0] in missing else find(name, path)
PathFinder.find_spec = staticmethod(without)
import phi_emulator
from phi_emulator.cli import main
main()
"""


def _options(name: str) -> set[str]:
    command = phi_emulator.commands[name]
    return {option.name or "" for option in command.params if isinstance(option, click.Option)}


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("serve", {"yes"}),
        ("exec", set[str]()),
        ("record", {"allow_http", "append"}),
        ("replay", set[str]()),
    ],
)
def test_the_options_of_a_command_are_its_settings(command: str, own: set[str]) -> None:
    wanted = {one.name for one in SETTINGS.values() if command in one.commands}
    assert _options(command) == wanted | own | {"config_file"}


def test_every_setting_is_an_option_somewhere() -> None:
    of_recordings = {name for name in FIELDS if name.startswith(("record_", "replay_"))}
    assert FIELDS - _options("serve") == of_recordings
    assert FIELDS - _options("exec") == of_recordings | {"host", "drain_seconds"}
    assert of_recordings <= _options("record") | _options("replay")


@pytest.mark.parametrize("command", ["serve", "record", "replay"])
def test_help_names_the_variable_of_every_setting(command: str) -> None:
    text = CliRunner().invoke(phi_emulator, [command, "--help"], terminal_width=200).output
    wanted = [one for one in SETTINGS.values() if command in one.commands]
    assert [one.name for one in wanted if environment_name(one.name) not in text] == []
    assert [one.name for one in wanted if one.option not in text] == []


def test_the_version_is_shown() -> None:
    result = CliRunner().invoke(phi_emulator, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("phi-emulator ")


@pytest.mark.parametrize(
    "arguments", [["serve", "--host", "0.0.0.0"], ["serve", "--port", "70000"], ["exec"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(phi_emulator, arguments, env={"PHI_EMULATOR_KEY": None}).exit_code == 2


def test_the_key_of_a_surface_that_is_not_there_is_not_repeated() -> None:
    result = CliRunner().invoke(phi_emulator, ["serve", "--surface-key", "azure=hush-hush"])
    assert result.exit_code == 2
    assert "surfaces are serverless, managed_compute" in " ".join(result.output.split())
    assert "hush-hush" not in result.output


@pytest.fixture(name="started")
def _started(monkeypatch: pytest.MonkeyPatch) -> list[EmulatorConfig]:
    """The settings of the emulators that commands would start."""
    given: list[EmulatorConfig] = []

    class Refused(Emulator):
        """Takes the settings and does not start, because they are all that the test is about."""

        def start(self) -> Self:
            given.append(self.config)
            raise EmulatorError("not started")

    monkeypatch.setattr(commands, "Emulator", Refused)
    return given


def test_extensions_are_asked_for_with_a_word_or_without(
    started: list[EmulatorConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in ([], ["--extensions"], ["--extensions", "--port", "0"], ["--extensions", "no"]):
        CliRunner().invoke(phi_emulator, ["serve", *words])
    monkeypatch.setenv("PHI_EMULATOR_EXTENSIONS", "yes")
    CliRunner().invoke(phi_emulator, ["serve"])
    assert [config.extensions for config in started] == [False, True, True, False, True]


def test_the_keys_of_surfaces_may_be_repeated(
    started: list[EmulatorConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHI_EMULATOR_SURFACE_KEYS", "openai_v1=from-the-environment")
    words = ["serverless=a", "serverless=b", "openai_v1=c"]
    CliRunner().invoke(phi_emulator, ["serve", *(part for word in words for part in ("--surface-key", word))])
    CliRunner().invoke(phi_emulator, ["serve"])
    assert [config.surface_keys for config in started] == [
        {"serverless": ("a", "b"), "openai_v1": ("c",)},
        {"openai_v1": ("from-the-environment",)},
    ]


def test_an_unknown_model_exits_with_1_and_one_line() -> None:
    handler = signal.getsignal(signal.SIGINT)
    result = CliRunner().invoke(phi_emulator, ["serve", "--port", "0", "--model", "no-such-model"])
    assert signal.getsignal(signal.SIGINT) is handler
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert "no-such-model" in result.output


def test_the_banner_says_what_runs_the_model_and_why() -> None:
    with Emulator() as emulator:
        banner = commands._banner(emulator)
    assert "runs on   CPUExecutionProvider (chosen by auto: the model was made for it)" in banner
    assert "continuous batching" in banner
    assert "context   4096 tokens" in banner
    assert "extended" not in banner


def test_the_banner_tells_of_extensions() -> None:
    with Emulator(EmulatorConfig(port=0, extensions=True)) as emulator:
        banner = commands._banner(emulator)
    assert "extended  response_format and tools are taken; the hosted model has neither" in banner


def test_a_device_that_cannot_be_had_exits_with_1_and_one_line() -> None:
    result = CliRunner().invoke(phi_emulator, ["serve", "--port", "0", "--device", "cuda"])
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert 'pip install "phi-client[emulator-cuda]"' in result.output


def test_without_the_extra_the_line_to_run_is_shown() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA, "serve"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert 'pip install "phi-client[emulator]"' in result.stderr
    assert "click, onnxruntime_genai, starlette, uvicorn" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("environ", "no_proxy"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "localhost,a.b", "no_proxy": "localhost,a.b"}, "localhost,a.b,127.0.0.1"),
    ],
)
def test_a_childs_environment_leads_to_the_emulator(environ: Mapping[str, str], no_proxy: str) -> None:
    kept = {
        "PATH": "/bin",
        "PHI_LOG": "debug",
        "PHI_EMULATOR_HOME": "/x",
        "PHI_LIVE_ENDPOINT": "https://live",
    }
    given = kept | {"PHI_DIALECT": "managed_compute", "PHI_ENDPOINT": "https://elsewhere"} | dict(environ)
    assert client_environment(given, endpoint="http://127.0.0.1:1", key="k") == kept | {
        "PHI_ENDPOINT": "http://127.0.0.1:1",
        "PHI_API_KEY": "k",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


@given(st.from_regex(r"(?i:phi)_[A-Za-z_]{1,20}", fullmatch=True))
def test_whatever_the_client_may_read_of_an_endpoint_is_taken_out(name: str) -> None:
    left = client_environment({name: "azures"}, endpoint="http://127.0.0.1:1", key="k", model="m")
    is_others = name.upper() == "PHI_LOG" or name.upper().startswith(("PHI_EMULATOR_", "PHI_LIVE_"))
    assert (left.get(name) == "azures") is is_others
    assert (left["PHI_ENDPOINT"], left["PHI_API_KEY"], left["PHI_MODEL"]) == ("http://127.0.0.1:1", "k", "m")


def test_no_setting_of_the_client_is_missed() -> None:
    """What the client reads is found in its source, so that a new setting is noticed here."""
    sources = "".join(path.read_text(encoding="utf-8") for path in CLIENT.rglob("*.py"))
    words = set(re.findall(r"\b(PHI_[A-Z_]+)\b", sources))
    assert {"PHI_ENDPOINT", "PHI_DIALECT", "PHI_MODEL", "PHI_API_VERSION", "PHI_DEPLOYMENT"} <= words
    set_before = dict.fromkeys(words, "azures")
    left = client_environment(set_before, endpoint="http://127.0.0.1:1", key="k")
    assert {name for name, value in left.items() if value == "azures"} <= {"PHI_LOG", "PHI_ALLOW_REAL"}


def curl(line: str) -> httpx.Response:
    """Send what a line with curl says, read as a shell reads it."""
    program, *words = shlex.split(line)
    assert program == "curl"
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    (url,) = [word for word in words if word.startswith("http")]
    return httpx.post(url, headers=headers, content=words[words.index("-d") + 1], trust_env=False, timeout=60)


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_the_line_with_curl_is_answered(dialect: str) -> None:
    with Emulator(EmulatorConfig(port=0, dialect=dialect)) as emulator:
        banner = make_banner(emulator, 60, "linux")
        assert f"See what is asked and answered: {emulator.root}/_emulator/" in " ".join(banner.split())
        (line,) = [line.strip() for line in banner.splitlines() if line.startswith("  curl")]
        answer = curl(line)
        powershell = make_banner(emulator, 60, "win32")
    assert answer.status_code == 200, answer.text
    assert "408" in answer.json()["choices"][0]["message"]["content"]
    assert '  $env:PHI_ENDPOINT = "http://127.0.0.1:' in powershell
    assert "Invoke-RestMethod" in powershell


def test_the_banner_says_what_is_limited_and_wraps_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.json").write_text('{"faults": []}')
    config = EmulatorConfig(
        port=0, host="0.0.0.0", key="my-own-secret", context=100_000, requests_per_minute=1200,
        content_filter="default", deterministic=True, loose=True, faults="f.json",
    )  # fmt: skip
    with Emulator(config) as emulator:
        banner = make_banner(emulator, 60, "linux")
        port = emulator.root.rpartition(":")[2]
    lines = banner.splitlines()
    assert lines[0] == f"phi-emulator listens on http://0.0.0.0:{port}"
    assert "context   4096 tokens, lowered from the 100000 that" in banner
    assert "limits    1,200 requests a minute" in banner
    assert "filter    default" in banner
    assert "  faults    rules of f.json" in banner
    assert "my-own-secret" not in banner
    assert '"Authorization: Bearer $PHI_API_KEY"' in banner
    copied = ("  curl", "  export", "phi-emulator", "  from")
    assert [line for line in lines if len(line) > 60 and not line.startswith(copied)] == []
    assert not re.search(r"\de[+-]", banner)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EADDRINUSE, "is in use: stop the program that listens there, or .*`--port`"),
        (errno.EACCES, "keeps this port for itself or for administrators: choose another one above 1023"),
        (errno.EADDRNOTAVAIL, "no network card of this machine has that address"),
        (errno.EMFILE, "choose another port"),
    ],
)
def test_a_refused_port_says_what_to_do(monkeypatch: pytest.MonkeyPatch, number: int, remedy: str) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(EmulatorError, match=remedy):
        Emulator().start()


def test_a_caller_who_hangs_up_while_chunks_are_on_their_way_is_no_news() -> None:
    said = "socket.send() raised exception."
    assert said in inspect.getsource(selector_events)  # what asyncio warns of, word for word

    def record(message: str) -> logging.LogRecord:
        return logging.LogRecord("asyncio", logging.WARNING, __file__, 1, message, None, None)

    CliRunner().invoke(phi_emulator, ["serve", "--model", "no-such-model"])
    shown = logging.getLogger("asyncio").filter
    assert not shown(record(said))
    assert shown(record("another"))
