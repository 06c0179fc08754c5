"""What a caller gets: a completion, and a chunk of one that streams.

It must not know how either came over the wire; it only reads wire objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from phi_client._call.errors import Hop
from phi_client._call.wrong_words import missing_attribute
from phi_client.contract.answers import AnswerView, FinishReason, Usage
from phi_client.contract.reasoning import ReasoningSplitter, find_boxed_answer, split_reasoning

if TYPE_CHECKING:
    from phi_client._call.details import TokenLogprob, ToolCall, ToolCallDelta

__all__ = ["Completion", "CompletionBuilder", "CompletionChunk", "Origin", "completion_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    r"""A finished chat completion.

    `content` is the text after the reasoning, `reasoning` the text inside `<think>` or of the wire's own
    field, `raw` the body as received (of a stream: its chunks merged). `finish_reason` is `length` when the
    token budget ended first; then `content` may be empty. `finish_reason` and `usage` are `None` where the
    service does not report them (the older `/score`). `request_id` is what to quote in a support case,
    `client_request_id` the id that was sent. `endpoint` is the base URL that answered, `hops` the endpoints that
    were tried before it, `headers` those of the answer, with names in lower case.
    """

    content: str
    reasoning: str
    finish_reason: FinishReason | None
    usage: Usage | None
    request_id: str | None
    model: str | None
    client_request_id: str = field(default="", compare=False)
    endpoint: str = field(default="", compare=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)
    hops: tuple[Hop, ...] = field(default=(), compare=False)
    raw: dict[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)

    @property
    def answer(self) -> str | None:
        r"""The payload of the last `\boxed{…}` in `content`, or `None` when there is none."""
        return find_boxed_answer(self.content)

    @property
    def tool_calls(self) -> "tuple[ToolCall, ...]":
        """The functions that the model wants called, in order."""
        from phi_client._call.details import read_tool_calls  # noqa: PLC0415  # few answers have any

        return read_tool_calls(self._said.get("tool_calls"))

    @property
    def logprobs(self) -> "tuple[TokenLogprob, ...] | None":
        """The tokens of the answer with their probabilities, or `None` when they were not asked for or not given."""
        from phi_client._call.details import read_logprobs  # noqa: PLC0415  # few answers have any

        return read_logprobs(self._choice.get("logprobs"))

    @property
    def message(self) -> dict[str, Any]:
        """What to put into the next call's messages: the content without its reasoning, the tool calls as they came."""
        calls = self._said.get("tool_calls")
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        return {**message, "tool_calls": calls} if calls else message

    @property
    def _choice(self) -> dict[str, Any]:
        choices: list[dict[str, Any]] = self.raw.get("choices") or [{}]
        return choices[0]

    @property
    def _said(self) -> dict[str, Any]:
        said: dict[str, Any] = self._choice.get("message") or {}
        return said

    @property
    def ends_in_reasoning(self) -> bool:
        """True when the budget of tokens was used up before the reasoning was closed: then there is no content."""
        is_cut = self.finish_reason == "length" and not self.content and bool(self.reasoning)
        return is_cut and not self.tool_calls

    if not TYPE_CHECKING:  # for type checkers an attribute that is not there must stay a mistake

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(missing_attribute(name, "completion", dir(type(self))))


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionChunk:
    """What one event adds: pieces of reasoning and content, already split; a tag never shows.

    `finish_reason` and `usage` are set on the chunk that brings them. `raw` is the chunk as received.
    """

    reasoning: str = ""
    content: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    raw: dict[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)

    @property
    def tool_calls(self) -> "tuple[ToolCallDelta, ...]":
        """Pieces of the functions that the model wants called."""
        from phi_client._call.details import read_tool_call_deltas  # noqa: PLC0415  # few chunks have any

        choices: list[dict[str, Any]] = self.raw.get("choices") or []
        delta: dict[str, Any] = (choices[0].get("delta") or {}) if choices else {}
        return read_tool_call_deltas(delta.get("tool_calls"))

    if not TYPE_CHECKING:  # as for a completion

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(missing_attribute(name, "chunk", dir(type(self))))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a completion came from."""

    request_id: str | None
    client_request_id: str
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    hops: tuple[Hop, ...] = ()


def completion_of(chat: AnswerView, origin: Origin) -> Completion:
    """Read a whole answer, which must have a choice. A reasoning field wins over a tag in the content."""
    choice = chat.choices[0]
    elsewhere = choice.reasoning_content.strip()
    split = split_reasoning(choice.content, reasoning_elsewhere=bool(elsewhere))
    return Completion(
        content=split.content,
        reasoning=elsewhere or split.reasoning,
        finish_reason=choice.finish_reason,
        usage=chat.usage,
        request_id=origin.request_id,
        model=chat.raw.get("model"),
        client_request_id=origin.client_request_id,
        endpoint=origin.endpoint,
        headers=origin.headers,
        hops=origin.hops,
        raw=chat.raw,
    )


_HEAD: Final = ("id", "created", "model")


class CompletionBuilder:
    """Puts the chunks of a stream together; what is built equals what a whole answer gives."""

    def __init__(self, origin: Origin) -> None:
        self.finish_reason: FinishReason | None = None
        self._origin = origin
        self._splitter = ReasoningSplitter()
        self._field: list[str] = []
        self._usage: Usage | None = None
        self._raw_usage: object = None
        self._text: list[str] = []
        self._head: dict[str, Any] = {}
        self._tool_calls: list[object] = []
        self._logprobs: list[object] = []

    def add(self, chunk: AnswerView) -> CompletionChunk:
        """What `chunk` adds; choices beyond the first are left out."""
        if len(self._head) < len(_HEAD):
            self._head = {name: chunk.raw[name] for name in _HEAD if chunk.raw.get(name)} | self._head
        if chunk.usage is not None:
            self._usage, self._raw_usage = chunk.usage, chunk.raw.get("usage")
        reasoning, content, finish_reason = "", "", None
        for choice in chunk.choices:
            if choice.index != 0:
                continue
            reasoning += self._add_field(choice.reasoning_content)
            split = self._splitter.feed(self._noted(choice.content))
            content += split.content
            reasoning += "" if self._field else split.reasoning
            finish_reason = choice.finish_reason or finish_reason
            if choice.tool_calls:
                self._tool_calls.append(choice.tool_calls)
            if choice.logprobs:
                self._logprobs += choice.logprobs
        self.finish_reason = finish_reason or self.finish_reason
        return CompletionChunk(
            reasoning=reasoning,
            content=content,
            finish_reason=finish_reason,
            usage=chunk.usage,
            raw=chunk.raw,
        )

    def finish(self) -> CompletionChunk:
        """What the end of the stream releases: text that was held back as a possible tag."""
        split = self._splitter.flush()
        return CompletionChunk(reasoning="" if self._field else split.reasoning, content=split.content)

    def build(self) -> Completion:
        """The completion of what came so far."""
        field_text = "".join(self._field).strip()
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text)}
        if self._field:
            message["reasoning_content"] = "".join(self._field)
        if self._tool_calls:
            from phi_client._call.details import merge_tool_calls  # noqa: PLC0415  # few answers have any

            message["tool_calls"] = merge_tool_calls(self._tool_calls)
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        raw: dict[str, Any] = {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self._raw_usage,
        }
        return Completion(
            content=self._splitter.content,
            reasoning=field_text or self._splitter.reasoning,
            finish_reason=self.finish_reason,
            usage=self._usage,
            request_id=self._origin.request_id,
            model=self._head.get("model"),
            client_request_id=self._origin.client_request_id,
            endpoint=self._origin.endpoint,
            headers=self._origin.headers,
            hops=self._origin.hops,
            raw=raw,
        )

    def _add_field(self, text: str) -> str:
        if not text:
            return ""
        self._splitter.reasoning_elsewhere = True
        self._field.append(text)
        return text

    def _noted(self, text: str) -> str:
        self._text.append(text)
        return text
