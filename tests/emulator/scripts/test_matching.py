"""Which requests a rule is about, and what is said of one that it is nearly about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.scripts.matching import SlowRegexError
from phi_emulator.scripts.rules import read_rule
from phi_emulator.scripts.state import ScriptState, Unmatched

from tests.emulator.scripts.asking import ask

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("rule", "asked", "is_about"),
    [
        ({}, ask("anything"), True),
        ({"exact": "Hi"}, ask("Hi"), True),
        ({"exact": "Hi"}, ask("Hi "), False),
        ({"exact": "Hi"}, ask("Hi", "yes?", "What?"), False),
        ({"contains": "b c"}, ask("a b c d"), True),
        ({"contains": "B"}, ask("a b c d"), False),
        ({"regex": r"(?i)^tell me (a|an)\b"}, ask("TELL ME A story"), True),
        ({"regex": r"\d+"}, ask("no digits"), False),
        ({"turn": 1}, ask("a"), True),
        ({"turn": 1}, ask("a", "b", "c"), False),
        ({"turn": 2}, ask("a", "b", "c"), True),
        ({"turn": "2-3"}, ask("a", "b", "c", "d", "e"), True),
        ({"turn": "2-"}, ask("a"), False),
        ({"schema": {"required": ["city"]}}, ask('{"city": "Bern"}'), True),
        ({"schema": {"required": ["city"]}}, ask('{"town": "Bern"}'), False),
        ({"schema": {"type": "object"}}, ask("no JSON"), False),
        ({"schema": False}, ask("{}"), False),
        ({"request": {"required": ["tools"]}}, ask("a", tools=[WEATHER]), True),
        ({"request": {"required": ["tools"]}}, ask("a"), False),
        (
            {
                "request": {
                    "properties": {"response_format": {"properties": {"type": {"const": "json_object"}}}}
                }
            },
            ask("a", response_format={"type": "text"}),
            False,
        ),
        (
            {"request": {"properties": {"max_tokens": {"maximum": 10}}, "required": ["max_tokens"]}},
            ask("a", max_tokens=5),
            True,
        ),
        ({"contains": "a", "turn": 1, "when": {"surface": "openai_v1"}}, ask("a"), False),
        ({"contains": "a", "turn": 1, "when": {"surface": "openai_v1"}}, ask("a", surface="openai_v1"), True),
        ({"fault": {"effect": "stall"}}, ask("a"), False),
        ({"fault": {"effect": "stall"}}, ask("a", streams=True), True),
    ],
    ids=range(25),
)
def test_which_requests_a_rule_is_about(rule: dict[str, Any], asked: Any, is_about: bool) -> None:
    assert read_rule({"answer": "x", **rule}).fits(asked, 0) is is_about


def test_what_a_tool_answered_is_the_last_message_and_a_turn_of_its_own() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": '{"sun": true}'},
    ]
    asked = ask("", messages=messages)
    assert (asked.question, asked.turn) == ('{"sun": true}', 2)
    assert read_rule({"schema": {"required": ["sun"]}, "turn": 2, "answer": "Sunny."}).fits(asked, 0)


def test_without_a_message_of_anybody_else_nothing_was_asked() -> None:
    assert ask("", messages=[{"role": "system", "content": "a"}]).question == ""


def unmatched(asked: Any, *rules: dict[str, Any]) -> Unmatched:
    state = ScriptState()
    read = [read_rule({"answer": "x", **rule} if "answers" not in rule else rule) for rule in rules]
    while (taken := state.take(read, asked)) is not None:
        assert taken.rule.times
    return state.miss(read, asked, "an-id", "fail")


@pytest.mark.parametrize(
    ("rule", "asked", "said"),
    [
        ({"exact": "What is 2 + 2?"}, ask("what is 2 + 2?"), "`exact` differs in upper and lower case alone"),
        ({"exact": "What is 2 + 2?"}, ask("What is  2 + 2?"), "`exact` differs in white space alone"),
        (
            {"exact": "What is 2 + 2?"},
            ask("What is 2 + 2?\n"),
            "`exact` differs in white space around it alone",
        ),
        (
            {"exact": "What is 2 + 2?"},
            ask("What is 2 + 3?"),
            "`exact` differs from letter 13 on, and wants `2?` there",
        ),
        ({"exact": "What is 2"}, ask("What is 2?"), "`exact` differs from letter 10 on, and ends there"),
        (
            {"contains": "the Weather"},
            ask("How is the weather?"),
            "`contains` differs in upper and lower case alone",
        ),
        (
            {"contains": "the weather today"},
            ask("the weather tomorrow"),
            "is there up to letter 14 of 17, and goes on with `day`",
        ),
        ({"regex": r"weather in \w+"}, ask("WEATHER IN BERN"), "begin it with `(?i)`"),
        ({"regex": r"a.b"}, ask("a\nb"), "begin it with `(?s)`"),
        ({"regex": r"sum of \d+ and \d+"}, ask("sum of 12 or 30"), r"`regex` matches up to `sum of \d+ `"),
        ({"turn": 2, "contains": "a"}, ask("a"), "`turn` is 2, and this is turn 1"),
        (
            {"schema": {"properties": {"a": {"type": "integer"}}}},
            ask('{"a": "b"}'),
            "`schema` does not take what is at `/a`: properties/a/type",
        ),
        ({"request": {"required": ["tools"]}}, ask("a"), "`request` does not take what is at `/`: required"),
        ({"times": 1}, ask("a"), "it has answered 1 times, and has no answer left"),
        ({"answers": ["a", "b"]}, ask("a"), "it has answered 2 times, and has no answer left"),
        ({"when": {"call": 3}}, ask("a"), "`when` leaves its call 1 out"),
        ({"when": {"surface": "openai_v1"}}, ask("a"), "`when.surface` is openai_v1, and this is serverless"),
        ({"fault": {"effect": "stall"}}, ask("a"), "`stall` is a fault of streams"),
    ],
    ids=range(18),
)
def test_what_nearly_matched_is_said_and_why(rule: dict[str, Any], asked: Any, said: str) -> None:
    far = {"exact": "Something else altogether, about the sea"}
    found = unmatched(asked, far, rule)
    assert said in str(found)
    assert [near.rule for near in found.near] == ["rule 2"]


def test_the_nearest_is_said_first_and_few_of_them() -> None:
    rules = [{"exact": f"What is {number} + 2?"} for number in range(10, 20)]
    found = unmatched(ask("what is 12 + 2?"), *rules)
    assert len(found.near) == 3
    assert str(found.near[0]).startswith("rule 3: `exact` differs in upper and lower case alone")


def test_where_nothing_comes_near_that_is_said() -> None:
    assert str(unmatched(ask("The sea is blue today."), {"exact": "12 + 30"})).endswith(
        "letters: none comes near"
    )
    assert str(unmatched(ask("a"))).startswith(
        "of 0 rules none is about turn 1 with a last message of 1 letters"
    )


SECRET = "q7Zk-the-secret-w0rd"


@given(
    st.sampled_from(["exact", "contains", "regex"]),
    st.text(max_size=40),
    st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_what_is_said_never_quotes_the_request(name: str, around: str, cut: int) -> None:
    rule = {name: "never this" if name == "regex" else around[:cut] + "never this"}
    said = str(unmatched(ask(around + SECRET), rule, {"schema": {"type": "array"}}))
    assert SECRET not in said
    quoted = str(
        unmatched(ask(json.dumps({"a": SECRET})), {"schema": {"properties": {"a": {"enum": ["b"]}}}})
    )
    assert SECRET not in quoted


def test_a_regex_that_takes_too_long_is_said_so_and_no_hang() -> None:
    slow = read_rule({"regex": "(a|aa)+$", "answer": "x"})
    with pytest.raises(SlowRegexError, match="write it without nested repetition"):
        slow.fits(ask("a" * 60 + "b"), 0)


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_two_texts_can_be_compared(wanted: str, question: str) -> None:
    rules = [{"exact": wanted}, {"contains": wanted}]
    if wanted != question:
        assert isinstance(str(unmatched(ask(question), rules[0])), str)
    if wanted not in question:
        assert isinstance(str(unmatched(ask(question), rules[1])), str)
