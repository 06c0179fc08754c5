"""What a caller gets: a completion, and a chunk of one that streams.

It must not know how either came over the wire; it only reads wire objects.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from phi_client._call.errors import Hop
from phi_client._call.wrong_words import missing_attribute
from phi_client.contract.answers import (
    CUT_REASONS,
    AnswerView,
    ChoiceView,
    FinishReason,
    Usage,
    first_choice,
    read_count,
    view_answer,
)
from phi_client.contract.reasoning import split_reasoning

if TYPE_CHECKING:
    from phi_client._call.details import TokenLogprob, ToolCall, ToolCallDelta
    from phi_client._call.totals import Prices

__all__ = [
    "Completion",
    "CompletionChoice",
    "CompletionChunk",
    "Origin",
    "completion_of",
]

_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionChoice:
    """An answer beside the first one, to a request with `n`."""

    index: int
    content: str
    reasoning: str
    finish_reason: FinishReason | None
    raw: dict[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)

    @property
    def answer(self) -> str | None:
        r"""As that of a completion."""
        return _answer_in(self.content)

    @property
    def tool_calls(self) -> "tuple[ToolCall, ...]":
        """As those of a completion."""
        from phi_client._call.details import read_tool_calls  # noqa: PLC0415  # few answers have any

        return read_tool_calls(_member(self.raw, "message").get("tool_calls"))

    def __repr__(self) -> str:
        """With what it says cut short."""
        return _repr(self, index=self.index, finish_reason=self.finish_reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    r"""A finished chat completion.

    `content` is the text after the reasoning, `reasoning` the text inside `<think>` or of the wire's own
    field, `raw` the body as received (of a stream: its chunks merged). `finish_reason` is `length` when the
    token budget ended first; then `content` may be empty. `finish_reason` and `usage` are `None` where the
    service does not report them (the older `/score`). `request_id` is what to quote in a support case,
    `client_request_id` the id that was sent. `endpoint` is the base URL that answered, `hops` the endpoints that
    were tried before it, `status_code` and `headers` those of the answer, with names in lower case.
    """

    content: str
    reasoning: str
    finish_reason: FinishReason | None
    usage: Usage | None
    request_id: str | None
    model: str | None
    client_request_id: str = field(default="", compare=False)
    endpoint: str = field(default="", compare=False)
    status_code: int = field(default=200, compare=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)
    hops: tuple[Hop, ...] = field(default=(), compare=False)
    raw: dict[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)

    @property
    def answer(self) -> str | None:
        r"""What stands in the last `\boxed{…}` of `content` that says anything, or `None` when there is none."""
        return _answer_in(self.content)

    @property
    def alternatives(self) -> tuple[CompletionChoice, ...]:
        """The other answers to a request with `n`, by their index; this completion is the first of them."""
        choices = view_answer(self.raw, "message").choices
        if len(choices) < 2:  # noqa: PLR2004
            return ()
        pairs = zip(choices, cast("list[dict[str, Any]]", self.raw["choices"]), strict=True)
        ordered = sorted(pairs, key=lambda pair: pair[0].index)
        return tuple(_choice_of(choice, raw) for choice, raw in ordered[1:])

    @property
    def tool_calls(self) -> "tuple[ToolCall, ...]":
        """The functions that the model wants called, in order."""
        from phi_client._call.details import read_tool_calls  # noqa: PLC0415  # few answers have any

        return read_tool_calls(self._said.get("tool_calls"))

    @property
    def logprobs(self) -> "tuple[TokenLogprob, ...] | None":
        """The tokens of the answer with their probabilities, or `None` when they were not asked for or not given."""
        from phi_client._call.details import read_logprobs  # noqa: PLC0415  # few answers have any

        return read_logprobs(_first(self.raw).get("logprobs"))

    @property
    def message(self) -> dict[str, Any]:
        """What to put into the next call's messages: the content without its reasoning, the tool calls as they came."""
        calls = self._said.get("tool_calls")
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        return {**message, "tool_calls": calls} if calls else message

    @property
    def ends_in_reasoning(self) -> bool:
        """True when the budget of tokens was used up before anything was said: then there is no content."""
        is_cut = self.finish_reason in CUT_REASONS and not self.content.strip()
        return is_cut and not self.tool_calls

    def cost(self, prices: "Prices") -> float | None:
        """What it cost: at one `Price`, or at that of its model; `None` when usage or price is not known."""
        from phi_client._call.totals import cost_of  # noqa: PLC0415  # few ask

        return cost_of(self.usage, self.model, prices)

    def to_dict(self) -> dict[str, Any]:
        """What is said and by whom, as JSON can carry it: without `headers` and without `raw`."""
        return {
            "content": self.content,
            "reasoning": self.reasoning,
            "answer": self.answer,
            "finish_reason": self.finish_reason,
            "tool_calls": [asdict(call) for call in self.tool_calls],
            "usage": None if self.usage is None else asdict(self.usage),
            "model": self.model,
            "endpoint": self.endpoint,
            "status_code": self.status_code,
            "request_id": self.request_id,
            "client_request_id": self.client_request_id,
            "hops": [{"endpoint": hop.endpoint, "error": str(hop.error)} for hop in self.hops],
        }

    def __repr__(self) -> str:
        """With what it says cut short, so that it fits a notebook."""
        return _repr(
            self,
            answer=self.answer,
            finish_reason=self.finish_reason,
            usage=self.usage,
            model=self.model,
            request_id=self.request_id,
        )

    @property
    def _said(self) -> dict[str, Any]:
        return _member(_first(self.raw), "message")

    if not TYPE_CHECKING:  # for type checkers an attribute that is not there must stay a mistake

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(missing_attribute(name, "completion", dir(type(self))))


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class CompletionChunk:
    """What one event adds: pieces of reasoning and content, already split; a tag never shows.

    `finish_reason` and `usage` are set on the chunk that brings them. `raw` is the chunk as received.
    """

    reasoning: str = ""
    content: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    raw: dict[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)

    def __init__(
        self,
        *,
        reasoning: str = "",
        content: str = "",
        finish_reason: FinishReason | None = None,
        usage: Usage | None = None,
        raw: dict[str, Any] | None = None,
    ) -> None:
        # What a frozen dataclass writes for itself takes three times as long, and there is a chunk for each token.
        _set_reasoning(self, reasoning)
        _set_content(self, content)
        _set_finish_reason(self, finish_reason)
        _set_usage(self, usage)
        _set_raw(self, {} if raw is None else raw)

    @property
    def tool_calls(self) -> "tuple[ToolCallDelta, ...]":
        """Pieces of the functions that the model wants called."""
        calls = _member(_first(self.raw, index=0), "delta").get("tool_calls")
        if not calls:
            return ()
        from phi_client._call.details import read_tool_call_deltas  # noqa: PLC0415  # few chunks have any

        return read_tool_call_deltas(calls)

    if not TYPE_CHECKING:  # as for a completion

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(missing_attribute(name, "chunk", dir(type(self))))


_set_reasoning, _set_content, _set_finish_reason, _set_usage, _set_raw = (
    vars(CompletionChunk)[name].__set__ for name in ("reasoning", "content", "finish_reason", "usage", "raw")
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a completion came from."""

    request_id: str | None
    client_request_id: str
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    hops: tuple[Hop, ...] = ()
    status_code: int = 200


def completion_of(chat: AnswerView, origin: Origin) -> Completion:
    """Read a whole answer, which must have a choice: the first by index, wherever it stands."""
    choice = first_choice(chat.choices)
    reasoning, content = _parted(choice)
    return Completion(
        content=content,
        reasoning=reasoning,
        finish_reason=choice.finish_reason,
        usage=chat.usage,
        request_id=origin.request_id,
        model=chat.model,
        client_request_id=origin.client_request_id,
        endpoint=origin.endpoint,
        status_code=origin.status_code,
        headers=origin.headers,
        hops=origin.hops,
        raw=chat.raw,
    )


def _answer_in(content: str) -> str | None:
    from phi_client._call.boxes import find_boxed_answer  # noqa: PLC0415  # not needed before there is an answer

    return find_boxed_answer(content)


def _parted(choice: ChoiceView) -> tuple[str, str]:
    """The reasoning and the content of a whole message: a field of its own wins over a tag in the content."""
    field_text = choice.reasoning_content.strip()
    split = split_reasoning(
        choice.content, reasoning_elsewhere=bool(field_text), is_cut=choice.finish_reason in CUT_REASONS
    )
    return field_text or split.reasoning, split.content


def _choice_of(choice: ChoiceView, raw: dict[str, Any]) -> CompletionChoice:
    reasoning, content = _parted(choice)
    return CompletionChoice(
        index=choice.index,
        content=content,
        reasoning=reasoning,
        finish_reason=choice.finish_reason,
        raw=raw,
    )


def _first(raw: Mapping[str, Any], *, index: int | None = None) -> dict[str, Any]:
    """The choice with this index, or with the lowest; an empty one when there is none."""
    choices = cast("object", raw.get("choices"))
    if not isinstance(choices, list):
        return {}
    numbered = [
        (place if (own := read_count(choice.get("index"))) is None else own, choice)
        for place, choice in enumerate(cast("list[dict[str, Any]]", choices))
        if isinstance(cast("object", choice), dict)
    ]
    if index is not None:
        numbered = [pair for pair in numbered if pair[0] == index]
    return min(numbered, key=lambda pair: pair[0])[1] if numbered else {}


def _member(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    member = raw.get(name)
    return cast("dict[str, Any]", member) if isinstance(member, dict) else {}


def _repr(said: Completion | CompletionChoice, **facts: object) -> str:
    texts = {"content": said.content, "reasoning": said.reasoning}
    shown = [f"{name}={_short(text)}" for name, text in texts.items()]
    return (
        f"{type(said).__name__}({', '.join([*shown, *(f'{name}={fact!r}' for name, fact in facts.items())])})"
    )


def _short(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"<{len(text)} characters, {text[:_SHOWN]!r} first>"
