"""`scripted:FILE` in the place of a model, over HTTP: what a caller meets, and what is said to who starts it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.command_line.banner import make_banner
from phi_emulator.config import ConfigError
from phi_emulator.doctor.doctor import Doctor
from phi_emulator.doctor.trial import TrialError
from phi_emulator.emulator import EmulatorError
from phi_emulator.engine.machine.builds import has_engine_api

from phi_client import PhiClient
from phi_client.errors import BadRequestError

if not has_engine_api():
    pytest.skip("the installed ONNX Runtime GenAI is older than its Engine", allow_module_level=True)

SCRIPT = r"""
[[rule]]
exact = "What is 17 * 24?"
answer = '<think>As taught.</think>The answer is \boxed{408}.'

[[rule]]
contains = "turn"
answers = ["first", "second"]

[[rule]]
contains = "call"
answer = '<|tool_call|>[{"name": "add", "arguments": {"a": 1}}]<|/tool_call|>'
"""
SURFACES = {
    "/serverless/chat/completions": {},
    "/managed-compute/chat/completions": {},
    "/models/chat/completions?api-version=2024-05-01-preview": {"model": "x"},
    "/openai/v1/chat/completions": {"model": "x"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "answers.toml"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture
def started(file: Path) -> Iterator[Callable[..., Emulator]]:
    running: list[Emulator] = []

    def start(**config: Any) -> Emulator:
        running.append(Emulator(EmulatorConfig(port=0, model=f"scripted:{file}", **config)).start())
        return running[-1]

    yield start
    for emulator in running:
        emulator.stop()


def post(emulator: Emulator, text: str, path: str = "/chat/completions", **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {emulator.key}", "api-key": emulator.key}
    body = {"messages": [{"role": "user", "content": text}], **more}
    return httpx.post(emulator.root + path, json=body, headers=headers, trust_env=False, timeout=60)


def content(answer: httpx.Response) -> str:
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])


def test_the_client_gets_what_the_script_says_whole_streamed_and_with_real_counts(
    started: Callable[..., Emulator],
) -> None:
    emulator = started()
    with PhiClient(emulator.endpoint, emulator.key) as client:
        whole = client.complete("What is 17 * 24?")
        assert (whole.reasoning, whole.answer) == ("As taught.", "408")
        assert whole.usage is not None
        assert whole.usage.prompt_tokens == 29  # as the bundled model counts
        assert 15 < (whole.usage.completion_tokens or 0) < 40
        with client.stream("What is 17 * 24?") as stream:
            pieces = list(stream.text_deltas())
        assert "".join(pieces) == "The answer is \\boxed{408}."
        assert len(pieces) > 5
        assert client.complete("What is 17 * 24?", stop=["boxed"]).content == "The answer is \\"
        with pytest.raises(BadRequestError, match="No answer is scripted for this request: of 3 rules"):
            client.complete("a secret question")


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_scripted_is_a_400_on_every_surface_and_is_not_repeated(
    started: Callable[..., Emulator], caplog: pytest.LogCaptureFixture, path: str, *, stream: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = post(started(), "a secret question", path, stream=stream, **SURFACES[path])
    # The front door of managed compute hands a model's 400 on as a 424.
    assert answer.headers.get("ms-azureml-model-error-statuscode", str(answer.status_code)) == "400"
    assert "No answer is scripted for this request" in answer.text
    assert "secret" not in answer.text
    assert "secret" not in caplog.text


def test_a_request_that_is_refused_takes_no_answer_from_those_in_turn(
    started: Callable[..., Emulator],
) -> None:
    emulator = started(content_filter="default")
    assert post(emulator, "your turn " * 5000).status_code == 400
    assert post(emulator, "your turn, phi-filter-violence", max_tokens=5).status_code == 400
    assert [content(post(emulator, "your turn", max_tokens=5)) for _ in range(2)] == ["first", "second"]
    refused = post(emulator, "your turn", max_tokens=5)
    assert refused.status_code == 400
    assert "has no answer left" in refused.text


def test_calls_of_tools_are_found_in_it(started: Callable[..., Emulator]) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    answer = post(started(extensions=True), "call it", tools=[tool]).raise_for_status().json()
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("add", {"a": 1})


def test_banner_status_and_info_say_that_no_model_answers(
    started: Callable[..., Emulator], file: Path
) -> None:
    emulator = started(context=100_000)
    banner = make_banner(emulator)
    assert "scripted: a script answers, no model" in banner
    assert str(file) in banner
    status = httpx.get(f"{emulator.root}/_emulator/status", trust_env=False).json()
    assert (status["model"], status["source"], status["execution_provider"]) == (
        "scripted",
        str(file),
        "none",
    )
    assert status["context_length"] == 100_000
    assert post(emulator, "What is 17 * 24?").json()["model"] == "scripted"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[[rule]]\nanser = 'a'",
            "other.toml:2: rule[0].anser: there is nothing of that name: did you mean `answer`",
        ),
        (None, "No such file"),
    ],
)
def test_a_script_that_can_not_be_used_is_said_before_anything_listens(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "other.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(EmulatorError, match=re.escape(said)) as caught:
        Emulator(EmulatorConfig(port=0, model=f"scripted:{path}")).start()
    assert str(path) in str(caught.value)


def test_a_script_without_a_file_is_no_setting() -> None:
    with pytest.raises(
        ConfigError, match=r"the script's file is missing: name it as in scripted:answers\.toml"
    ):
        EmulatorConfig(model="scripted:")
    assert EmulatorConfig(model="scripted:~/a.toml").script_source == "~/a.toml"
    assert EmulatorConfig(model=r"scripted:C:\a.toml").script_source == r"C:\a.toml"
    assert EmulatorConfig(model="scripted").script_source is None
    assert EmulatorConfig(model="phi:scripted:x").script_source is None


def test_a_file_of_settings_has_rules_faults_and_latency_of_its_own(tmp_path: Path) -> None:
    """Without a model, without another file, and what nearly matched is said with its line."""
    path = tmp_path / "phi-emulator.toml"
    path.write_text(
        """\
port = 0
model = "scripted:nothing"
latency = { first = "30ms" }

[[faults]]
effect = "retry_after"
seconds = 0.01
times = 1
when.surface = "openai_v1"

[[script.rule]]
contains = "17 * 24"
answer = "408"
""",
        encoding="utf-8",
    )
    retried: list[object] = []
    with Emulator(EmulatorConfig.from_file(path)) as emulator:
        client = PhiClient(
            emulator.endpoint_of("openai_v1"), emulator.key, on_retry=retried.append, model="m"
        )
        with client:
            assert client.complete("What is 17 * 24?").content == "408"
            with pytest.raises(BadRequestError, match=r"rule 1 \(phi-emulator\.toml:11\)"):
                client.complete("What is 17 * 25?")
        assert len(retried) == 1
        assert emulator.latency.count().answers == 1
        # Reset is back to the file's own rules.
        emulator.script.set([{"answer": "other"}])
        emulator.reset()
        assert [one.rule["place"] for one in emulator.script.counts()] == ["phi-emulator.toml:11"]


def test_a_script_of_the_settings_that_needs_a_model_is_said_before_anything_listens() -> None:
    config = EmulatorConfig(port=0, model="scripted:nothing", script={"rule": [{"model": True}]})
    with pytest.raises(EmulatorError, match="the script can't be used: rule 1 needs a model"):
        Emulator(config).start()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PHI_")}
    return subprocess.run(
        [sys.executable, "-m", "phi_emulator", *words],
        capture_output=True, text=True, check=False, timeout=120, env=environ,
    )  # fmt: skip


def test_exec_gives_a_command_the_script(file: Path) -> None:
    ask = "from phi_client import PhiClient; print(PhiClient().complete('What is 17 * 24?').answer)"
    done = run("exec", "--model", f"scripted:{file}", "--", sys.executable, "-c", ask)
    assert (done.returncode, done.stdout) == (0, "408\n")
    assert "scripted: a script answers, no model" in done.stderr


@pytest.mark.parametrize("words", [["serve", "--port", "0"], ["exec"]], ids=["serve", "exec"])
def test_a_script_that_is_not_there_ends_the_command_with_one_line(tmp_path: Path, words: list[str]) -> None:
    child = ["--", sys.executable, "-c", ""] if words == ["exec"] else []
    done = run(*words, "--model", f"scripted:{tmp_path / 'none.toml'}", *child)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: the script can't be used: .*none\.toml: No such file.*\n", done.stderr)


def test_a_script_is_not_measured(file: Path) -> None:
    done = run("bench", "--model", f"scripted:{file}")
    assert done.returncode == 2
    assert "a script has no speed" in done.stderr


def test_the_doctor_says_that_a_script_answers(file: Path, tmp_path: Path) -> None:
    config = EmulatorConfig(model=f"scripted:{file}")

    def no_trial(*_: object, **__: object) -> Any:
        raise TrialError("not tried")

    found = list(Doctor(config, {}, pulled_to=tmp_path, trial=no_trial, speed=lambda: 1e9).findings())
    assert any("a script answers, no model" in finding.text for finding in found)
    assert not [finding for finding in found if finding.subject == "model" and finding.status == "failure"]
