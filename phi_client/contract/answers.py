"""Answers as a client reads them: the JSON objects themselves, of which only what is taken is checked.

It must not know routes or headers, nor load pydantic: models are for whoever writes answers or checks requests, and
take longer to load than a first answer takes to come.

Recorded traffic leaves out, nulls and adds keys (azure-sdk-assets), so what is missing or null counts as empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, Literal, TypeVar, cast

from phi_client.contract.wire import ContractError

__all__ = [
    "CUT_REASONS",
    "REASONING_FIELDS",
    "AnswerView",
    "ChoiceView",
    "FinishReason",
    "KnownFinishReason",
    "Usage",
    "first_choice",
    "read_count",
    "view_answer",
]

KnownFinishReason = Literal["stop", "length", "content_filter", "tool_calls", "model_length", "error"]
"""The first four are in the OpenAPI 2024-05-01-preview; the last two come from the containers' source."""

FinishReason = KnownFinishReason | str
"""Why generation ended. An open set: a value that is not known here is kept as it came."""

CUT_REASONS: Final = frozenset({"length", "model_length"})
"""The finish reasons of an answer that a limit of tokens cut: the request's, or the model's own."""

REASONING_FIELDS: Final = ("reasoning_content", "reasoning")
"""The keys of a message under which the reasoning has been sent: Azure's, then that of vLLM since 0.16."""

_T = TypeVar("_T")
_D = TypeVar("_D")
_LIST: Final = cast("type[list[object]]", list)
_OBJECT: Final = cast("type[dict[str, Any]]", dict)
_NONE: Final[list[object]] = []
_NOTHING: Final[dict[str, Any]] = {}
_WORDS: Final[Mapping[type, str]] = {list: "list", dict: "object", str: "string"}
_MOST_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the service. Reasoning counts as completion tokens (Azure documentation).

    `reasoning_tokens` are those of the completion that were reasoning, `cached_tokens` those of the prompt that came
    from a cache: `None` where the service does not tell, as most do not.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(slots=True)
class ChoiceView:
    """What one choice says: of a completion its message, of a chunk its delta.

    `reasoning_content` came under the key `reasoning_field`. `members` and `said` are the whole choice, and its
    message or delta.
    """

    index: int
    content: str
    members: Mapping[str, Any] = field(repr=False)
    said: Mapping[str, Any] = field(repr=False)
    reasoning_content: str = ""
    reasoning_field: str = REASONING_FIELDS[0]
    finish_reason: FinishReason | None = None
    tool_calls: Sequence[object] = ()
    logprobs: Sequence[object] = ()


@dataclass(slots=True)
class AnswerView:
    """A chat completion, or a chunk of one, as far as a client looks into it; `raw` is the whole."""

    # Not shown by `repr`, as which the variables of a traceback are shown: what fits no contract may hold an echo.
    raw: dict[str, Any] = field(repr=False)
    choices: list[ChoiceView] = field(repr=False)
    usage: Usage | None

    @property
    def model(self) -> str | None:
        """The model that answered, by its own word."""
        name = self.raw.get("model")
        return name if isinstance(name, str) else None


def view_answer(raw: dict[str, Any], part: Literal["message", "delta"]) -> AnswerView:
    """Look into a completion (`message`) or a chunk (`delta`).

    Raises:
        ContractError: something that is looked at is of another type.
    """
    choices = _member(raw, "choices", _LIST, _NONE)
    views = [_view_choice(choice, place, part) for place, choice in enumerate(choices)]
    return AnswerView(raw, views, None if raw.get("usage") is None else _view_usage(raw))


def first_choice(choices: list[ChoiceView]) -> ChoiceView:
    """The choice with the lowest index, which is 0: services send them in any order. Of equals the first."""
    return min(choices, key=lambda choice: choice.index)


def read_count(value: object) -> int | None:
    """A count as JSON may have it, `7`, `7.0` or `"7"`; `None` for what is none."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS else None
    if isinstance(value, float):
        return int(value) if isfinite(value) and value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _view_choice(choice: object, place: int, part: str) -> ChoiceView:
    if not isinstance(choice, dict):
        raise ContractError("the answer does not fit the contract: a choice is no object")
    members = cast("dict[str, Any]", choice)
    said = _member(members, part, _OBJECT, _NOTHING)
    view = ChoiceView(_count(members, "index", place), _member(said, "content", str, ""), members, said)
    # A stream is looked into once a token, so what most chunks leave out, or leave null, costs them no call.
    if said.get(REASONING_FIELDS[0]) is not None:
        view.reasoning_content = _member(said, REASONING_FIELDS[0], str, "")
    if not view.reasoning_content and isinstance(said.get(REASONING_FIELDS[1]), str):
        # Not Azure's, so what else may stand there is nothing to refuse an answer for.
        view.reasoning_field = REASONING_FIELDS[1]
        view.reasoning_content = said[REASONING_FIELDS[1]]
    if members.get("finish_reason") is not None:
        view.finish_reason = _member(members, "finish_reason", str, None) or None
    if said.get("tool_calls") is not None:
        view.tool_calls = _member(said, "tool_calls", _LIST, _NONE)
    if members.get("logprobs") is not None:
        view.logprobs = _member(_member(members, "logprobs", _OBJECT, _NOTHING), "content", _LIST, _NONE)
    return view


def _view_usage(raw: dict[str, Any]) -> Usage:
    usage = _member(raw, "usage", _OBJECT, _NOTHING)
    return Usage(
        _count(usage, "prompt_tokens", 0),
        _count(usage, "completion_tokens", 0),
        _count(usage, "total_tokens", 0),
        _told(usage, "completion_tokens_details", "reasoning_tokens"),
        _told(usage, "prompt_tokens_details", "cached_tokens"),
    )


def _told(usage: Mapping[str, Any], details: str, name: str) -> int | None:
    """A count of the details, or one beside the others; what is no count was not told."""
    inner = usage.get(details)
    found = read_count(cast("dict[str, Any]", inner).get(name)) if isinstance(inner, dict) else None
    return read_count(usage.get(name)) if found is None else found


def _count(members: Mapping[str, Any], name: str, missing: int) -> int:
    value = members.get(name)
    if value is None:
        return missing
    count = value if type(value) is int else read_count(value)
    if count is None:
        raise ContractError(f"the answer does not fit the contract: `{name}` is no number")
    return count


def _member(members: Mapping[str, Any], name: str, kind: type[_T], missing: _D) -> _T | _D:
    value = members.get(name)
    if value is None:
        return missing
    if not isinstance(value, kind):
        raise ContractError(f"the answer does not fit the contract: `{name}` is no {_WORDS[kind]}")
    return value
