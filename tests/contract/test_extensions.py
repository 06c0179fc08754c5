"""What an emulator with extensions takes: shapes and their edges; without them nothing more than before is taken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from phi_client.contract.parameters import EXTRA_PARAMETERS
from phi_client.contract.service import FOUNDRY_MODELS, SERVERLESS, SURFACES, Surface
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.extensions import Wishes, read_wishes
from phi_client.contract.service.refusals import RefusedError
from phi_client.contract.service.request_body import validated_request

USER = {"role": "user", "content": "x"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "g"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "integer"}}}


def read(fields: dict[str, Any]) -> Wishes:
    return read_wishes(validated_request({"messages": [USER]} | fields, extended=True))


def refusal(fields: dict[str, Any]) -> list[tuple[list[Any], str]]:
    with pytest.raises(RefusedError) as caught:
        read(fields)
    assert caught.value.refusal.status == 422
    body = json.loads(json.dumps(caught.value.refusal.body))
    return [(item["loc"], item["msg"]) for item in body["error"]["details"]]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "text"),
        ({"response_format": None}, "text"),
        ({"response_format": {"type": "text"}}, "text"),
        ({"response_format": {"type": "JSON_OBJECT"}}, "json_object"),
        ({"response_format": SCHEMA}, "json_schema"),
        ({"response_format": {"type": "regex", "regex": "a|b"}}, "regex"),
    ],
)
def test_a_format_is_read_in_either_case(fields: dict[str, Any], kind: str) -> None:
    assert read(fields).format == kind


def test_a_form_has_its_schema_or_expression() -> None:
    assert read({"response_format": SCHEMA}).schema_of_answer == {"type": "integer"}
    assert read({"response_format": {"type": "json_object"}}).schema_of_answer == {"type": "object"}
    assert read({"response_format": {"type": "regex", "regex": "a|b"}}).pattern == "a|b"


@pytest.mark.parametrize(
    ("choice", "names", "must", "single"),
    [
        (None, ["f", "g"], False, False),
        ("auto", ["f", "g"], False, False),
        ("none", [], False, False),
        ("required", ["f", "g"], True, False),
        ({"type": "function", "function": {"name": "g"}}, ["g"], True, True),
    ],
)
def test_a_choice_decides_what_may_and_must_be_called(
    choice: object, names: list[str], must: bool, single: bool
) -> None:
    wishes = read({"tools": [FUNCTION, OTHER], "tool_choice": choice})
    assert [one.name for one in wishes.functions] == names
    assert (wishes.must_call, wishes.single_call) == (must, single)


def test_calls_beside_one_another_can_be_declined() -> None:
    assert read({"tools": [FUNCTION], "parallel_tool_calls": False}).single_call


@pytest.mark.parametrize(
    ("fields", "loc", "words"),
    [
        ({"response_format": {"type": "xml"}}, ["response_format", "type"], "'json_schema' or 'regex'"),
        ({"response_format": {"type": "regex"}}, ["response_format"], "regex is not provided"),
        ({"response_format": {"type": "json_schema"}}, ["response_format"], "json_schema is not provided"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "s"}}},
            ["response_format", "json_schema", "schema"],
            "Field required",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            ["response_format", "json_schema", "name"],
            "match pattern",
        ),
        ({"tools": [{"type": "x", "function": {"name": "f"}}]}, ["tools", 0, "type"], "'function'"),
        ({"tools": [{"type": "function"}]}, ["tools", 0, "function"], "Field required"),
        ({"tools": [FUNCTION, FUNCTION]}, [], "different names"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]},
            ["tools", 0, "function"],
            "schema of an object",
        ),
        ({"tool_choice": "auto"}, [], "only allowed when tools"),
        ({"tools": [FUNCTION], "tool_choice": "some"}, ["tool_choice"], "'required'"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "h"}}},
            [],
            "'h', which is not in tools",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(fields: dict[str, Any], loc: list[Any], words: str) -> None:
    told = refusal(fields)
    assert any(place[: 1 + len(loc)] == ["body", *loc] and words in message for place, message in told), told


@pytest.mark.parametrize("kind", ["json_schema", "regex"])
def test_without_extensions_a_format_is_refused_in_the_containers_words(kind: str) -> None:
    with pytest.raises(RefusedError) as caught:
        validated_request({"messages": [USER], "response_format": {"type": kind}})
    assert "must be either 'text' or 'json_object'." in json.dumps(caught.value.refusal.body)


@pytest.mark.parametrize("dialect", SURFACES.values(), ids=lambda dialect: dialect.name)
def test_a_surface_takes_forms_only_where_it_is_told_to(dialect: Surface) -> None:
    assert not dialect.has_extensions
    body = json.dumps(
        {"messages": [USER], "model": "m", "response_format": SCHEMA, "tools": [FUNCTION]}
    ).encode()
    with pytest.raises(RefusedError):
        dialect.read_chat_request({}, body)
    request = replace(dialect, has_extensions=True).read_chat_request({}, body)
    assert read_wishes(request).format == "json_schema"


@pytest.mark.parametrize("dialect", [SERVERLESS, FOUNDRY_MODELS], ids=lambda dialect: dialect.name)
def test_dropping_unknown_parameters_keeps_a_form(dialect: Surface) -> None:
    body = json.dumps({"messages": [USER], "model": "m", "response_format": SCHEMA, "n": 1}).encode()
    request = replace(dialect, has_extensions=True).read_chat_request({EXTRA_PARAMETERS: "drop"}, body)
    assert request.extra == {}
    assert read_wishes(request).format == "json_schema"


def test_a_plain_request_wishes_nothing() -> None:
    assert read_wishes(ChatRequest.model_validate({"messages": [USER]})) == Wishes()
