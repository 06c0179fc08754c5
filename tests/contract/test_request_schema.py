"""Each field of a chat request at the edges of its range: taken, or refused with the container's very details.

Types and words are those that pydantic and FastAPI give to the container's model (its source), not of our invention.
"""

from __future__ import annotations

from typing import Any

import pytest

from phi_client.contract.service.refusals import RefusedError
from phi_client.contract.service.request_body import validated_request

USER = {"role": "user", "content": "x"}
ASSISTANT = {"role": "assistant", "content": None}
PARTS = "list[function-after[validate_content_part(), ContentPart]]"
NO_STRING = "Input should be a valid string"
NO_OBJECT = "Input should be a valid dictionary or object to extract fields from"
NO_NUMBER = "Input should be a valid number"


def part(**members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [members]}]}


def call(**function: Any) -> dict[str, Any]:
    return {"messages": [ASSISTANT | {"tool_calls": [{"id": "1", "type": "function", "function": function}]}]}


def detail(kind: str, loc: tuple[str | int, ...], msg: str, given: Any, **ctx: Any) -> dict[str, Any]:
    return {"type": kind, "loc": ["body", *loc], "msg": msg, "input": given} | ({"ctx": ctx} if ctx else {})


def value_error(loc: tuple[str | int, ...], msg: str, given: Any) -> dict[str, Any]:
    return detail("value_error", loc, f"Value error, {msg}", given, error={})


def at_least(name: str, given: float, limit: float) -> dict[str, Any]:
    return detail(
        "greater_than_equal", (name,), f"Input should be greater than or equal to {limit:g}", given, ge=limit
    )


def at_most(name: str, given: float, limit: float) -> dict[str, Any]:
    return detail(
        "less_than_equal", (name,), f"Input should be less than or equal to {limit:g}", given, le=limit
    )


def body_of(fields: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [USER]} | fields


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0}, {"temperature": 1}, {"temperature": "0.5"},
        {"top_p": 0}, {"top_p": 1},
        {"presence_penalty": -2}, {"presence_penalty": 2}, {"frequency_penalty": -2}, {"frequency_penalty": 2},
        {"max_tokens": 0}, {"max_tokens": 2**31 - 1}, {"max_tokens": None}, {"max_tokens": 5.0},
        {"seed": -(2**63)}, {"seed": 2**63 - 1}, {"seed": None},
        {"stop": "."}, {"stop": [".", "!"]}, {"stop": None},
        {"stream": True}, {"stream": None}, {"model": "anything"}, {"model": None},
        {"response_format": {"type": "text"}}, {"response_format": {"type": "JSON_OBJECT"}}, {"response_format": None},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"messages": [{"role": "system", "content": "x"}, USER, {"role": "assistant"}]},
        {"messages": [USER, {"role": "tool", "tool_call_id": "1"}]},
        part(type="text", text="x"),
        part(type="image_url", image_url={"url": "https://x/y.png", "detail": "low"}),
        part(type="audio_url", audio_url={"url": "https://x/y.wav"}),
        part(type="input_audio", input_audio={"data": "UklG", "format": "wav"}),
        call(name="a_function-1", arguments="{}"),
        call(name="f", arguments={"x": 1}),
        {"messages": [USER | {"name": "somebody"}]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_request_inside_the_schema_is_taken(fields: dict[str, Any]) -> None:
    request = validated_request(body_of(fields))
    assert request.model_fields_set == set(body_of(fields))


def test_what_is_not_given_has_the_default_of_the_schema() -> None:
    request = validated_request({"messages": [USER]})
    assert (request.temperature, request.top_p) == (0.7, 1)
    assert (request.presence_penalty, request.frequency_penalty) == (0, 0)
    assert request.to_wire() == {"messages": [USER]}


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"temperature": 1.01}, [at_most("temperature", 1.01, 1.0)]),
        ({"temperature": -0.01}, [at_least("temperature", -0.01, 0.0)]),
        ({"temperature": None}, [detail("float_type", ("temperature",), NO_NUMBER, None)]),
        ({"temperature": "hot"}, [
            detail("float_parsing", ("temperature",), f"{NO_NUMBER}, unable to parse string as a number", "hot")
        ]),
        ({"top_p": 1.01}, [at_most("top_p", 1.01, 1.0)]),
        ({"top_p": -1}, [at_least("top_p", -1, 0.0)]),
        ({"presence_penalty": 2.1}, [at_most("presence_penalty", 2.1, 2.0)]),
        ({"presence_penalty": None}, [detail("float_type", ("presence_penalty",), NO_NUMBER, None)]),
        ({"frequency_penalty": -2.1}, [at_least("frequency_penalty", -2.1, -2.0)]),
        ({"max_tokens": -1}, [at_least("max_tokens", -1, 0)]),
        ({"max_tokens": 1.5}, [
            detail("int_from_float", ("max_tokens",),
                   "Input should be a valid integer, got a number with a fractional part", 1.5)
        ]),
        ({"stream": "maybe"}, [
            detail("bool_parsing", ("stream",), "Input should be a valid boolean, unable to interpret input", "maybe")
        ]),
        ({"stop": 5}, [
            detail("string_type", ("stop", "str"), NO_STRING, 5),
            detail("list_type", ("stop", "list[str]"), "Input should be a valid list", 5),
        ]),
        ({"model": 5}, [detail("string_type", ("model",), NO_STRING, 5)]),
        ({"response_format": {"type": "json_schema"}}, [
            value_error(("response_format", "type"),
                        "Response format was json_schema but must be either 'text' or 'json_object'.", "json_schema")
        ]),
        ({"response_format": "text"}, [detail("model_attributes_type", ("response_format",), NO_OBJECT, "text")]),
        ({"response_format": {}}, [detail("missing", ("response_format", "type"), "Field required", {})]),
        ({"messages": []}, [value_error(("messages",), "messages can not be an empty list", [])]),
        ({"messages": "x"}, [detail("list_type", ("messages",), "Input should be a valid list", "x")]),
        ({"messages": ["x"]}, [detail("model_attributes_type", ("messages", 0), NO_OBJECT, "x")]),
        ({"messages": [{"content": "x"}]}, [
            detail("missing", ("messages", 0, "role"), "Field required", {"content": "x"})
        ]),
        ({"messages": [{"role": "developer", "content": "x"}]}, [
            detail("enum", ("messages", 0, "role"), "Input should be 'system', 'user', 'assistant' or 'tool'",
                   "developer", expected="'system', 'user', 'assistant' or 'tool'")
        ]),
        ({"messages": [{"role": "user", "content": 5}]}, [
            detail("string_type", ("messages", 0, "content", "str"), NO_STRING, 5),
            detail("list_type", ("messages", 0, "content", PARTS), "Input should be a valid list", 5),
        ]),
    ],
    ids=repr,
)  # fmt: skip
def test_a_request_outside_the_schema_is_refused_in_detail(
    fields: dict[str, Any], details: list[dict[str, Any]]
) -> None:
    assert details_of(body_of(fields)) == details


@pytest.mark.parametrize("kind", ["text", "image", "image_url", "audio_url", "input_audio"])
def test_a_part_without_what_it_announces_is_refused(kind: str) -> None:
    body = part(type=kind)
    assert details_of(body)[1:] == [
        value_error(
            ("messages", 0, "content", PARTS, 0),
            f"Content part type is {kind} but {kind} is not provided.",
            {"type": kind},
        )
    ]


def test_a_part_of_a_kind_that_is_not_known_is_refused() -> None:
    kinds = "'text', 'image', 'image_url', 'audio_url' or 'input_audio'"
    assert details_of(part(type="video", video="x"))[1:] == [
        detail(
            "enum",
            ("messages", 0, "content", PARTS, 0, "type"),
            f"Input should be {kinds}",
            "video",
            expected=kinds,
        )
    ]


@pytest.mark.parametrize("name", ["", "a b", "x" * 65])
def test_a_function_has_a_name_that_programs_allow(name: str) -> None:
    (only,) = details_of(call(name=name, arguments="{}"))
    assert only["loc"] == ["body", "messages", 0, "tool_calls", 0, "function", "name"]
    assert only["msg"].startswith(f"Value error, Function name was {name} but must be")


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 2**31}, {"seed": 2**63}, {"seed": -(2**63) - 1}, {"stop": []}, {"tools": []},
        {"messages": [{"role": "user"}]}, {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [ASSISTANT | {"tool_calls": [{"type": "function", "function": {"name": "f", "arguments": ""}}]}]},
        {"messages": [{"role": "system", "content": [{"type": "text", "text": "x"}]}]},
    ],
    ids=repr,
)  # fmt: skip
def test_what_only_the_openapi_forbids_is_refused_too(fields: dict[str, Any]) -> None:
    """The container's model is laxer here, so the words are ours: the status and the envelope are what holds."""
    assert details_of(body_of(fields))


def details_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    with pytest.raises(RefusedError) as caught:
        validated_request(body)
    refusal = caught.value.refusal
    assert refusal.status == 422
    assert isinstance(refusal.body, dict)
    error = refusal.body["error"]
    assert (error["code"], error["status"], error["message"]) == ("Invalid input", 422, "invalid input error")
    return list(error["details"])
