"""What the schema allows and this engine can't do is refused in words, never ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.validation import check_supported, read_chat_request, read_score_request

from phi_client.contract.service import (
    FOUNDRY_MODELS,
    MANAGED_COMPUTE,
    MANAGED_COMPUTE_OLDER,
    OPENAI_V1,
    SERVERLESS,
    Surface,
    older_form,
)
from phi_client.contract.service.chat import ChatRequest

QUESTION = [{"role": "user", "content": "six times seven"}]
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -2}, "frequency_penalty"),
        ({"tools": [TOOL]}, "Tools and tool_choice are not supported."),
        ({"tool_choice": "auto"}, "Tools and tool_choice are not supported."),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, "is not a multimodal model"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0."),
        ({"top_p": 0}, "top_p must be in (0, 1]"),
        ({"stop": ["a", ""]}, "empty string"),
    ],
)
def test_it_is_refused_with_400(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ServiceError) as raised:
        check_supported(MANAGED_COMPUTE, ChatRequest.model_validate({"messages": QUESTION} | options))
    assert raised.value.refusal.status == 400
    assert raised.value.refusal.by_model
    assert words in str(raised.value.refusal.body)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"presence_penalty": 0, "frequency_penalty": 0.0},
        {"response_format": {"type": "Text"}},
        {"response_format": {"type": "JSON_object"}},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"max_tokens": 1, "top_p": 1, "temperature": 0, "stop": ["a"], "seed": 1, "stream": True},
    ],
)
def test_it_is_accepted(options: dict[str, Any]) -> None:
    check_supported(MANAGED_COMPUTE, ChatRequest.model_validate({"messages": QUESTION} | options))


@pytest.mark.parametrize("dialect", [SERVERLESS, FOUNDRY_MODELS, OPENAI_V1], ids=lambda dialect: dialect.name)
def test_a_form_is_refused_where_none_is_documented_and_the_parameter_is_named(dialect: Surface) -> None:
    asked = ChatRequest.model_validate({"messages": QUESTION, "response_format": {"type": "json_object"}})
    with pytest.raises(ServiceError) as raised:
        check_supported(dialect, asked)
    refusal = raised.value.refusal
    assert refusal.status == (400 if dialect is OPENAI_V1 else 422)
    named = cast("dict[str, Any]", refusal.body)
    assert named["error"]["param"] == "response_format" if dialect is OPENAI_V1 else True
    assert "response_format" in str(named)


def budget(
    dialect: Surface, route: str | None = None, headers: Mapping[str, str] = {}, **more: Any
) -> int | None:
    """The `max_tokens` that a request comes to."""
    body = json.dumps({"model": "m", "messages": QUESTION} | more).encode()
    return read_chat_request(dialect, headers, body, route or dialect.chat_routes[0]).max_tokens


KNOWN = [
    (OPENAI_V1, "/openai/v1/chat/completions", {}),
    (older_form(OPENAI_V1), "/openai/deployments/m/chat/completions", {}),
    (SERVERLESS, "/v1/chat/completions", {}),
    (MANAGED_COMPUTE, "/chat/completions", {}),
    (MANAGED_COMPUTE, "/v1/chat/completions", {}),
    (MANAGED_COMPUTE_OLDER, "/v1/chat/completions", {}),
    (SERVERLESS, "/chat/completions", {"extra-parameters": "pass-through"}),
    (FOUNDRY_MODELS, "/models/chat/completions", {"extra-parameters": "pass-through"}),
]


@pytest.mark.parametrize(("dialect", "route", "headers"), KNOWN)
def test_the_newer_name_of_max_tokens_is_honoured_where_it_passes(
    dialect: Surface, route: str, headers: dict[str, str]
) -> None:
    assert budget(dialect, route, headers, max_completion_tokens=7) == 7
    assert budget(dialect, route, headers, max_completion_tokens=7, max_tokens=9) == 7
    assert budget(dialect, route, headers, max_completion_tokens=None, max_tokens=9) == 9
    wrongs: list[object] = [-1, 2**31, "many", 1.5, [], {"a": 1}]
    for wrong in wrongs:
        with pytest.raises(ServiceError) as raised:
            budget(dialect, route, headers, max_completion_tokens=wrong)
        assert raised.value.refusal.status == 422
        assert "'loc': ['body', 'max_completion_tokens']" in str(raised.value.refusal.body)
    with pytest.raises(ServiceError) as zero:
        budget(dialect, route, headers, max_completion_tokens=0)
    assert zero.value.refusal.status == 400


def test_the_newer_name_is_an_unknown_one_where_none_passes() -> None:
    for dialect in (SERVERLESS, FOUNDRY_MODELS, MANAGED_COMPUTE_OLDER):
        with pytest.raises(ServiceError) as raised:
            budget(dialect, max_completion_tokens=7)
        assert raised.value.refusal.status == 400
        assert budget(dialect, None, {"extra-parameters": "drop"}, max_completion_tokens=7) is None


NULLABLE = ["temperature", "top_p", "presence_penalty", "frequency_penalty"]


@pytest.mark.parametrize("name", NULLABLE)
def test_null_is_the_default_where_a_number_may_be_null(name: str) -> None:
    body = json.dumps({"model": "m", "messages": QUESTION, name: None}).encode()
    for dialect in (OPENAI_V1, older_form(OPENAI_V1)):
        request = read_chat_request(dialect, {}, body, dialect.chat_routes[0])
        assert getattr(request, name) == ChatRequest.model_fields[name].default
    for dialect in (SERVERLESS, MANAGED_COMPUTE, FOUNDRY_MODELS):
        with pytest.raises(ServiceError) as raised:
            read_chat_request(dialect, {}, body, dialect.chat_routes[0])
        assert raised.value.refusal.status == 422


@pytest.mark.parametrize("role", ["system", "assistant", "tool", "user"])
@pytest.mark.parametrize("many", [1, 1000])
def test_parts_of_text_are_taken_for_every_role_where_the_schema_has_them(role: str, many: int) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    said = {"role": role, "content": parts, **({"tool_call_id": "1"} if role == "tool" else {})}
    body = json.dumps({"model": "m", "messages": [said] * many}).encode()
    for dialect in (OPENAI_V1, older_form(OPENAI_V1), MANAGED_COMPUTE, MANAGED_COMPUTE_OLDER):
        read = read_chat_request(dialect, {"extra-parameters": "drop"}, body, dialect.chat_routes[0])
        assert [message.text for message in read.messages] == ["ab"] * many
    for dialect in (SERVERLESS, FOUNDRY_MODELS):
        if role == "user":
            read_chat_request(dialect, {}, body, dialect.chat_routes[0])
            continue
        with pytest.raises(ServiceError) as raised:
            read_chat_request(dialect, {}, body, dialect.chat_routes[0])
        assert raised.value.refusal.status == 422


def test_score_takes_parts_as_the_chat_route_does() -> None:
    parts = [{"type": "text", "text": "a"}]
    body = {"input_data": {"input_string": [{"role": "system", "content": parts}], "parameters": {}}}
    assert read_score_request(MANAGED_COMPUTE, json.dumps(body).encode()).messages[0].text == "a"
