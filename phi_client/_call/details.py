"""What few callers look at in an answer: tool calls and logprobs, read from the wire's JSON when they are asked for.

It must not be needed to read an answer: thousands of logprobs would cost more than all the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

__all__ = [
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "merge_tool_calls",
    "read_logprobs",
    "read_tool_call_deltas",
    "read_tool_calls",
]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called. `arguments` is JSON as the model wrote it, which may be broken."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """What a chunk adds to the tool call number `index`; `id` and `name` come once, `arguments` in pieces."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of the answer: the natural logarithm of its probability, its bytes, and its likeliest rivals.

    `utf8` tells the token where `token` can't: it may be a part of a character.
    """

    token: str
    logprob: float
    utf8: bytes | None = None
    top_logprobs: "tuple[TokenLogprob, ...]" = ()


def read_tool_calls(raw: object) -> tuple[ToolCall, ...]:
    """The tool calls in the `tool_calls` of a message; what has no function is left out."""
    return tuple(
        ToolCall(str(call.get("id") or ""), *_named(function))
        for call, function in _with_functions(raw)
        if function.get("name")
    )


def read_tool_call_deltas(raw: object) -> tuple[ToolCallDelta, ...]:
    """The pieces in the `tool_calls` of a delta."""
    return tuple(
        ToolCallDelta(int(call.get("index") or 0), str(call.get("id") or ""), *_named(function))
        for call, function in _with_functions(raw)
    )


def merge_tool_calls(deltas: Iterable[object]) -> list[dict[str, Any]]:
    """The `tool_calls` of a message that the `tool_calls` of its deltas add up to."""
    merged: dict[int, dict[str, Any]] = {}
    for raw in deltas:
        for delta in read_tool_call_deltas(raw):
            call = merged.setdefault(
                delta.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            call["id"] = delta.id or call["id"]
            call["function"]["name"] = delta.name or call["function"]["name"]
            call["function"]["arguments"] += delta.arguments
    return [merged[index] for index in sorted(merged)]


def read_logprobs(raw: object) -> tuple[TokenLogprob, ...] | None:
    """The tokens in the `logprobs` of a choice, or `None` when there are none."""
    content = _mapping(raw).get("content")
    if not isinstance(content, list):
        return None
    return tuple(map(_token, cast("list[object]", content)))


def _token(raw: object) -> TokenLogprob:
    members = _mapping(raw)
    data, rivals = members.get("bytes"), members.get("top_logprobs")
    return TokenLogprob(
        str(members.get("token") or ""),
        float(members.get("logprob") or 0.0),
        bytes(cast("list[int]", data)) if isinstance(data, list) else None,
        tuple(map(_token, cast("list[object]", rivals))) if isinstance(rivals, list) else (),
    )


def _with_functions(raw: object) -> Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    calls = map(_mapping, cast("list[object]", raw) if isinstance(raw, list) else [])
    return ((call, _mapping(call.get("function"))) for call in calls)


def _named(function: Mapping[str, Any]) -> tuple[str, str]:
    return str(function.get("name") or ""), str(function.get("arguments") or "")


def _mapping(raw: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", raw) if isinstance(raw, dict) else {}
