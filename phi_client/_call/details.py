"""What few callers look at in an answer: tool calls and logprobs, read from the wire's JSON when they are asked for.

It must not be needed to read an answer: thousands of logprobs would cost more than all the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from phi_client.contract.answers import read_count
from phi_client.contract.wire import dump_json

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
        ToolCall(_text(call.get("id")), _text(function.get("name")), _text(function.get("arguments")))
        for call, function in _with_functions(raw)
        if function.get("name")
    )


def read_tool_call_deltas(raw: object) -> tuple[ToolCallDelta, ...]:
    """The pieces in the `tool_calls` of a delta; one without a number of its own has that of its place."""
    return tuple(
        ToolCallDelta(
            place if (index := read_count(call.get("index"))) is None else index,
            _text(call.get("id")),
            _text(function.get("name")),
            _text(function.get("arguments")),
        )
        for place, (call, function) in enumerate(_with_functions(raw))
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
    rivals = _mapping(raw).get("top_logprobs")
    # A rival has no rivals of its own: what is nested deeper is nobody's contract.
    tops = tuple(map(_rival, cast("list[object]", rivals))) if isinstance(rivals, list) else ()
    return _rival(raw, tops)


def _rival(raw: object, top_logprobs: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    members = _mapping(raw)
    return TokenLogprob(
        _text(members.get("token")),
        _number(members.get("logprob")),
        _bytes(members.get("bytes")),
        top_logprobs,
    )


def _number(value: object) -> float:
    """A number as it came; one that is none, or missing, as the probability 1 that no logprob exceeds."""
    try:
        return float(value) if isinstance(value, int | float | str) else 0.0
    except (OverflowError, ValueError):
        return 0.0


def _bytes(value: object) -> bytes | None:
    try:
        return bytes(cast("list[int]", value)) if isinstance(value, list) else None
    except (TypeError, ValueError):
        return None


def _text(value: object) -> str:
    """A text as it came; JSON, as some services send arguments, as its text."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return dump_json(value).decode()
    except RecursionError:
        return ""


def _with_functions(raw: object) -> Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    calls = map(_mapping, cast("list[object]", raw) if isinstance(raw, list) else [])
    return ((call, _mapping(call.get("function"))) for call in calls)


def _mapping(raw: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", raw) if isinstance(raw, dict) else {}
