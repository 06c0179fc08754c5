"""A completion out of the chunks of a stream: the answer that would have come whole.

It must not know how the chunks came, nor read more of them than it puts together.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from phi_client._call.completion import Completion, CompletionChunk, Origin, completion_of
from phi_client.contract.answers import CUT_REASONS, AnswerView, ChoiceView, FinishReason, view_answer
from phi_client.contract.reasoning import ReasoningSplitter

__all__ = ["CompletionBuilder"]

_NOT_HEAD: Final = frozenset({"choices", "object", "obfuscation", "usage"})
"""What a chunk has beside the head of its answer: its own, and padding."""
_OWN: Final = frozenset({"index", "delta", "finish_reason", "logprobs"})
_OWN_SAID: Final = frozenset({"role", "content", "tool_calls"})
"""What of a choice and of its delta is put together by itself."""


class CompletionBuilder:
    """Puts the chunks of a stream together, into the answer that would have come whole, and reads that."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._splitter = ReasoningSplitter()
        self._usage: object = None
        self._head: dict[str, Any] = {}
        # Names of which no chunk can say more: of the head what has a value, and what is none of it.
        self._known = set(_NOT_HEAD)
        self._parts: dict[int, _Parts] = {}

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the first choice ended, if it did."""
        first = self._parts.get(0)
        if first is None and self._parts:
            first = self._parts[min(self._parts)]
        return None if first is None else first.finish_reason

    def add(self, chunk: AnswerView) -> CompletionChunk:
        """What `chunk` adds to the first choice; others are in the completion only."""
        if not chunk.raw.keys() <= self._known:
            for name in chunk.raw.keys() - self._known:
                self._head[name] = chunk.raw[name]
                if self._head[name]:
                    self._known.add(name)
        if chunk.usage is not None:
            self._usage = chunk.raw.get("usage")
        reasoning, content, finish_reason = "", "", None
        for choice in chunk.choices:
            parts = self._parts.get(choice.index)
            if parts is None:
                parts = self._parts[choice.index] = _Parts()
            parts.add(choice)
            if choice.index != 0:
                continue
            if choice.reasoning_content:
                self._splitter.reasoning_elsewhere = True
                reasoning += choice.reasoning_content
            split = self._splitter.feed(choice.content)
            content += split.content
            reasoning += "" if parts.fields else split.reasoning
            finish_reason = choice.finish_reason or finish_reason
        return CompletionChunk(
            reasoning=reasoning,
            content=content,
            finish_reason=finish_reason,
            usage=chunk.usage,
            raw=chunk.raw,
        )

    def finish(self) -> CompletionChunk:
        """What the end of the stream releases: text that was held back as a possible tag."""
        first = self._parts.get(0)
        if first is None and self._parts:
            # No choice is the first by its number, so the lowest is: nothing of it has been handed out.
            whole = self.build()
            return CompletionChunk(reasoning=whole.reasoning, content=whole.content)
        split = self._splitter.flush(is_cut=self.finish_reason in CUT_REASONS)
        has_field = first is not None and bool(first.fields)
        return CompletionChunk(reasoning="" if has_field else split.reasoning, content=split.content)

    def build(self) -> Completion:
        """The completion of what came so far."""
        parts = self._parts or {0: _Parts()}
        raw: dict[str, Any] = {
            **self._head,
            "object": "chat.completion",
            "choices": [parts[index].merged(index) for index in sorted(parts)],
            "usage": self._usage,
        }
        return completion_of(view_answer(raw, "message"), self._origin)


class _Parts:
    """What the chunks said of one choice."""

    def __init__(self) -> None:
        self.finish_reason: FinishReason | None = None
        # The pieces of the reasoning by the key under which they came.
        self.fields: dict[str, list[str]] = {}
        self._texts: list[str] = []
        self._members: dict[str, Any] = {}
        self._said: dict[str, Any] = {}
        self._tool_calls: list[object] = []
        self._logprobs: list[object] = []

    def add(self, choice: ChoiceView) -> None:
        self.finish_reason = choice.finish_reason or self.finish_reason
        if choice.content or choice.said.get("content") is not None:
            self._texts.append(choice.content)
        if choice.reasoning_content:
            self.fields.setdefault(choice.reasoning_field, []).append(choice.reasoning_content)
        if choice.tool_calls:
            self._tool_calls.append(choice.tool_calls)
        if choice.logprobs:
            self._logprobs += choice.logprobs
        if not choice.members.keys() <= _OWN:
            _put_together(self._members, choice.members, choice.members.keys() - _OWN)
        if not choice.said.keys() <= _OWN_SAID:
            _put_together(self._said, choice.said, choice.said.keys() - _OWN_SAID - {choice.reasoning_field})

    def merged(self, index: int) -> dict[str, Any]:
        """The choice as a whole answer has it."""
        text = "".join(self._texts) if self._texts else None
        message: dict[str, Any] = {"role": "assistant", "content": text, **self._said}
        message |= {name: "".join(pieces) for name, pieces in self.fields.items()}
        if self._tool_calls:
            from phi_client._call.details import merge_tool_calls  # noqa: PLC0415  # few answers have any

            message["tool_calls"] = merge_tool_calls(self._tool_calls)
        choice: dict[str, Any] = {"index": index, "message": message, "finish_reason": self.finish_reason}
        choice |= self._members
        return {**choice, "logprobs": {"content": self._logprobs}} if self._logprobs else choice


def _put_together(whole: dict[str, Any], piece: Mapping[str, Any], names: Collection[str]) -> None:
    """Add what a chunk has under these names: texts and lists go on, of anything else the last counts."""
    for name in names:
        old, new = whole.get(name), piece[name]
        if (isinstance(old, str) and isinstance(new, str)) or (
            isinstance(old, list) and isinstance(new, list)
        ):
            whole[name] = cast("Any", old) + new
        elif new is not None or name not in whole:
            whole[name] = new
