"""What is kept of scopes stays within a thousand of them, whoever names new ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.by_scope import MOST_SCOPES, ByScope
from phi_emulator.config import SETTINGS
from phi_emulator.faults.rules import read_rule
from phi_emulator.scripts.rules import read_rule as read_answer
from phi_emulator.service.behaviour import Behaviour, CurrentBehaviour
from phi_emulator.service.fault_rules import Faults
from phi_emulator.service.latency import Latency
from phi_emulator.service.scripts import Scripts
from phi_emulator.settings.running import Settings

STALL = read_rule({"effect": "stall"})
ANSWER = read_answer({"answer": "a"})


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
def test_the_one_that_was_not_used_for_longest_goes(steps: list[tuple[bool, int]]) -> None:
    """Against a list in the order of use, with room for three."""
    gone: list[str] = []
    kept = ByScope[list[int]](list, lambda scope, _: gone.append(scope))
    for number in range(MOST_SCOPES - 3):
        kept.use(f"old {number}")
    order: list[str] = []
    for is_use, number in steps:
        scope = str(number)
        if is_use:
            for one in [*kept]:
                if one.startswith("old "):
                    kept.use(one)
            kept.use(scope)
            order = [*(one for one in order if one != scope), scope]
            assert len(kept) <= MOST_SCOPES
            if len(order) > 3:
                assert gone[-1] == order.pop(0)
        else:
            kept.forget(scope)
            order = [one for one in order if one != scope]
        assert [one for one in kept if not one.startswith("old ")] == order


def scopes_of_faults(behaviour: CurrentBehaviour) -> tuple[Callable[[str], object], Callable[[str], bool]]:
    faults = Faults(behaviour)
    return lambda scope: faults.set([STALL], scope=scope), lambda scope: bool(faults.counts(scope=scope))


def scopes_of_added_faults(
    behaviour: CurrentBehaviour,
) -> tuple[Callable[[str], object], Callable[[str], bool]]:
    faults = Faults(behaviour)
    return lambda scope: faults.add("stall", when={"scope": scope}), lambda scope: bool(
        faults.counts(scope=scope)
    )


def scopes_of_scripts(behaviour: CurrentBehaviour) -> tuple[Callable[[str], object], Callable[[str], bool]]:
    scripts = Scripts(behaviour)
    return (
        lambda scope: scripts.set([ANSWER], scope=scope, miss="fail"),
        lambda scope: bool(scripts.counts(scope=scope)) or scripts.miss(scope=scope) == "fail",
    )


def scopes_of_settings(behaviour: CurrentBehaviour) -> tuple[Callable[[str], object], Callable[[str], bool]]:
    known = Settings(behaviour, SETTINGS)
    return lambda scope: known.set(scope=scope, loose=True), lambda scope: known.show("loose", scope=scope)[
        "loose"
    ]


def scopes_of_latency(behaviour: CurrentBehaviour) -> tuple[Callable[[str], object], Callable[[str], bool]]:
    latency = Latency(behaviour)
    return (
        lambda scope: latency.set("first=1ms", scope=scope),
        lambda scope: latency.profile(scope=scope) is not None,
    )


@pytest.mark.parametrize(
    "scopes_of",
    [scopes_of_faults, scopes_of_added_faults, scopes_of_scripts, scopes_of_settings, scopes_of_latency],
)
def test_what_is_set_for_scopes_is_forgotten_behind_a_thousand(
    scopes_of: Callable[[CurrentBehaviour], tuple[Callable[[str], object], Callable[[str], bool]]],
) -> None:
    behaviour = CurrentBehaviour(Behaviour())
    set_for, has = scopes_of(behaviour)
    for number in range(MOST_SCOPES + 50):
        set_for(f"scope {number}")
    assert [number for number in range(MOST_SCOPES + 50) if has(f"scope {number}")] == [
        *range(50, MOST_SCOPES + 50)
    ]
    assert len(behaviour.now.faults) <= MOST_SCOPES
    assert len(behaviour.now.script.added) <= MOST_SCOPES
    assert len(behaviour.now.script.misses) <= MOST_SCOPES


def test_the_rules_of_the_start_stay() -> None:
    own = read_rule({"effect": "stall", "when": {"scope": "own"}})
    faults = Faults(CurrentBehaviour(Behaviour(faults=(own,))))
    faults.set([STALL], scope="other")
    for number in range(MOST_SCOPES):
        faults.state.use(f"scope {number}")
    assert faults.counts(scope="own")
    assert not faults.counts(scope="other")
