"""Rules are read strictly, from tables, files and lines; what is wrong is said with its place and what was meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.faults.catalogue import EFFECTS
from phi_emulator.faults.reading import read_file, read_line
from phi_emulator.faults.rules import Call, FaultError, When, read_fault, read_rule, read_rules

from phi_client.contract.service import SURFACES

STALL = {"effect": "stall", "tokens": 2}


def refused(table: object) -> str:
    with pytest.raises(FaultError) as caught:
        read_rule(table)
    return str(caught.value)


def test_what_is_left_out_has_its_default() -> None:
    rule = read_rule(STALL)
    assert rule.fault.values == {"tokens": 2, "seconds": 3600.0}
    assert rule.when == When()
    assert rule.times is None


def test_conditions_are_read() -> None:
    rule = read_rule(
        STALL
        | {
            "times": 3,
            "when": {
                "surface": "openai_v1",
                "route": "/chat/*",
                "deployment": "phi",
                "headers": {"X-Test": "a"},
                "scope": "s",
                "call": "2-4",
                "every": 2,
                "probability": 0.5,
                "seed": 7,
            },
        }
    )
    assert rule.when == When(
        surface="openai_v1",
        route="/chat/*",
        deployment="phi",
        headers={"x-test": "a"},
        scope="s",
        call=(2, 4),
        every=2,
        probability=0.5,
        seed=7,
    )
    assert rule.times == 3


@pytest.mark.parametrize(
    ("given", "call"), [(1, (1, 1)), ("3", (3, 3)), ("3-", (3, None)), (" 2-4 ", (2, 4))]
)
def test_forms_of_a_call(given: object, call: object) -> None:
    assert read_rule(STALL | {"when": {"call": given}}).when.call == call


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "effect: `effect` is missing: one of error, retry_after"),
        ({"effect": "stal"}, "effect: `stal` is no effect: did you mean `stall`?"),
        ({"effect": 3}, "effect: `3` is no effect: known are error"),
        (
            {"effect": "stall", "token": 2},
            "token: `stall` has no such parameter: did you mean `tokens`?",
        ),
        (
            {"effect": "wait", "time": 2},
            "time: `wait` has no such parameter: did you mean `times`?",
        ),
        ({"effect": "error"}, "error: `error` is missing: one of missing_key, wrong_key"),
        (
            {"effect": "error", "error": "rate_limit"},
            "error: `rate_limit` is none of its values: did you mean `rate_limited`?",
        ),
        ({"effect": "wait", "seconds": "5"}, "seconds: `5` is no number"),
        ({"effect": "wait", "seconds": True}, "seconds: `True` is no number"),
        ({"effect": "wait", "seconds": float("nan")}, "seconds: `nan` is not within 0 to 86400"),
        ({"effect": "wait", "seconds": 10**400}, "seconds: `1000"),
        ({"effect": "stall", "tokens": 1.5}, "tokens: `1.5` is no whole number"),
        ({"effect": "split", "bytes": 0}, "bytes: `0` is not within 1 to 67108864"),
        ({"effect": "header_twice", "name": "a\r\nb"}, "name: it travels in a header"),
        (STALL | {"times": 0}, "times: `0` is no whole number from 1 on"),
        (STALL | {"when": []}, "when: a table is expected"),
        (STALL | {"when": {"cal": 1}}, "when.cal: there is no such condition: did you mean `call`?"),
        (STALL | {"when": {"call": "4-2"}}, "when.call: `4-2` holds no call: they are counted from 1"),
        (STALL | {"when": {"call": "first"}}, "when.call: `first` is no number of a call"),
        (STALL | {"when": {"call": 0}}, "when.call: `0` is no whole number from 1 on"),
        (STALL | {"when": {"probability": 2}}, "when.probability: `2` is no number from 0 to 1"),
        (
            STALL | {"when": {"surface": "openai"}},
            "when.surface: `openai` is no surface: did you mean `openai_v1`?",
        ),
        (STALL | {"when": {"headers": {"x": 1}}}, "when.headers.x: `1` is not a text"),
        (
            {"effect": "error", "error": "no_model", "when": {"surface": "serverless"}},
            "when.surface: `no_model` is said by foundry_models, openai_v1, and never by serverless",
        ),
        ("stall", "a table is expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_keys(table: object, said: str) -> None:
    assert refused(table).startswith(said)


def test_the_number_of_a_rule_is_said() -> None:
    with pytest.raises(FaultError, match=r"^\[1\]\.tokens: "):
        read_rules([STALL, STALL | {"tokens": -1}])


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from([*EFFECTS]),
    st.sampled_from(
        ["effect", "tokens", "seconds", "bytes", "form", "name", "when", "times", "error", "call"]
    ),
)
def test_whatever_is_given_is_read_or_refused(value: Any, effect: str, key: str) -> None:
    for table in (value, {"effect": effect, key: value}, {"effect": effect, "when": {key: value}}):
        try:
            read_rule(table)
        except FaultError as error:
            assert str(error).isprintable()  # noqa: PT017 - either is right


def test_every_default_can_be_given() -> None:
    for name, effect in EFFECTS.items():
        values = {
            one.name: one.default if one.default is not None else next(iter(one.choices))
            for one in effect.parameters
        }
        assert dict(read_fault({"effect": name, **values}).values) == values


# Calls


def call(surface: str = "serverless", **others: Any) -> Call:
    return Call(**{"surface": surface, "route": "/chat/completions", "streams": True, **others})


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({}, True),
        ({"surface": "serverless"}, True),
        ({"surface": "openai_v1"}, False),
        ({"route": "/chat/completions"}, True),
        ({"route": "/chat/*"}, True),
        ({"route": "/info"}, False),
        ({"deployment": "phi"}, True),
        ({"deployment": "Phi"}, False),
        ({"headers": {"X-Test": "a"}}, True),
        ({"headers": {"X-Test": "b"}}, False),
        ({"headers": {"X-Test": "a", "X-Other": "b"}}, False),
    ],
)
def test_which_calls_fit(when: dict[str, Any], fits: bool) -> None:
    rule = read_rule(STALL | {"when": when})
    assert rule.when.fits(call(deployment="phi", headers={"x-test": "a"})) is fits


def test_an_effect_is_for_answers_that_can_have_it() -> None:
    assert not read_fault(STALL).suits(call(streams=False))
    assert not read_fault({"effect": "expired_token"}).suits(call())
    assert read_fault({"effect": "expired_token"}).suits(call(has_token=True))
    no_model = read_fault({"effect": "error", "error": "no_model"})
    assert {name for name in SURFACES if no_model.suits(call(name))} == {"foundry_models", "openai_v1"}


# Lines


def test_a_line_is_a_fault() -> None:
    fault = read_line('content_type value="text/plain; charset=utf-8"')
    assert fault.values == {"value": "text/plain; charset=utf-8"}
    assert read_line("stall tokens=2 seconds=0.5").values == {"tokens": 2, "seconds": 0.5}
    assert read_line("expired_token").values == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "no effect is named"),
        ("  ", "no effect is named"),
        ("'", "no closing quotation"),
        ("stall tokens", "`tokens` is no `name=value`"),
        ("stall tokens=1 tokens=2", "`tokens=2` is no `name=value`, or comes twice"),
        ("stall effect=wait", "`effect=wait` is no `name=value`, or comes twice"),
        ("stall tokens=two", "tokens: `two` is no number"),
        ("stahl", "effect: `stahl` is no effect: did you mean `stall`?"),
    ],
)
def test_a_line_of_another_form_is_refused(line: str, said: str) -> None:
    with pytest.raises(FaultError) as caught:
        read_line(line)
    assert str(caught.value).startswith(said)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        read_line(line)
    except FaultError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right


# Files

GOOD = """\
[[faults]]
effect = "error"
error = "rate_limited"
times = 2

[[faults]]
effect = "cut_body"
bytes = 40
when.surface = "openai_v1"
[faults.when.headers]
X-Test = "a"
"""


def test_a_toml_file_and_a_json_file_hold_the_same(tmp_path: Path) -> None:
    import tomllib  # noqa: PLC0415

    toml, plain = tmp_path / "faults.toml", tmp_path / "faults.json"
    toml.write_text(GOOD)
    plain.write_text(json.dumps(tomllib.loads(GOOD)))
    rules = read_file(toml)
    assert [rule.fault.effect.name for rule in rules] == ["error", "cut_body"]
    assert rules[1].when == When(surface="openai_v1", headers={"x-test": "a"})
    assert [rule.table for rule in read_file(plain)] == [rule.table for rule in rules]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("bytes", "byte"), "8: faults[1].byte: `cut_body` has no such parameter"),
        (GOOD.replace("openai_v1", "azure"), "9: faults[1].when.surface: `azure` is no surface"),
        (GOOD.replace('"a"', "1"), "11: faults[1].when.headers.X-Test: `1` is not a text"),
        (GOOD.replace('effect = "cut_body"\n', ""), "6: faults[1].effect: `effect` is missing"),
        (GOOD.replace("times = 2", "times = [\n1,\n2]"), "4: faults[0].times: `[1, 2]` is no whole number"),
        ("a = 1\n" + GOOD, "1: a: there is nothing of that name beside `faults`"),
        ("# nothing\n", " a list of rules is expected under `faults`"),
        ("faults = 3\n", "1: faults: a list of rules is expected"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(FaultError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}:{said}")


def test_what_is_no_toml_or_json_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text("[[faults]]\neffect = stall\n")
    with pytest.raises(FaultError, match=r"faults\.toml:2: Invalid value"):
        read_file(path)
    path = tmp_path / "faults.json"
    path.write_text('{"faults": [\n{"effect": }]}')
    with pytest.raises(FaultError, match=r"faults\.json:2: Expecting value"):
        read_file(path)
    path.write_text('{"faults": [{"effect": "stal"}]}')
    with pytest.raises(FaultError, match=r"faults\.json:1: faults\[0\]\.effect: `stal` is no effect"):
        read_file(path)


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"none\.toml: No such file"):
        read_file(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe4")
    with pytest.raises(FaultError, match="it is not UTF-8"):
        read_file(tmp_path / "latin.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(FaultError, match="it is larger than"):
        read_file(tmp_path / "large.toml")
