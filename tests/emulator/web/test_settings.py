"""Limits, filter and settings are set while the emulator runs, for all or for one scope, and are put back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.config import SETTINGS
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.service.behaviour import Behaviour, CurrentBehaviour
from phi_emulator.service.rate_limits import Deployments, Limits
from phi_emulator.settings.running import Settings, SettingsError

SECONDS = 20
KEY = "a-key-of-its-own"
FILTERED = "phi-filter-violence"


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    config = EmulatorConfig(port=0, key=KEY, requests_per_minute=50)
    with Emulator(config, make_engine=lambda: ScriptedEngine(lambda _: "one two three")) as emulator:
        yield emulator
        openai_of(emulator.endpoint_of("openai_v1")).close()


@pytest.fixture
def emulator(running: Emulator) -> Iterator[Emulator]:
    yield running
    running.reset()


def control(
    emulator: Emulator, method: str, path: str, scope: str | None = None, **options: Any
) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}"} | ({} if scope is None else {"x-phi-scope": scope})
    url = f"{emulator.root}/_emulator/{path}"
    return httpx.request(method, url, headers=headers, timeout=SECONDS, **options)


def ask(emulator: Emulator, scope: str | None = None, content: str = "six") -> int:
    """The status of an answer to the official client."""
    headers = {} if scope is None else {"x-phi-scope": scope}
    try:
        openai_of(emulator.endpoint_of("openai_v1")).chat.completions.create(
            model="phi", messages=[{"role": "user", "content": content}], extra_headers=headers
        )
    except openai.APIStatusError as error:
        return error.status_code
    return 200


@cache
def openai_of(endpoint: str) -> openai.OpenAI:
    """A client that threads may share."""
    return openai.OpenAI(base_url=endpoint, api_key=KEY, max_retries=0, timeout=SECONDS)


def test_a_limit_of_one_scope_is_nobody_elses(emulator: Emulator) -> None:
    answer = control(emulator, "POST", "limits", "mine", json={"requests_per_minute": 2})
    assert answer.json() == {"requests_per_minute": 2, "tokens_per_minute": None, "max_concurrent": None}
    assert [ask(emulator, "mine") for _ in range(3)] == [200, 200, 429]
    assert ask(emulator, "yours") == ask(emulator) == 200
    assert control(emulator, "GET", "limits", "yours").json()["requests_per_minute"] == 50
    # Put back, and what was counted is forgotten.
    assert control(emulator, "DELETE", "limits", "mine").json()["requests_per_minute"] == 50
    assert ask(emulator, "mine") == 200


def test_limits_of_all_count_for_each_scope_apart(emulator: Emulator) -> None:
    emulator.settings.set(requests_per_minute=1)
    assert [ask(emulator, scope) for scope in ("one", "two", "one", "two", "three")] == [
        200,
        200,
        429,
        429,
        200,
    ]
    emulator.reset(scope="one")
    assert [ask(emulator, scope) for scope in ("one", "two")] == [200, 429]
    emulator.reset()
    assert emulator.settings.show("requests_per_minute") == {"requests_per_minute": 50}
    assert ask(emulator, "two") == 200


def test_the_filter_is_set_and_put_back(emulator: Emulator) -> None:
    words = {"violence": {"sword": "high"}}
    assert control(emulator, "POST", "filter", json={"content_filter": words}).json() == {
        "content_filter": words
    }
    assert [ask(emulator, content=text) for text in ("a sword", FILTERED)] == [400, 200]
    emulator.settings.set(scope="mine", content_filter="default")
    assert [ask(emulator, "mine", text) for text in ("a sword", FILTERED)] == [200, 400]
    assert control(emulator, "DELETE", "filter").json() == {"content_filter": "off"}
    assert ask(emulator, "mine", FILTERED) == 200


def test_a_reset_puts_all_back_and_one_of_a_scope_only_its_own(emulator: Emulator) -> None:
    emulator.settings.set(deployments=["phi"], loose=True)
    emulator.settings.set(scope="mine", max_output_tokens=3)
    emulator.faults.add("error", error="rate_limited")
    assert ask(emulator, "mine") == ask(emulator, "yours") == 429
    control(emulator, "POST", "reset", "mine")
    assert emulator.settings.show("max_output_tokens", "loose", scope="mine") == {
        "max_output_tokens": None,
        "loose": True,
    }
    assert emulator.journal.exchanges(scope="mine") == ()
    assert len(emulator.journal.exchanges(scope="yours")) == 1
    last = emulator.journal.last
    assert ask(emulator, "mine") == 429
    control(emulator, "POST", "reset")
    assert emulator.settings.show("deployments", "loose") == {"deployments": [], "loose": False}
    assert len(emulator.journal) == 0
    assert ask(emulator, "mine") == 200
    [entry] = emulator.journal.wait_for(1)
    assert entry.number == last + 2


def test_parallel_scopes_don_t_meet(emulator: Emulator) -> None:
    """Each of eight tests at once has limits, a fault and a journal of its own."""

    def run(number: int) -> tuple[list[int], list[int | None]]:
        scope = f"test-{number}"
        emulator.settings.set(scope=scope, requests_per_minute=number % 4 + 1)
        statuses = [ask(emulator, scope) for _ in range(5)]
        return statuses, [one.status for one in emulator.journal.wait_for(5, scope=scope)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(8)))
    for number, (statuses, noted) in enumerate(found):
        taken = number % 4 + 1
        assert statuses == noted == [200] * taken + [429] * (5 - taken)


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("limits", {"requests_per_minuet": 1}, "requests_per_minuet: there is no such setting: did you mean"),
        ("limits", {"loose": True}, "loose: there is no such setting"),
        ("limits", {"max_concurrent": 0}, "max_concurrent: `0` can't be used: give 1 to 1000000000"),
        ("limits", {"max_concurrent": True}, "max_concurrent: `True` is no number"),
        ("limits", [], "a table is expected"),
        ("filter", {"content_filter": "of"}, "content_filter: `of` is neither `off` nor `default`"),
        (
            "filter",
            {"content_filter": {"violence": {"sword": "huge"}}},
            "content_filter.violence.sword: `huge` is no severity",
        ),
        ("settings", {"deployments": ["a", 7]}, "deployments[1]: `7` is not a text"),
        ("settings", {"loose": "yes"}, "loose: `yes` is not true or false"),
        ("settings", {"request_timeout_ms": 1.5}, "request_timeout_ms: `1.5` is no whole number"),
    ],
)
def test_what_can_t_be_set_is_named_and_changes_nothing(
    emulator: Emulator, path: str, body: object, reason: str
) -> None:
    before = emulator.settings.show()
    answer = control(emulator, "POST", path, json=body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]["message"]
    assert emulator.settings.show() == before


def test_several_are_set_together_or_not_at_all(emulator: Emulator) -> None:
    with pytest.raises(SettingsError, match="max_output_tokens"):
        emulator.settings.set(loose=True, max_output_tokens=-1)
    assert emulator.settings.show("loose") == {"loose": False}


VALUES = st.sampled_from([None, 1, 7])
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "reset"]),
        st.sampled_from([None, "a", "b"]),
        st.sampled_from(["max_output_tokens", "request_timeout_ms"]),
        VALUES,
    ),
    max_size=12,
)


@settings(deadline=None)
@given(EDITS)
def test_a_scope_keeps_what_was_set_for_it_over_what_is_set_for_all(
    edits: list[tuple[str, str | None, str, int | None]],
) -> None:
    """Against a model: a dictionary for all, and one for each scope."""
    names = ("max_output_tokens", "request_timeout_ms")
    real = Settings(CurrentBehaviour(Behaviour()), SETTINGS)
    base: dict[str, int | None] = dict.fromkeys(names)
    own: dict[str, dict[str, int | None]] = {"a": {}, "b": {}}
    for action, scope, name, value in edits:
        if action == "set":
            real.set(scope=scope, **{name: value})
            (base if scope is None else own[scope])[name] = value
        else:
            real.reset(name, scope=scope)
            for one in own if scope is None else [scope]:
                own[one].pop(name, None)
            if scope is None:
                base[name] = None
        for one in ("a", "b", ""):
            assert real.show(*names, scope=one) == base | own.get(one, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*SETTINGS]) | st.text(max_size=12), JSON, max_size=3) | JSON)
def test_any_table_is_set_or_refused_with_a_reason(body: object) -> None:
    real = Settings(CurrentBehaviour(Behaviour()), SETTINGS)
    before = real.show()
    reason = None
    try:
        real.set_table(body)
    except ValueError as error:
        reason = str(error)
    assert reason is None or (reason and real.show() == before)


def test_a_reset_while_others_ask_loses_no_window_of_theirs() -> None:
    deployments = Deployments(now=lambda: 0.0)
    limits = Limits(requests_per_minute=1_000_000)
    done = threading.Event()

    def reset() -> None:
        while not done.is_set():
            deployments.reset(scope="mine")

    thread = threading.Thread(target=reset)
    thread.start()
    try:
        for number in range(2000):
            deployments.of(("a", number % 50), "mine").admit(limits, 1)
            deployments.of("a", "yours").admit(limits, 1)
    finally:
        done.set()
        thread.join()
    admission = deployments.of("a", "yours").admit(limits, 1)
    assert admission.remaining_requests == 1_000_000 - 2001
