"""Which call meets which fault: by its number, by chance with a seed, within a budget, for each scope apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.faults.rules import Call, Rule, read_rule
from phi_emulator.faults.state import FaultState

CALL = Call(surface="serverless", route="/chat/completions")
OTHER = Call(surface="openai_v1")


def rule(effect: str = "wait", *, times: int | None = None, **when: Any) -> Rule:
    return read_rule({"effect": effect, "when": when} | ({} if times is None else {"times": times}))


def met(*rules: Rule, calls: int = 8, scope: str = "") -> list[int]:
    """The numbers of the calls that met a fault."""
    state = FaultState()
    return [number for number in range(1, calls + 1) if state.choose(rules, CALL, scope)]


@pytest.mark.parametrize(
    ("when", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"call": 3}, [3]),
        ({"call": "2-4"}, [2, 3, 4]),
        ({"call": "7-"}, [7, 8]),
        ({"every": 3}, [3, 6]),
        ({"call": "3-", "every": 2}, [4, 6, 8]),
        ({"probability": 0}, []),
        ({"times": 2}, [1, 2]),
        ({"times": 2, "call": "3-"}, [3, 4]),
        ({"surface": "openai_v1"}, []),
    ],
)
def test_which_calls_meet_a_fault(when: dict[str, Any], numbers: list[int]) -> None:
    assert met(rule(**when)) == numbers


def test_calls_that_do_not_fit_are_not_counted() -> None:
    state, rules = FaultState(), [rule(call=2, surface="serverless")]
    found = [state.choose(rules, call) for call in (CALL, OTHER, OTHER, CALL)]
    assert [one is not None for one in found] == [False, False, False, True]


def test_an_answer_that_cannot_have_a_fault_is_not_counted() -> None:
    state, rules = FaultState(), [rule("stall")]
    assert state.choose(rules, CALL) is None
    assert state.choose(rules, replace(CALL, streams=True)) is rules[0]
    assert [count.calls for _, count in state.counts(rules)] == [1]


def test_the_first_rule_that_is_due_is_met_and_all_count() -> None:
    first, second = rule(call=2), rule("split")
    state = FaultState()
    assert [state.choose([first, second], CALL) for _ in range(3)] == [second, first, second]
    counts = [(count.calls, count.faults) for _, count in state.counts([first, second])]
    assert counts == [(3, 1), (3, 2)]


def test_chance_is_the_same_each_time_and_another_by_seed_and_place() -> None:
    one, again = met(rule(probability=0.5), calls=64), met(rule(probability=0.5), calls=64)
    assert one == again
    assert one != met(rule(probability=0.5, seed=1), calls=64)
    assert one != met(rule(call=100), rule(probability=0.5), calls=64)
    assert 16 < len(one) < 48


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_chance_keeps_its_probability(probability: float, seed: int) -> None:
    found = len(met(rule(probability=probability, seed=seed), calls=400))
    assert abs(found - 400 * probability) < 80


def test_scopes_do_not_meet() -> None:
    state, rules = FaultState(), [rule(times=1), rule("split", scope="a")]
    assert state.choose(rules, CALL, "a") is rules[0]
    assert state.choose(rules, CALL, "b") is rules[0]
    assert state.choose(rules, CALL, "a") is rules[1]
    assert state.choose(rules, CALL, "b") is None
    assert [count.calls for _, count in state.counts(rules, "b")] == [2]


def test_rules_of_another_scope_do_not_change_what_chance_gives() -> None:
    alone = met(rule(probability=0.5, scope="a"), calls=64, scope="a")
    beside = met(rule(scope="b"), rule(probability=0.5, scope="a"), calls=64, scope="a")
    assert alone == beside


def test_a_budget_lasts_when_rules_are_added_and_begins_again_with_a_new_rule() -> None:
    state, first = FaultState(), rule(times=1)
    assert state.choose([first], CALL) is first
    added = [first, rule("split")]
    assert state.choose(added, CALL) is added[1]
    assert state.choose([rule(times=1)], CALL) is not None


def test_counts_are_forgotten() -> None:
    state, rules = FaultState(), [rule(times=1)]
    for scope in ("a", "b"):
        state.choose(rules, CALL, scope)
    state.reset("a")
    assert state.choose(rules, CALL, "a") is not None
    assert state.choose(rules, CALL, "b") is None
    state.reset()
    assert state.choose(rules, CALL, "b") is not None


def test_scopes_are_bounded() -> None:
    state, rules = FaultState(), [rule(times=1)]
    state.choose(rules, CALL, "kept")
    for number in range(2000):
        state.choose(rules, CALL, f"scope-{number}")
        state.choose(rules, CALL, "kept")
    assert [count.calls for _, count in state.counts(rules, "kept")] == [2001]
    assert [count.calls for _, count in state.counts(rules, "scope-0")] == [0]
