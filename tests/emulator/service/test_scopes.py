"""Whose a request is, by its header, its key, or whose turn it is."""

from __future__ import annotations

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.service.scopes import Scopes


@pytest.fixture
def scopes() -> Scopes:
    made = Scopes()
    made.open = "open"
    return made


def test_a_header_wins_over_a_key_and_a_key_over_the_open_scope(scopes: Scopes) -> None:
    key = scopes.new_key("mine")
    assert scopes.scope_of("named", key) == "named"
    assert scopes.scope_of("", key) == "mine"
    assert scopes.scope_of(None, "somebody's") == "open"


def test_each_key_is_another_and_lets_in(scopes: Scopes) -> None:
    first, second = scopes.new_key("mine"), scopes.new_key("mine")
    assert first != second
    assert scopes.lets_in(first)
    assert not scopes.lets_in(first + "x")
    assert not scopes.lets_in("")


def test_what_outlives_its_scope_joins_the_open_one_and_is_counted(scopes: Scopes) -> None:
    key = scopes.new_key("over")
    scopes.end(key)
    assert scopes.lets_in(key)
    assert [scopes.scope_of(None, key) for _ in range(2)] == ["open", "open"]
    assert scopes.late("open") == {"over": 2}
    assert scopes.late("over") == {}


def test_a_key_that_ends_for_good_lets_nobody_in(scopes: Scopes) -> None:
    key = scopes.new_key("over")
    scopes.end(key, joins=False)
    assert not scopes.lets_in(key)
    assert scopes.scope_of(None, key) == "open"
    assert scopes.late("open") == {}


def test_rules_and_counts_of_a_key_are_its_scopes_alone_on_every_surface() -> None:
    with Emulator(EmulatorConfig(port=0)) as emulator, httpx.Client(trust_env=False) as http:
        mine, other = emulator.scopes.new_key("mine"), emulator.scopes.new_key("other")
        emulator.faults.add("error", error="rate_limited", when={"scope": "mine"})
        body = {"model": "phi", "messages": [{"role": "user", "content": "What is 1 + 1?"}], "max_tokens": 1}

        def ask(dialect: str, key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            if dialect == "openai_v1":
                headers = {"api-key": key}
            url = f"{emulator.endpoint_of(dialect)}/chat/completions"
            return http.post(url, headers=headers, json=body, timeout=60).status_code

        for dialect in ("serverless", "openai_v1"):
            assert (ask(dialect, mine), ask(dialect, other), ask(dialect, emulator.key)) == (429, 200, 200)
            assert ask(dialect, "phi-emulator-key-of-nobody") == 401
        [counts] = http.get(
            f"{emulator.root}/_emulator/faults", headers={"Authorization": f"Bearer {mine}"}
        ).json()["faults"]
        assert counts["counted"] == {"calls": 2, "faults": 2}


def test_a_reset_with_a_scopes_key_is_of_that_scope() -> None:
    with Emulator(EmulatorConfig(port=0)) as emulator, httpx.Client(trust_env=False) as http:
        key = emulator.scopes.new_key("mine")
        emulator.faults.add("cut_head")
        emulator.faults.add("cut_head", when={"scope": "mine"})
        url = f"{emulator.root}/_emulator/faults/reset"
        assert http.post(url, headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert [count.rule.get("when") for count in emulator.faults.counts()] == [None]
