"""Reading the body of a chat request as the services do: JSON, the schema, and keys outside it.

It must not know which surface reads: a surface says which policy holds where the caller names none.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, Final, cast

from pydantic import Field, ValidationError

from phi_client.contract.messages import ChatMessage, ContentPart, MessageToolCall
from phi_client.contract.parameters import EXTRA_PARAMETERS, ParameterPolicy
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.extensions import EXTENDED_FORMATS
from phi_client.contract.service.refusals import (
    RefusedError,
    invalid_input,
    unexpected_policy,
    unknown_parameters,
)
from phi_client.contract.wire import get_header
from phi_client.contract.wire_model import WireModel

__all__ = ["BadTextError", "apply_policy", "read_json", "validated_request", "with_newer_names"]

_MOST_DEPTH: Final = 200
"""Levels of objects and lists in a body. Python reads several times as many, pydantic writes 255."""

_MOST_VALUES: Final = 50_000
"""Values in a body. Reading that many takes a tenth of a second, and no context holds as many messages."""

_FEW_VALUES: Final = 2_000
"""Up to here all that is wrong with a body is found at once; beyond, message by message."""

_NULLABLE: Final = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty"})
"""Numbers with a default: `null` is taken for it by the v1 API (shown for `top_p` by its reference, else inferred)."""

_MOST_DETAILS: Final = 50
"""Errors that a 422 lists."""

_MARK: Final = re.compile(r'"(?:[^"\\]++|(?:\\.)++)*+(?:"|\\?\Z)|[\[{,]', re.DOTALL)
"""A string, or what begins a value that isn't the first of its list."""

_POLICIES: Final[tuple[ParameterPolicy, ...]] = ("error", "drop", "pass-through")


def apply_policy(
    request: ChatRequest, headers: Mapping[str, str], *, default: ParameterPolicy, never_refuses: bool
) -> ChatRequest:
    """`request` with its unknown keys kept or dropped as the header says, or as `default` does.

    Raises:
        RefusedError: the policy is to refuse, or the header names no policy.
    """
    given = get_header(headers, EXTRA_PARAMETERS)
    if given is not None and given not in _POLICIES:
        raise RefusedError(unexpected_policy(given))
    policy = given or default
    if not request.extra or never_refuses or policy == "pass-through":
        return request
    if policy == "error":
        # The newer container, whose default is to pass them on, words its refusal differently.
        raise RefusedError(unknown_parameters(list(request.extra), policy_given=default == "pass-through"))
    known = {key: value for key, value in request.to_wire().items() if key in ChatRequest.model_fields}
    return ChatRequest.model_validate(
        known, context={"formats": EXTENDED_FORMATS, "parts": True}
    )  # checked before


class _NewerNames(WireModel):
    """What the OpenAI API calls otherwise today; checked as the older name is."""

    max_completion_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None


def with_newer_names(request: ChatRequest) -> ChatRequest:
    """`request`, whose `max_tokens` is what its `max_completion_tokens` says, if the policy let that pass.

    Foundry's v1 reference deprecates the older name for it; behind the other surfaces the engine knows both, and takes
    the newer one where both are given (source of vLLM).

    Raises:
        RefusedError: 422 for a value that `max_tokens` could not have.
    """
    if request.extra.get("max_completion_tokens") is None:
        return request
    try:
        newer = _NewerNames.model_validate(dict(request.extra))
    except ValidationError as error:
        raise RefusedError(invalid_input(_details(error, ["body"]))) from None
    return request.model_copy(update={"max_tokens": newer.max_completion_tokens})


class BadTextError(RefusedError):
    """A text in a body is none: half of a surrogate pair, which no encoding has."""


def validated_request(
    value: object, *, extended: bool = False, parts: bool = False, nulls: bool = False
) -> ChatRequest:
    """`value` as a chat request.

    `extended` knows the formats of `extensions` too, with `parts` a message of any role may be made of parts, and with
    `nulls` a number that has a default may be null, which is the default.

    Raises:
        RefusedError: 422 with the list of what is wrong, or the beginning of it.
    """
    if not isinstance(value, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise RefusedError(
            invalid_input(
                [{"type": "model_attributes_type", "loc": ["body"], "msg": message, "input": value}]
            )
        )
    given, kind = cast("dict[str, Any]", value), ChatRequest
    context = {"parts": parts} | ({"formats": EXTENDED_FORMATS} if extended else {})
    if nulls:
        given = {name: item for name, item in given.items() if item is not None or name not in _NULLABLE}
    if _has_more_values(given, _FEW_VALUES):
        given, kind = _with_read_messages(given, context), _HastyRequest
    try:
        # As FastAPI, which the containers are written with, calls pydantic: the errors of nested objects depend on it.
        return kind.model_validate(given, from_attributes=True, context=context)
    except ValidationError as error:
        raise RefusedError(invalid_input(_details(error, ["body"]))) from None


class _HastyMessage(ChatMessage):
    """A message of which the first fault of each list is told, and not each of thousands."""

    content: str | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None
    tool_calls: Annotated[list[MessageToolCall], Field(fail_fast=True)] | None = None


class _HastyRequest(ChatRequest):
    """As `_HastyMessage`, for the other lists of a request."""

    stop: str | Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    tools: Annotated[list[dict[str, Any]], Field(min_length=1, fail_fast=True)] | None = None


def _with_read_messages(given: dict[str, Any], context: Mapping[str, object]) -> dict[str, Any]:
    """`given` with its messages as objects, each of which was read for itself.

    One call of pydantic for thousands of messages that are wrong would hold the interpreter's lock for seconds.

    Raises:
        RefusedError: 422 with the first faults of the messages.
    """
    messages = given.get("messages")
    if not isinstance(messages, list):
        return given
    read: list[ChatMessage] = []
    details: list[dict[str, Any]] = []
    for number, message in enumerate(cast("list[object]", messages)):
        try:
            read.append(_HastyMessage.model_validate(message, from_attributes=True, context=dict(context)))
        except ValidationError as error:
            details += _details(error, ["body", "messages", number])
        if len(details) >= _MOST_DETAILS:
            break
    if details:
        raise RefusedError(invalid_input([*details[:_MOST_DETAILS], _cut("only the first errors are shown")]))
    return {**given, "messages": read}


def _details(error: ValidationError, place: Sequence[str | int]) -> list[dict[str, Any]]:
    """What pydantic found, as the container writes it; no more than a reader can use."""
    found: list[dict[str, Any]] = json.loads(error.json(include_url=False))
    for item in found[:_MOST_DETAILS]:
        item["loc"] = [*place, *item["loc"]]
        if "error" in item.get("ctx", {}):
            # An exception, of which FastAPI's encoder leaves an empty object.
            item["ctx"]["error"] = {}
    more = len(found) - _MOST_DETAILS
    return found if more <= 0 else [*found[:_MOST_DETAILS], _cut(f"{more} more errors are not shown")]


def _cut(what: str) -> dict[str, Any]:
    """The last of the details, where there would be more of them."""
    return {"type": "details_cut", "loc": ["body"], "msg": what, "input": None}


def read_json(body: bytes) -> object:
    """The JSON in a request's body.

    Raises:
        BadTextError: 422 for JSON with a text in it that is none.
        RefusedError: 422 with where the JSON ends to be any.
    """
    if not body.strip():
        raise RefusedError(
            invalid_input([{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}])
        )
    try:
        # Not by `json.loads` itself, which lets halves of surrogate pairs pass that came as bytes.
        text = body.decode(json.detect_encoding(body))
        _check_count(text)
        value = cast("object", json.loads(text, parse_constant=_no_constant, parse_float=_finite))
        _check_depth(value)
    except json.JSONDecodeError as error:
        raise _not_json(error.pos, error.msg) from None
    except (ValueError, RecursionError):
        raise _not_json(0, "Not JSON, not UTF-8, nested too deeply, or a number that is too large") from None
    if "\\ud" in text or "\\uD" in text:
        _check_texts(value)
    return value


def _not_json(position: int, reason: str) -> RefusedError:
    """422 for what is no JSON, as FastAPI says it."""
    return RefusedError(
        invalid_input(
            [
                {
                    "type": "json_invalid",
                    "loc": ["body", position],
                    "msg": "JSON decode error",
                    "input": {},
                    "ctx": {"error": reason},
                }
            ]
        )
    )


def _check_texts(value: object) -> None:
    """Refuse halves of surrogate pairs, which JSON can escape and nothing can work with.

    Raises:
        BadTextError: there is one; 422.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        message = "Input should be a valid string, unable to parse raw data as a unicode string"
        wrong = {"type": "string_unicode", "loc": ["body"], "msg": message, "input": None}
        raise BadTextError(invalid_input([wrong])) from None


def _check_count(text: str) -> None:
    """Refuse a body of too many values before it is made of objects.

    Raises:
        RefusedError: 422.
    """
    if text.count(",") + text.count("[") + text.count("{") <= _MOST_VALUES:
        return
    values = sum(1 for _ in _some(_MARK.finditer(text), _MOST_VALUES + 1))
    if values > _MOST_VALUES:
        message = f"The body should hold at most {_MOST_VALUES} values"
        raise RefusedError(
            invalid_input([{"type": "too_long", "loc": ["body"], "msg": message, "input": None}])
        )


def _some(marks: Iterator[re.Match[str]], most: int) -> Iterator[str]:
    """The first values, without what stands in strings."""
    for mark in marks:
        if not mark[0].startswith('"'):
            yield mark[0]
            most -= 1
            if not most:
                return


def _has_more_values(value: object, most: int) -> bool:
    level = [value]
    while level:
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += cast("dict[str, object]", item).values()
            elif isinstance(item, list):
                inner += cast("list[object]", item)
        most -= len(inner)
        if most < 0:
            return True
        level = inner
    return False


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_MOST_DEPTH + 1):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += cast("dict[str, object]", item).values()
            elif isinstance(item, list):
                inner += cast("list[object]", item)
        if not inner:
            return
        level = inner
    raise ValueError("nested too deeply")


def _no_constant(name: str) -> object:
    """`NaN` and the infinities, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    """A number with a point or an exponent, which may be beyond what a double holds."""
    number = float(digits)
    if not isfinite(number):
        raise ValueError("a number is too large")
    return number
