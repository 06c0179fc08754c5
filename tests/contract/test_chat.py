"""Requests are validated as the service validates them; answers are read tolerantly."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from phi_client.contract.messages import ChatMessage, Role
from phi_client.contract.service.chat import ChatCompletion, ChatRequest, WireUsage

USER = {"role": "user", "content": "x"}


def request_of(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"messages": [USER], **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0}, {"temperature": 1}, {"top_p": 1}, {"max_tokens": 0}, {"presence_penalty": -2},
        {"frequency_penalty": 2}, {"stop": "."}, {"stop": ["."]}, {"seed": 2**63 - 1}, {"max_tokens": None},
        {"response_format": {"type": "text"}}, {"tool_choice": "auto"}, {"stream": False},
    ],
)  # fmt: skip
def test_a_value_inside_its_range_is_taken(fields: dict[str, Any]) -> None:
    assert request_of(**fields).to_wire() == {"messages": [USER], **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 1.01}, {"temperature": -0.1}, {"temperature": None}, {"top_p": 1.1},
        {"max_tokens": -1}, {"max_tokens": 1.5},
        {"presence_penalty": 2.1}, {"frequency_penalty": -3}, {"stop": []}, {"seed": 2**63}, {"messages": []},
        {"messages": None}, {"messages": "x"}, {"tools": []}, {"response_format": {"type": "json_schema"}},
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request_of(**fields)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    ],
)
def test_a_message_of_its_role_is_taken(message: dict[str, Any]) -> None:
    assert ChatMessage.model_validate(message).to_wire() == message


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "x"},
        {"role": "user"},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "text", "text": ""}]},
        {"role": "user", "content": [{"type": "image_url", "text": "x"}]},
        {"role": "system", "content": [{"type": "text", "text": "x"}]},
        {"content": "x"},
        "x",
    ],
)
def test_a_message_that_its_role_does_not_allow_is_refused(message: Any) -> None:
    with pytest.raises(ValidationError):
        ChatMessage.model_validate(message)


def test_the_parts_of_a_message_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert ChatMessage.model_validate({"role": "user", "content": parts}).text == "ab"


def test_unknown_keys_of_a_request_are_its_extra() -> None:
    assert request_of(n=1, top_k=5).extra == {"n": 1, "top_k": 5}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": None, "usage": None},
        {"choices": [{}]},
        {"choices": [{"index": None, "message": None, "finish_reason": None}]},
        {"choices": [{"message": {"role": None, "content": None, "tool_calls": None}}]},
        {"created": 1.5, "choices": [{"finish_reason": "something new", "surprise": {"deep": [1]}}]},
        {"usage": {"prompt_tokens": None}},
    ],
)
def test_an_answer_with_parts_missing_or_null_is_read(body: dict[str, Any]) -> None:
    ChatCompletion.model_validate(body)


def test_a_finish_reason_that_nobody_knows_is_kept() -> None:
    read = ChatCompletion.model_validate({"choices": [{"finish_reason": "eclipse"}]})
    assert read.choices[0].finish_reason == "eclipse"


def test_unknown_keys_of_an_answer_stay_reachable() -> None:
    read = ChatCompletion.model_validate({"choices": [{"message": {"content": "x", "mood": "good"}}]})
    assert read.choices[0].message.model_extra == {"mood": "good"}


def test_wire_objects_can_not_be_changed() -> None:
    usage = WireUsage(prompt_tokens=1)
    with pytest.raises(ValidationError):
        usage.prompt_tokens = 2


def test_roles_are_their_wire_words() -> None:
    assert [role.value for role in Role] == ["system", "user", "assistant", "tool"]
