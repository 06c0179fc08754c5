"""The emulator against the official OpenAPI: schemathesis makes requests in and out of the schema, and checks answers.

Where Azure itself does not keep to the file, or the file not to itself, the difference stands in one of the tables or
functions below, with its reason, and is held as narrowly as it can be said. Whatever is in none of them fails.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, cast

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import TypeAdapter, ValidationError
from schemathesis.core.failures import Failure, FailureGroup

from phi_client.contract.events import DONE, EventDecoder
from tests.conformance.conftest import serving
from tests.together.conftest import Running

Case: TypeAlias = schemathesis.Case[Any]
SPEC: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("openapi-2024-05-01-preview.json").read_text(encoding="utf-8")
)
VERSION: Final[str] = SPEC["info"]["version"]
PLACES: Final = ("/serverless", "/models")


def completed(spec: dict[str, Any]) -> dict[str, Any]:
    """The file with what it says in prose or by discriminators said in its schemas, so that requests make sense."""
    spec = copy.deepcopy(spec)
    kinds = spec["definitions"]
    # Any text is a version there; a service takes those that it knows.
    spec["parameters"]["Azure.Core.Foundations.ApiVersionParameter"]["enum"] = [VERSION]
    for base, key in (("ChatRequestMessage", "role"), ("ChatCompletionsResponseFormat", "type")):
        forms: list[dict[str, Any]] = []
        for kind in kinds.values():
            if {"$ref": f"#/definitions/{base}"} in kind.get("allOf", []):
                named = {key: {"type": "string", "enum": [kind["x-ms-discriminator-value"]]}}
                required = [key, *kind.get("required", [])]
                forms.append(
                    {"type": "object", "properties": kind.get("properties", {}) | named, "required": required}
                )
        kinds[base] = {"anyOf": forms}
    # "Array of content items or a string", in the description only.
    text = {"type": {"type": "string", "enum": ["text"]}, "text": {"type": "string", "minLength": 1}}
    part = {"type": "object", "properties": text, "required": ["type", "text"]}
    for form in kinds["ChatRequestMessage"]["anyOf"]:
        if form["properties"]["role"]["enum"] == ["user"]:
            form["properties"]["content"] = {
                "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": part}]
            }
    # Read-only in the file, although the history of a conversation sends them back.
    for member in kinds["FunctionCall"]["properties"].values():
        member.pop("readOnly", None)
    # The file gives chunks the name of whole answers; clients and recordings know another.
    kinds["StreamingChatCompletionsUpdate"]["properties"]["object"]["enum"] = ["chat.completion.chunk"]
    # The file gives no type here; the prose names a preset or a function.
    kinds["ChatCompletionsOptions"]["properties"]["tool_choice"] = {
        "type": "string",
        "enum": ["auto", "none"],
    }
    return spec


def supported(spec: dict[str, Any]) -> dict[str, Any]:
    """The completed file without what this model refuses, or this emulator does by a deviation."""
    spec = copy.deepcopy(spec)
    options = spec["definitions"]["ChatCompletionsOptions"]
    options["additionalProperties"] = False
    options["required"] = [*options["required"], "model"]
    kept = options["properties"]
    for name in ("tools", "tool_choice", "modalities", "presence_penalty", "frequency_penalty"):
        del kept[name]
    kept["response_format"] = {
        "type": "object",
        "properties": {"type": {"enum": ["text"]}},
        "required": ["type"],
    }
    kept["max_tokens"]["minimum"] = 1
    kept["top_p"]["exclusiveMinimum"] = True
    kept["stop"]["items"] = {"type": "string", "minLength": 1}
    forms = spec["definitions"]["ChatRequestMessage"]["anyOf"]
    forms[:] = [form for form in forms if form["properties"]["role"]["enum"] != ["developer"]]
    call = spec["definitions"]["FunctionCall"]
    call["required"] = ["name", "arguments"]
    call["properties"]["name"]["pattern"] = "^[a-zA-Z0-9_-]{1,64}$"
    return spec


def whole_answers(spec: dict[str, Any]) -> dict[str, Any]:
    """The file without streams, which schemathesis leaves before their end: they have a check of their own."""
    spec = copy.deepcopy(spec)
    spec["definitions"]["ChatCompletionsOptions"]["properties"]["stream"] = {
        "type": "boolean",
        "enum": [False],
    }
    return spec


COMPLETED: Final = completed(SPEC)
SCHEMA: Final = schemathesis.openapi.from_dict(whole_answers(COMPLETED))
SUPPORTED: Final = schemathesis.openapi.from_dict(supported(whole_answers(COMPLETED)))


def with_nulls(schema: Any) -> Any:
    """Plain JSON Schema for what the file says with `x-nullable`."""
    if isinstance(schema, list):
        return [with_nulls(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: with_nulls(member) for name, member in schema.items()}
    return {"anyOf": [plain, {"type": "null"}]} if plain.pop("x-nullable", False) is True else plain


def validator(kind: str) -> jsonschema_rs.Draft4Validator:
    kinds = with_nulls(COMPLETED["definitions"])
    return jsonschema_rs.Draft4Validator({"$ref": f"#/definitions/{kind}", "definitions": kinds})


OPTIONS: Final = validator("ChatCompletionsOptions")
COMPLETION: Final = validator("ChatCompletions")
CHUNK: Final = validator("StreamingChatCompletionsUpdate")


class Known(NamedTuple):
    """A difference between the file and Azure: how an answer shows it, and why it is right."""

    shows: str
    reason: str


REFUSED_THOUGH_VALID: Final = (
    Known(
        r"Extra parameters \[", "the default of `extra-parameters` is to refuse; `modalities` counts as extra"
    ),
    Known("Tools and tool_choice are not supported", "this model has no tools (model catalogue)"),
    Known('"code":"parameter_not_supported"', "this model answers in text only (model catalogue)"),
    Known("Response format was json_schema", "the container knows two formats (its source)"),
    Known("Input should be 'system', 'user', 'assistant' or 'tool'", "no `developer` (reported live)"),
    Known("_penalty is not supported by the emulator", "a deviation that is documented"),
    Known("max_tokens must be at least 1", "the engine refuses what the schema allows"),
    Known(r"top_p must be in \(0, 1\]", "the engine refuses what the schema allows"),
    Known("stop cannot contain an empty string", "the engine refuses what the schema allows"),
    Known("Function name was", "the container's rule for names (its source)"),
    Known(
        r'"function", "(name|arguments)"\], "msg": "Field required"',
        "a call without them is none (container's source)",
    ),
    Known(
        "No model specified in request",
        "`/models` wants a model (reported live), the file leaves it optional",
    ),
)
"""Valid by the file, refused by the service: what its answer says."""

OTHER_ENVELOPES: Final = (
    Known(r'^\{"detail":"', "the container's own refusals (its source)"),
    Known(
        r'^\{"error":\{"code":"Invalid input","status":422,', "details are pydantic's, not the file's `Error`"
    ),
    Known(r'^\{"error":\{"code":"no_model_name",', "`details` is a text (reported live)"),
    Known(r'^\{"status":422,"code":"parameter_not_supported"', "flat, as documented for the same API"),
    Known(r'^\{"status":"', "the front door of serverless (reported live)"),
)
"""Errors whose body is not the file's `ErrorResponse`."""

NULLABLE: Final = ("max_tokens", "stop", "seed", "stream", "response_format", "tools", "tool_choice", "model")
COERCED: Final[Mapping[str, TypeAdapter[Any]]] = {
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), TypeAdapter(float)),
    **dict.fromkeys(("max_tokens", "seed"), TypeAdapter(int)),
    "stream": TypeAdapter(bool),
}


def as_the_container_reads(body: object) -> object:
    """What pydantic makes of a body before it judges: optional keys may be null, `"1"` is a number, `stop` a string."""
    if not isinstance(body, dict):
        return body
    read = {name: value for name, value in body.items() if value is not None or name not in NULLABLE}
    for name, reader in COERCED.items():
        if read.get(name) is not None:
            try:
                read[name] = reader.validate_python(read[name])
            except ValidationError:
                continue
    if isinstance(read.get("stop"), str):
        read["stop"] = [read["stop"]]
    if isinstance(read.get("messages"), list):
        read["messages"] = [_message_as_read(message) for message in read["messages"]]
    return read


def _message_as_read(message: object) -> object:
    if not isinstance(message, dict):
        return message
    # The container knows no `audio` of a message, so that it may be anything.
    read = {name: value for name, value in message.items() if value is not None and name != "audio"}
    if isinstance(read.get("tool_calls"), list):
        read["tool_calls"] = [_call_as_read(call) for call in read["tool_calls"]]
    return read


def _call_as_read(call: Any) -> object:
    """Arguments may be an object as well as its JSON."""
    try:
        is_object = isinstance(call["function"]["arguments"], dict)
    except (KeyError, TypeError):
        return call
    return {**call, "function": {**call["function"], "arguments": "{}"}} if is_object else call


def is_known(failure: Failure, case: Case, response: schemathesis.Response, place: str) -> bool:
    """True when one of the tables, or one of the rules below, explains a failure."""
    kind, text = type(failure).__name__, response.text
    status = response.status_code
    if kind == "RejectedPositiveData":
        return _all_known(response, REFUSED_THOUGH_VALID)
    if kind == "AcceptedNegativeData":
        return _is_wrong_for_the_file_alone(case, place)
    if kind == "JsonSchemaError" and status >= 400:
        return any(re.search(known.shows, text) for known in OTHER_ENVELOPES)
    if response.headers["content-type"] == ["text/event-stream; charset=utf-8"]:
        # A body that is wrong only in that it wants a stream gets one; the file forgets that an answer may be one.
        return status == 200 and kind in ("JsonSchemaError", "UndefinedContentType")
    if kind == "JsonSchemaError":
        # Recorded from a Phi deployment, although the file's object is not nullable.
        return place == "/serverless" and _is_valid_but_for_null_details(response)
    return False


def _is_wrong_for_the_file_alone(case: Case, place: str) -> bool:
    """True when each part of a request that the file calls wrong is one that the service takes."""
    wrong = {location.value for location, component in _components(case) if component.mode.is_negative}
    policy = dict(case.headers or {}).get("extra-parameters", "error")
    takes = {
        "body": lambda: OPTIONS.is_valid(as_the_container_reads(case.body)),
        # Unknown parameters are ignored everywhere, and serverless answers without a version (seen to work).
        "query": lambda: place == "/serverless" or _has_version(case),
        "header": lambda: policy in ("error", "drop", "pass-through"),
    }
    return all(takes[part]() for part in wrong)


def _components(case: Case) -> list[tuple[Any, Any]]:
    return [] if case.meta is None else list(case.meta.components.items())


def _has_version(case: Case) -> bool:
    return dict(case.query or {}).get("api-version") == VERSION


def _all_known(response: schemathesis.Response, table: tuple[Known, ...]) -> bool:
    """True when the refusal, or every single detail of it, is in the table."""
    body = response.json()
    error = body.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    said = [json.dumps(item) for item in details] if isinstance(details, list) else [response.text]
    return all(any(re.search(known.shows, text) for known in table) for text in said)


def _is_valid_but_for_null_details(response: schemathesis.Response) -> bool:
    body = response.json()
    if body["usage"].pop("prompt_tokens_details", "missing") is not None:
        return False
    return COMPLETION.is_valid(body)


@pytest.fixture(scope="module")
def roomy() -> Iterator[Running]:
    """An emulator that takes any request that schemathesis makes up."""
    with serving(context_tokens=131_072, max_body_bytes=4 * 1024 * 1024) as running:
        yield running


BOUNDED: Final = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def answer(case: Case, running: Running, place: str) -> schemathesis.Response:
    key = running.emulator.key
    headers = {"Authorization": f"Bearer {key}", "api-key": key}
    return case.call(base_url=running.emulator.root + place, headers=headers)


def unexplained(case: Case, response: schemathesis.Response, place: str) -> Sequence[Failure]:
    """What is wrong with an answer and in no table."""
    try:
        case.validate_response(response)
    except FailureGroup as group:
        found = cast("Sequence[Failure]", group.exceptions)
        return [failure for failure in found if not is_known(failure, case, response, place)]
    return []


@pytest.mark.parametrize("place", PLACES)
@SCHEMA.include(path=["/chat/completions", "/info"]).parametrize()
@settings(BOUNDED, max_examples=30)
def test_every_answer_is_as_the_file_or_a_table_says(case: Case, place: str, roomy: Running) -> None:
    response = answer(case, roomy, place)
    assert response.status_code < 500
    assert unexplained(case, response, place) == [], case.as_curl_command()


@pytest.mark.parametrize("place", PLACES)
@SUPPORTED.include(path="/chat/completions").parametrize()
@settings(BOUNDED, max_examples=30)
def test_what_this_model_supports_is_answered_and_nothing_else(
    case: Case, place: str, roomy: Running
) -> None:
    response = answer(case, roomy, place)
    assert case.meta is not None
    assert response.status_code == 200 or case.meta.generation.mode.is_negative, response.text
    assert response.status_code < 500
    assert unexplained(case, response, place) == [], case.as_curl_command()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "options",
    [{}, {"max_tokens": 1}, {"stop": ["</think>"]}, {"temperature": 0, "top_p": 0.1, "seed": 1}],
    ids=repr,
)
def test_every_chunk_of_a_stream_is_as_the_file_says(
    roomy: Running, place: str, options: dict[str, Any]
) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "model": "m", "stream": True} | options
    headers = {"api-key": roomy.emulator.key}
    given = roomy.http.post(
        f"{place}/chat/completions", json=body, headers=headers, params={"api-version": VERSION}
    )
    *chunks, last = EventDecoder().feed(given.content)
    assert (len(chunks) > 1, last.data) == (True, DONE)
    for chunk in chunks:
        value = json.loads(chunk.data)
        if place == "/models":
            # Sent with null where they are empty (a DeepSeek deployment, reported), which the file does not allow.
            delta = value["choices"][0]["delta"]
            for holder, name in ((value, "usage"), (delta, "role"), (delta, "tool_calls")):
                holder.pop(name) if holder[name] is None else None
        assert [error.message for error in CHUNK.iter_errors(value)] == []


@pytest.mark.parametrize("path", ["/embeddings", "/images/embeddings"])
@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("/serverless", b"NOT FOUND"),
        ("/models", b'{"error":{"code":"404","message":"Resource not found"}}'),
    ],
)
def test_embeddings_are_not_there_as_recorded(roomy: Running, place: str, path: str, body: bytes) -> None:
    headers = {"api-key": roomy.emulator.key}
    given = roomy.http.post(
        place + path, json={"input": ["x"]}, headers=headers, params={"api-version": VERSION}
    )
    assert (given.status_code, given.content) == (404, body)
