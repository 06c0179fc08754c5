"""Reading the body of a chat request as the services do: JSON, the schema, and keys outside it.

It must not know which surface reads: a surface says which policy holds where the caller names none.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import ValidationError

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

__all__ = ["apply_policy", "read_json", "validated_request"]

_MOST_DEPTH: Final = 200
"""Levels of objects and lists in a body. Python reads several times as many, pydantic writes 255."""
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
    return ChatRequest.model_validate(known, context={"formats": EXTENDED_FORMATS})  # checked before


def validated_request(value: object, *, extended: bool = False) -> ChatRequest:
    """`value` as a chat request; `extended` knows the formats of `extensions` too.

    Raises:
        RefusedError: 422 with the list of what is wrong.
    """
    if not isinstance(value, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise RefusedError(
            invalid_input(
                [{"type": "model_attributes_type", "loc": ["body"], "msg": message, "input": value}]
            )
        )
    try:
        # As FastAPI, which the containers are written with, calls pydantic: the errors of nested objects depend on it.
        context = {"formats": EXTENDED_FORMATS} if extended else None
        return ChatRequest.model_validate(value, from_attributes=True, context=context)
    except ValidationError as error:
        details: list[dict[str, Any]] = json.loads(error.json(include_url=False))
        for item in details:
            item["loc"] = ["body", *item["loc"]]
            if "error" in item.get("ctx", {}):
                # An exception, of which FastAPI's encoder leaves an empty object.
                item["ctx"]["error"] = {}
        raise RefusedError(invalid_input(details)) from None


def read_json(body: bytes) -> object:
    """The JSON in a request's body.

    Raises:
        RefusedError: 422 with where the JSON ends to be any.
    """
    if not body.strip():
        raise RefusedError(
            invalid_input([{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}])
        )
    try:
        value = cast("object", json.loads(body, parse_constant=_no_constant))
        if b"\\ud" in body.lower():
            # An escaped half of a surrogate pair parses, but is no text that anything could work with.
            json.dumps(value, ensure_ascii=False).encode()
        _check_depth(value)
    except json.JSONDecodeError as error:
        position, reason = error.pos, error.msg
    except (ValueError, RecursionError):
        position, reason = 0, "Not JSON, not UTF-8, or nested too deeply"
    else:
        return value
    raise RefusedError(
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
