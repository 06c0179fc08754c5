"""From a request's wishes to the engine's words: which messages, which grammar, and whether calls are looked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from phi_emulator.engine.errors import GuidanceError
from phi_emulator.engine.protocol import Marks, Message
from phi_emulator.service.extensions import AnswerPlan, plan_answer

from phi_client.contract.service.refusals import RefusedError
from phi_client.contract.service.request_body import validated_request

MARKS = Marks(call=("<|tool_call|>", "<|/tool_call|>"), tool_role="tool_response")
USER = {"role": "user", "content": "x"}
TOOL = {"type": "function", "function": {"name": "f", "description": "d"}}
TOLD = '[{"name": "f", "description": "d"}]'


def plan(messages: list[dict[str, Any]] | None = None, **fields: Any) -> AnswerPlan:
    request = validated_request({"messages": messages or [USER]} | fields, extended=True)
    return plan_answer(request, MARKS)


def test_without_wishes_nothing_is_added() -> None:
    assert plan() == AnswerPlan([Message("user", "x")])
    assert plan(tools=[TOOL], tool_choice="none") == AnswerPlan([Message("user", "x")])


def test_tools_are_told_at_the_first_system_message_or_at_one_of_their_own() -> None:
    assert plan(tools=[TOOL]).messages == [Message("system", "", tools=TOLD), Message("user", "x")]
    system = {"role": "system", "content": "s"}
    assert plan([USER, system, system], tools=[TOOL]).messages[1:] == [
        Message("system", "s", tools=TOLD),
        Message("system", "s"),
    ]


def test_calls_and_their_answers_in_the_history_reach_the_engine() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": {"b": 2}}},
    ]
    history: list[dict[str, Any]] = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
    ]
    assert plan(history).messages[1:] == [
        Message(
            "assistant", "", '[{"name": "f", "arguments": {"a":1}}, {"name": "g", "arguments": {"b": 2}}]'
        ),
        Message("tool_response", "r"),
    ]


def test_a_form_alone_looks_for_no_calls() -> None:
    planned = plan(response_format={"type": "regex", "regex": "a/b"})
    assert planned.reader is None
    assert planned.grammar is not None
    assert "answer: form\n" in planned.grammar
    assert "form: /a\\/b/\n" in planned.grammar


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({}, "answer: text calls?\n"),
        ({"tool_choice": "required"}, "answer: calls\n"),
        ({"response_format": {"type": "json_object"}}, "answer: form | calls\n"),
        ({"parallel_tool_calls": False}, '"[" call "]"'),
    ],
)
def test_tools_decide_what_an_answer_may_be(fields: dict[str, Any], rule: str) -> None:
    planned = plan(tools=[TOOL], **fields)
    assert planned.reader is not None
    assert rule in (planned.grammar or "")


def test_a_function_without_parameters_takes_none() -> None:
    grammar = plan(tools=[TOOL]).grammar or ""
    schema = json.loads(grammar.partition("%json ")[2].partition(' "}"')[0])
    assert (schema["properties"], schema["additionalProperties"]) == ({}, False)


def test_what_is_malformed_and_what_is_too_much_are_told_apart() -> None:
    with pytest.raises(RefusedError):
        plan(tools=[TOOL, TOOL])
    with pytest.raises(GuidanceError):
        plan(response_format={"type": "regex", "regex": "\\"})


@pytest.mark.parametrize(
    ("fields", "is_one"),
    [
        ({}, True),
        ({"parallel_tool_calls": None}, True),
        ({"parallel_tool_calls": False}, True),
        ({"parallel_tool_calls": True}, False),
    ],
)
def test_a_call_that_must_come_is_one_unless_several_are_asked_for(
    fields: dict[str, Any], is_one: bool
) -> None:
    grammar = plan(tools=[TOOL], tool_choice="required", **fields).grammar or ""
    assert ('"[" call "]"' in grammar) is is_one
    named = {"type": "function", "function": {"name": "f"}}
    assert '"[" call "]"' in (plan(tools=[TOOL], tool_choice=named, **fields).grammar or "")
