"""A chat request and its answer in the words of OpenTelemetry's GenAI conventions: attributes, and messages in parts.

It must not import OpenTelemetry. Whatever a request or an answer holds, it must neither raise nor give a value that an
exporter can't write: what has another type than the conventions' is left out, and is the service's to refuse.

The names are those of version 1.42, the last one before the GenAI conventions moved to a repository of their own
(open-telemetry/semantic-conventions-genai), which has released nothing yet.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from phi_client._call.completion import Origin, completion_of
from phi_client._call.secrets import Secrets
from phi_client.contract.answers import AnswerView, ChoiceView, view_answer
from phi_client.contract.wire import ContractError

if TYPE_CHECKING:
    from phi_client._call.completion import Completion
    from phi_client._call.exchange import Exchange

__all__ = [
    "Scrub",
    "answered",
    "asked",
    "content_of_answer",
    "content_of_request",
    "endpoint_of",
    "name_of",
    "scrubber",
    "server_of",
]

Scrub = Callable[[str], str]

_MOST_IDENTIFIER: Final = 256
"""Characters of a model's name, an id or a reason: a service may send anything in their place."""
_MOST_READ: Final = 16 * _MOST_IDENTIFIER
"""A credential that the cut goes through must be seen whole."""
_INT64: Final = 2**63
_FLOATS: Final = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty")
_INTEGERS: Final = ("max_tokens", "seed")
_OUTPUT_TYPES: Final = {"text": "text", "regex": "text", "json_object": "json", "json_schema": "json"}
_PORTS: Final = {"https": 443, "http": 80}
_NOWHERE: Final = Origin(request_id=None, client_request_id="", endpoint="", headers={})
# Longer texts are scrubbed piece by piece, parted where no credential can be.
_PIECE: Final = r"(?s).{1,50000}(?:\s|\Z)|.{1,50000}"


def endpoint_of(exchange: Exchange) -> dict[str, Any]:
    """What spans and metrics say of whom is asked."""
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": exchange.dialect.telemetry_name,
        **server_of(exchange.url),
    }
    model = _identifier((exchange.request or {}).get("model"))
    return {**told, "gen_ai.request.model": model} if model else told


def server_of(url: str) -> dict[str, Any]:
    """Where a request goes."""
    parts = urlsplit(url)
    return {"server.address": parts.hostname or "", "server.port": parts.port or _PORTS.get(parts.scheme, 80)}


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
    return _without_gaps(told)


def answered(done: Completion, scrub: Scrub) -> dict[str, Any]:
    """What an answer says of itself: its names, its ends, its tokens."""
    reasons = [choice.finish_reason for choice in _choices(done)] or [done.finish_reason]
    usage = done.usage
    told: dict[str, Any] = {
        "gen_ai.response.id": _identifier(done.raw.get("id"), scrub),
        "gen_ai.response.model": _identifier(done.model, scrub),
        "gen_ai.response.finish_reasons": [word for one in reasons if (word := _identifier(one, scrub))]
        or None,
    }
    if usage is not None:
        told["gen_ai.usage.input_tokens"] = _count(usage.prompt_tokens)
        told["gen_ai.usage.output_tokens"] = _count(usage.completion_tokens)
        # Where the wire tells them: the reasoning of most surfaces is output like any other.
        told["gen_ai.usage.reasoning.output_tokens"] = _count(getattr(usage, "reasoning_tokens", None))
        told["gen_ai.usage.cache_read.input_tokens"] = _count(getattr(usage, "cached_tokens", None))
    return _without_gaps(told)


def content_of_request(request: Mapping[str, Any], scrub: Scrub) -> dict[str, str]:
    """Messages and tools of a request, as JSON. A system message is part of the history, and is told there."""
    told = {
        "gen_ai.input.messages": _json([_message(one) for one in _objects(request.get("messages"))], scrub)
    }
    tools = _objects(request.get("tools"))
    if tools:
        told["gen_ai.tool.definitions"] = _json([_tool(tool) for tool in tools], scrub)
    return told


def content_of_answer(done: Completion, scrub: Scrub, *, has_failed: bool) -> dict[str, str]:
    """The choices of an answer, as JSON: a message each. Of a call that was cut short, what came."""
    missing = "error" if has_failed else "unknown"
    said: list[dict[str, Any]] = []
    for choice in _choices(done):
        read = completion_of(AnswerView(done.raw, [choice], None), _NOWHERE)
        texts = [("reasoning", read.reasoning), ("text", read.content)]
        parts: list[dict[str, Any]] = [{"type": kind, "content": text} for kind, text in texts if text]
        parts += [_tool_call(call) for call in _objects(choice.tool_calls)]
        # The conventions' word for one of the reasons is in the singular.
        reason = "tool_call" if choice.finish_reason == "tool_calls" else choice.finish_reason
        said.append({"role": "assistant", "parts": parts, "finish_reason": reason or missing})
    return {"gen_ai.output.messages": _json(said, scrub)}


def scrubber(credentials: Iterable[str]) -> Scrub:
    """What takes credentials out of all that is told: a service may echo them anywhere."""
    secrets = Secrets(tuple(credentials))

    def scrub(text: str) -> str:
        clean = text.encode("utf-8", "replace").decode()
        return (
            "".join(secrets.scrub(piece) for piece in re.findall(_PIECE, clean)) if secrets.values else clean
        )

    return scrub


def _choices(done: Completion) -> list[ChoiceView]:
    try:
        return sorted(view_answer(done.raw, "message").choices, key=lambda choice: choice.index)
    except ContractError:
        return []


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
        parts += [_tool_call(call) for call in _objects(message.get("tool_calls"))]
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


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
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


def _json(value: object, scrub: Scrub) -> str:
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


def _identifier(value: object, scrub: Scrub | None = None) -> str | None:
    """A text that names something, or none."""
    if not isinstance(value, str):
        return None
    return (scrub or scrubber(()))(value[:_MOST_READ])[:_MOST_IDENTIFIER] or None


def _float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_INT64 < value < _INT64 else None


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return int(value) if -_INT64 <= value < _INT64 else None


def _count(value: object) -> int | None:
    count = _integer(value)
    return None if count is None or count < 0 else count


def _texts(value: object) -> list[str] | None:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not value:
        return None
    clean, texts = scrubber(()), cast("list[object]", value)
    found = [clean(text) for text in texts if isinstance(text, str)]
    return found if len(found) == len(texts) else None


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    """The objects in a list; of anything else none."""
    items = cast("list[object]", value) if isinstance(value, list | tuple) else []
    return [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]


def _or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _without_gaps(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
