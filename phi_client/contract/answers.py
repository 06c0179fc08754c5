"""Answers as a client reads them: the JSON objects themselves, of which only what is taken is checked.

It must not know routes or headers, nor load pydantic: the models in `chat` are for whoever writes answers or checks
requests, and take longer to load than a first answer takes to come.

Recorded traffic leaves out, nulls and adds keys (azure-sdk-assets), so what is missing or null counts as empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, cast

from phi_client.contract.wire import ContractError

__all__ = ["AnswerView", "ChoiceView", "FinishReason", "KnownFinishReason", "Usage", "view_answer"]

KnownFinishReason = Literal["stop", "length", "content_filter", "tool_calls", "model_length", "error"]
"""The first four are in the OpenAPI 2024-05-01-preview; the last two come from the containers' source."""

FinishReason = KnownFinishReason | str
"""Why generation ended. An open set: a value that is not known here is kept as it came."""


_T = TypeVar("_T")
_D = TypeVar("_D")
_LIST: Final = cast("type[list[object]]", list)
_OBJECT: Final = cast("type[dict[str, Any]]", dict)
_NONE: Final[list[object]] = []
_NOTHING: Final[dict[str, Any]] = {}
_WORDS: Final[Mapping[type, str]] = {list: "list", dict: "object", str: "string", int: "number"}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the service. Reasoning counts as completion tokens (Azure documentation)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


@dataclass(slots=True)
class ChoiceView:
    """What one choice says: of a completion its message, of a chunk its delta."""

    index: int
    content: str
    reasoning_content: str
    finish_reason: FinishReason | None
    tool_calls: list[object]
    logprobs: list[object]


@dataclass(slots=True)
class AnswerView:
    """A chat completion, or a chunk of one, as far as a client looks into it; `raw` is the whole."""

    raw: dict[str, Any]
    choices: list[ChoiceView]
    usage: Usage | None


def view_answer(raw: dict[str, Any], part: Literal["message", "delta"]) -> AnswerView:
    """Look into a completion (`message`) or a chunk (`delta`).

    Raises:
        ContractError: something that is looked at is of another type.
    """
    choices = _member(raw, "choices", _LIST, _NONE)
    return AnswerView(raw, [_view_choice(choice, part) for choice in choices], _view_usage(raw))


def _view_choice(choice: object, part: str) -> ChoiceView:
    if not isinstance(choice, dict):
        raise ContractError("the answer does not fit the contract: a choice is no object")
    members = cast("dict[str, Any]", choice)
    said = _member(members, part, _OBJECT, _NOTHING)
    return ChoiceView(
        _member(members, "index", int, 0),
        _member(said, "content", str, ""),
        _member(said, "reasoning_content", str, ""),
        _member(members, "finish_reason", str, None),
        _member(said, "tool_calls", _LIST, _NONE),
        _member(_member(members, "logprobs", _OBJECT, _NOTHING), "content", _LIST, _NONE),
    )


def _view_usage(raw: dict[str, Any]) -> Usage | None:
    if raw.get("usage") is None:
        return None
    usage = _member(raw, "usage", _OBJECT, _NOTHING)
    return Usage(*[_member(usage, name, int, 0) for name in Usage.__slots__])


def _member(members: Mapping[str, Any], name: str, kind: type[_T], missing: _D) -> _T | _D:
    value = members.get(name)
    if value is None:
        return missing
    if not isinstance(value, kind):
        raise ContractError(f"the answer does not fit the contract: `{name}` is no {_WORDS[kind]}")
    return value
