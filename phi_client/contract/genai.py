"""A chat request in the words of OpenTelemetry's GenAI conventions: attributes, and messages in parts.

It must not import OpenTelemetry, nor know who asks or answers: the client and the emulator tell the same. Whatever a
request holds, it must neither raise nor give a value that an exporter can't write: what has another type than the
conventions' is left out, and is the service's to refuse.

The names are those of version 1.42, the last one before the GenAI conventions moved to a repository of their own
(open-telemetry/semantic-conventions-genai), which has released nothing yet.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

__all__ = [
    "CONTENT_VARIABLE",
    "SCHEMA_URL",
    "Scrub",
    "asked",
    "content_of_request",
    "count_of",
    "identifier",
    "name_of",
    "objects_of",
    "parts_as_json",
    "tells_content",
    "tool_call_part",
    "without_gaps",
]

Scrub = Callable[[str], str]

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.42.0"
CONTENT_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""Environment variable that asks for prompts and answers."""
_CONTENT_ON: Final = frozenset({"true", "span_only", "span_and_event"})
_MOST_IDENTIFIER: Final = 256
"""Characters of a model's name, an id or a reason: a service may send anything in their place."""
_MOST_READ: Final = 16 * _MOST_IDENTIFIER
"""A credential that the cut goes through must be seen whole."""
_INT64: Final = 2**63
_FLOATS: Final = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty")
_INTEGERS: Final = ("max_tokens", "seed")
_OUTPUT_TYPES: Final = {"text": "text", "regex": "text", "json_object": "json", "json_schema": "json"}


def tells_content() -> bool:
    """Whether prompts and answers are to be told, as the environment says."""
    return os.environ.get(CONTENT_VARIABLE, "").strip().lower() in _CONTENT_ON


def encodable(text: str) -> str:
    """A text that any exporter can write."""
    return text.encode("utf-8", "replace").decode()


def name_of(told: Mapping[str, Any]) -> str:
    """The name of a call's span, after what `endpoint_of` tells."""
    return " ".join(filter(None, ["chat", told.get("gen_ai.request.model")]))


def asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request."""
    found: dict[str, Any] = {name: _float(request.get(name)) for name in _FLOATS}
    found |= {name: _integer(request.get(name)) for name in _INTEGERS}
    found["stop_sequences"] = _texts(request.get("stop"))
    found["stream"] = True if request.get("stream") is True else None
    count = _integer(request.get("n"))
    found["choice.count"] = None if count == 1 else count
    told = {f"gen_ai.request.{name}": value for name, value in found.items()}
    told["gen_ai.output.type"] = _output_type(request.get("response_format"))
    return without_gaps(told)


def content_of_request(request: Mapping[str, Any], scrub: Scrub) -> dict[str, str]:
    """Messages and tools of a request, as JSON. A system message is part of the history, and is told there."""
    told = {
        "gen_ai.input.messages": parts_as_json(
            [_message(one) for one in objects_of(request.get("messages"))], scrub
        )
    }
    tools = objects_of(request.get("tools"))
    if tools:
        told["gen_ai.tool.definitions"] = parts_as_json([_tool(tool) for tool in tools], scrub)
    return told


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of a request in parts: what a tool gave, or texts and the calls of tools."""
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        parts = [
            {"type": "tool_call_response", "id": _or_none(message.get("tool_call_id")), "response": content}
        ]
    else:
        given = cast("list[Any]", content) if isinstance(content, list | tuple) else [content]
        parts = [_part(one) for one in given if one is not None and one != ""]
        parts += [tool_call_part(call) for call in objects_of(message.get("tool_calls"))]
    name = message.get("name")
    told: dict[str, Any] = {"role": role if isinstance(role, str) else "", "parts": parts}
    return {**told, "name": name} if isinstance(name, str) else told


def _part(part: object) -> dict[str, Any]:
    """A text in the conventions' form; anything else as it is, under its own type."""
    members = _object(part)
    kind, text = members.get("type"), members.get("text", part)
    if isinstance(text, str) and kind in (None, "text"):
        return {"type": "text", "content": text}
    return {**members, "type": kind} if isinstance(kind, str) else {"type": "unknown", "content": part}


def tool_call_part(call: Mapping[str, Any]) -> dict[str, Any]:
    function = _object(call.get("function"))
    name = function.get("name")
    return {
        "type": "tool_call",
        "id": _or_none(call.get("id")),
        "name": name if isinstance(name, str) else "",
        "arguments": _decoded(function.get("arguments")),
    }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind, function = tool.get("type"), _object(tool.get("function"))
    told = {"type": kind if isinstance(kind, str) else "function", "name": "", **function}
    return told if isinstance(told["name"], str) else {**told, "name": ""}


def _decoded(arguments: object) -> object:
    """The arguments of a call, which the wire has as JSON in a text, and a model may have written badly."""
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return arguments


def parts_as_json(value: object, scrub: Scrub) -> str:
    try:
        return json.dumps(_scrubbed(value, scrub), ensure_ascii=False)
    except RecursionError:
        return "[]"


def _scrubbed(value: object, scrub: Scrub) -> object:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return {scrub(str(name)): _scrubbed(one, scrub) for name, one in members.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(one, scrub) for one in cast("list[object]", value)]
    is_plain = value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_plain else scrub(str(value))


def _output_type(asked_for: object) -> str | None:
    kind = _object(asked_for).get("type")
    return _OUTPUT_TYPES.get(kind.lower()) if isinstance(kind, str) else None


def identifier(value: object, scrub: Scrub | None = None) -> str | None:
    """A text that names something, or none."""
    if not isinstance(value, str):
        return None
    return (scrub or encodable)(value[:_MOST_READ])[:_MOST_IDENTIFIER] or None


def _float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_INT64 < value < _INT64 else None


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return int(value) if -_INT64 <= value < _INT64 else None


def count_of(value: object) -> int | None:
    count = _integer(value)
    return None if count is None or count < 0 else count


def _texts(value: object) -> list[str] | None:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not value:
        return None
    texts = cast("list[object]", value)
    found = [encodable(text) for text in texts if isinstance(text, str)]
    return found if len(found) == len(texts) else None


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def objects_of(value: object) -> list[Mapping[str, Any]]:
    """The objects in a list; of anything else none."""
    items = cast("list[object]", value) if isinstance(value, list | tuple) else []
    return [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]


def _or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def without_gaps(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
