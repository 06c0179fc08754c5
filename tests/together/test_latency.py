"""Answers come at the pace of a profile: by option, file, route, header and call, on real sockets, for any client."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.config import ConfigError
from phi_emulator.emulator import EmulatorError
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.latency.language import LatencyError, read_line
from phi_emulator.latency.profile import Profile

from phi_client import PhiClient
from phi_client.contract.dialects import DIALECTS
from phi_client.testing import VirtualClock, with_clock

if TYPE_CHECKING:
    from tests.together.conftest import Running, StartEmulator

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
WORDS = "a b c d e"
HOURS = "first=3600s, gap=600s, jitter=0.5, seed=7"
QUICK = "first=20ms, gap=10ms, jitter=0.5, seed=7"


def due(line: str, tokens: int, *, number: int = 1) -> list[float]:
    """When the tokens are due, in seconds after the request."""
    return list(islice((read_line(line) or Profile()).due_times(0, number), tokens))


def heard(running: Running, **headers: str) -> list[float]:
    """When each text of a stream was there, in seconds after the request was sent."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    begun = time.monotonic()
    with running.http.stream("POST", "/chat/completions", json={**ASK, "stream": True}, headers=named) as got:
        assert got.status_code == 200, got.read()
        return [
            time.monotonic() - begun
            for line in got.iter_lines()
            if '"content":"' in line and '"content":""' not in line
        ]


def profile_of(running: Running, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return running.http.get("/_emulator/latency", headers=named).json()


def test_no_token_of_a_stream_is_there_before_it_is_due(start_emulator: StartEmulator) -> None:
    running = start_emulator(WORDS, latency=QUICK)
    for number in (1, 2):
        times = due(QUICK, 9, number=number)
        found = heard(running)
        assert len(found) == 9
        assert all(at >= when for at, when in zip(found, times, strict=True))
    assert due(QUICK, 9) != due(QUICK, 9, number=2)


def test_a_whole_answer_takes_as_long_as_its_stream(start_emulator: StartEmulator) -> None:
    running = start_emulator(WORDS, latency=QUICK)
    begun = time.monotonic()
    assert (
        running.http.post("/chat/completions", json=ASK).json()["choices"][0]["message"]["content"] == WORDS
    )
    assert time.monotonic() - begun >= due(QUICK, 9)[-1]


def by_openai(emulator: Emulator) -> str:
    client = openai.OpenAI(
        base_url=emulator.endpoint_of("openai_v1"), api_key=emulator.key_of("openai_v1"), max_retries=0
    )
    with client:
        stream = client.chat.completions.create(model="m", messages=ASK["messages"], stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def by_azure(emulator: Emulator) -> str:
    endpoint = emulator.root + DIALECTS["foundry_models"].emulator_prefix + DIALECTS["foundry_models"].root
    credential = AzureKeyCredential(emulator.key_of("foundry_models"))
    with ChatCompletionsClient(endpoint, credential, retry_total=0) as client:
        stream = client.complete(model="m", messages=ASK["messages"], stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


@pytest.mark.parametrize("ask", [by_openai, by_azure])
def test_foreign_clients_get_the_same_text_at_the_pace(
    start_emulator: StartEmulator, ask: Callable[[Emulator], str]
) -> None:
    running = start_emulator(WORDS, latency=QUICK)
    begun = time.monotonic()
    assert ask(running.emulator) == WORDS
    assert time.monotonic() - begun >= due(QUICK, 9)[-1]
    [exchange] = running.emulator.journal.exchanges()
    assert exchange.latency is not None
    assert exchange.latency.startswith("first=20ms, rate=100/s, jitter=0.5, seed=7; answer 1")


def test_a_header_is_for_one_request_and_always_has_the_same_times(running: Running) -> None:
    for _ in range(2):
        found = heard(running, x_phi_latency="first=30ms, gap=5ms, jitter=1, seed=3")
        times = due("first=30ms, gap=5ms, jitter=1, seed=3", len(found))
        assert all(at >= when for at, when in zip(found, times, strict=True))
    assert profile_of(running)["latency"] == "off"
    assert profile_of(running)["counted"]["answers"] == 2


def test_a_header_takes_the_place_of_what_holds(start_emulator: StartEmulator) -> None:
    running = start_emulator(WORDS, latency="first=3600s")
    assert len(heard(running, x_phi_latency="off")) == 9
    assert running.http.post("/chat/completions", json=ASK, headers={"x-phi-latency": "first=1ms"}).is_success


@pytest.mark.parametrize("line", ["frist=1s", "", "profile.toml", "/etc/passwd.json", "first=1s é"])
def test_a_header_that_is_no_profile_is_refused_in_words(running: Running, line: str) -> None:
    headers = [(b"x-phi-latency", line.encode("latin-1"))]
    response = running.http.post("/chat/completions", json=ASK, headers=headers)
    assert response.status_code == 400
    assert "x-phi-latency: " in response.text
    assert running.http.post("/chat/completions", json=ASK).is_success


def test_the_route_tells_and_changes_what_holds(start_emulator: StartEmulator) -> None:
    running = start_emulator(WORDS, latency="phi-4-deepinfra, first=1ms, gap=1ms")
    assert profile_of(running)["latency"] == {
        "first": "1ms",
        "rate": "1000/s",
        "jitter": 0.29,
        "first_jitter": 0.48,
    }
    body = {"latency": {"first": 0.03, "gap": "1ms", "seed": 5}}
    changed = running.http.post("/_emulator/latency", json=body)
    assert changed.json()["latency"] == {"first": "30ms", "rate": "1000/s", "seed": 5}
    assert heard(running)[0] >= 0.03
    assert profile_of(running)["counted"] | {"late_answers": 0, "late_tokens": 0, "most_late_s": 0.0} == {
        "answers": 1,
        "late_answers": 0,
        "tokens": 9,
        "late_tokens": 0,
        "most_late_s": 0.0,
    }
    assert running.http.post("/_emulator/latency", json={"latency": "off"}).json()["latency"] == "off"
    reset = running.http.delete("/_emulator/latency").json()
    assert reset["latency"]["rate"] == "1000/s"
    assert reset["counted"]["answers"] == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"latency": {"first": "1h"}}, "latency.first: `1h` is no time"),
        ({"latency": 5}, "latency: a table or a line is expected"),
        ({"faults": []}, "a profile is expected under `latency`"),
        ({"latency": "phi"}, "latency.preset: there is no preset `phi`"),
    ],
)
def test_a_body_that_is_no_profile_is_refused_and_changes_nothing(
    start_emulator: StartEmulator, body: Any, words: str
) -> None:
    running = start_emulator(WORDS, latency="first=1ms")
    response = running.http.post("/_emulator/latency", json=body)
    assert response.status_code == 400
    assert words in response.text
    assert profile_of(running)["latency"] == {"first": "1ms"}


def test_the_route_needs_the_key(running: Running) -> None:
    body = {"latency": "first=3600s"}
    headers = {"Authorization": "Bearer wrong"}
    assert running.http.post("/_emulator/latency", json=body, headers=headers).status_code == 401
    assert profile_of(running)["latency"] == "off"


def test_each_scope_has_its_own_profile_numbers_and_counts(start_emulator: StartEmulator) -> None:
    running = start_emulator(WORDS, latency=QUICK)
    running.http.post("/_emulator/latency", json={"latency": "first=3600s"}, headers={"x-phi-scope": "other"})
    found = heard(running, x_phi_scope="mine")
    assert all(at >= when for at, when in zip(found, due(QUICK, 9), strict=True))
    assert profile_of(running, x_phi_scope="mine")["counted"]["answers"] == 1
    assert profile_of(running)["counted"]["answers"] == 0
    assert profile_of(running, x_phi_scope="other")["latency"] == {"first": "3600s"}
    running.http.delete("/_emulator/latency", headers={"x-phi-scope": "other"})
    assert profile_of(running, x_phi_scope="other")["latency"]["seed"] == 7


def test_python_sets_a_profile_and_sees_how_it_was_kept(start_emulator: StartEmulator) -> None:
    running = start_emulator(WORDS)
    latency = running.emulator.latency
    assert latency.profile() is None
    latency.set(Profile(first_s=0.03))
    assert heard(running)[0] >= 0.03
    latency.set("first=1ms", scope="mine")
    assert latency.profile(scope="mine") == Profile(first_s=0.001)
    assert latency.count().answers == 1
    with pytest.raises(LatencyError, match="there is no such key"):
        latency.set("frist=1ms")
    latency.reset()
    assert latency.profile(scope="mine") is None
    with pytest.raises(EmulatorError, match="not started"):
        _ = Emulator().latency


def test_a_model_that_is_slower_is_told_everywhere(
    start_emulator: StartEmulator,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    running = start_emulator(WORDS, latency="first=1ms, gap=1ms")
    running.gate.close()
    caplog.set_level("INFO", "phi_emulator.web")
    with running.http.stream("POST", "/chat/completions", json={**ASK, "stream": True}) as got:
        lines = got.iter_lines()
        assert "role" in next(lines)
        begun = time.monotonic()
        eventually(lambda: time.monotonic() - begun > 0.05)
        running.gate.allow()
        assert "[DONE]" in "".join(lines)
    counted = profile_of(running)["counted"]
    assert counted["late_answers"] == 1
    assert counted["most_late_s"] >= 0.01
    [exchange] = running.emulator.journal.exchanges()
    assert exchange.latency is not None
    assert "tokens late, by" in exchange.latency
    eventually(lambda: "tokens late, by" in caplog.text)


def test_errors_are_not_held(start_emulator: StartEmulator) -> None:
    running = start_emulator(WORDS, latency="first=3600s", deployments=("mine",))
    assert running.http.post("/chat/completions", json={**ASK, "temperature": "hot"}).status_code == 422
    assert running.http.get("/info").is_success


def test_an_answer_that_takes_longer_than_it_may_is_refused_or_broken_off(
    start_emulator: StartEmulator,
) -> None:
    running = start_emulator(WORDS, latency="first=1ms, gap=3600s", request_timeout_ms=300)
    assert running.http.post("/chat/completions", json=ASK).status_code == 408
    with pytest.raises(httpx.RemoteProtocolError):
        running.http.post("/chat/completions", json={**ASK, "stream": True})
    assert running.http.post("/chat/completions", json=ASK, headers={"x-phi-latency": "off"}).is_success


def test_a_client_that_leaves_leaves_nothing_behind(
    start_emulator: StartEmulator, eventually: Callable[[Callable[[], object]], None]
) -> None:
    running = start_emulator(WORDS, latency="first=1ms, gap=3600s", max_concurrent=1)
    with running.http.stream("POST", "/chat/completions", json={**ASK, "stream": True}) as got:
        assert "role" in next(got.iter_lines())
    eventually(lambda: running.emulator.journal.exchanges()[-1].ending == "hung up")
    running.emulator.latency.set(None)
    eventually(lambda: running.http.post("/chat/completions", json=ASK).status_code == 200)


def test_bad_settings_end_the_start_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "slow.toml"
    file.write_text('[latency]\nfirst = "1s"\nrate = "fast"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"latency: .*slow\.toml:3: latency\.rate: `fast`"):
        EmulatorConfig(latency=str(file))
    with pytest.raises(ConfigError, match="did you mean `phi-4-mini-azure`"):
        EmulatorConfig.from_environment({"PHI_EMULATOR_LATENCY": "phi-4-mini-azur"})
    assert EmulatorConfig(latency="off").latency_profile is None


@pytest.fixture
def hours() -> tuple[VirtualClock, Callable[..., Emulator]]:
    clock = VirtualClock()

    def start(line: str) -> Emulator:
        config = EmulatorConfig(port=0, latency=line)
        return Emulator(config, make_engine=lambda: ScriptedEngine(lambda _: WORDS), clock=clock)

    return clock, start


def at(clock: VirtualClock, client: PhiClient, prompt: str = "x") -> list[float]:
    """When each text was there, in seconds after the request, to the microsecond."""
    begun = clock.now()
    with client.stream(prompt) as stream:
        return [round(clock.now() - begun, 6) for chunk in stream if chunk.content]


def test_in_virtual_time_each_token_is_there_just_when_it_is_due(
    hours: tuple[VirtualClock, Callable[..., Emulator]],
) -> None:
    clock, start = hours
    with start(HOURS) as emulator, PhiClient(emulator.endpoint, emulator.key, timeout=86400) as client:
        with_clock(client, clock)
        assert at(clock, client) == [round(when, 6) for when in due(HOURS, 9)]
        begun = clock.now()
        assert client.complete("x").content == WORDS
        assert clock.now() - begun == pytest.approx(due(HOURS, 9, number=2)[-1])
        assert emulator.latency.count().late_tokens == 0
        assert emulator.journal.exchanges()[-1].spent.held_ms == pytest.approx(
            1000 * due(HOURS, 9, number=2)[-1]
        )


def test_a_fault_comes_on_top_of_the_profile(hours: tuple[VirtualClock, Callable[..., Emulator]]) -> None:
    clock, start = hours
    with start(HOURS) as emulator, PhiClient(emulator.endpoint, emulator.key, timeout=86400) as client:
        with_clock(client, clock)
        emulator.faults.add("stall", tokens=3, seconds=5000, times=1)
        emulator.faults.add("slow", seconds=100, times=1)
        emulator.faults.add("wait", seconds=1000, times=1)
        stalled = [when + 5000 * (n > 3) for n, when in enumerate(due(HOURS, 9, number=1), 1)]
        assert at(clock, client) == pytest.approx(stalled)
        slow = [when + 100 * n for n, when in enumerate(due(HOURS, 9, number=2), 1)]
        assert at(clock, client) == pytest.approx(slow)
        waited = [when + 1000 for when in due(HOURS, 9, number=3)]
        assert at(clock, client) == pytest.approx(waited)
        gaps = [later - earlier for earlier, later in pairwise(due(HOURS, 9, number=3))]
        assert [b - a for a, b in pairwise(waited)] == pytest.approx(gaps)
        assert emulator.latency.count().late_tokens == 0
