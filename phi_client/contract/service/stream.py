"""The events of one streamed answer. The one place that knows a chunk's shape, but for what a surface adds to it.

It must not know which surface it writes for. What all chunks of a stream have in common is turned into bytes once, so
that a piece of text costs the escaping of its own letters.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from secrets import token_hex
from typing import Any, Final, Literal

from phi_client.contract.answers import FinishReason
from phi_client.contract.service.chat import WireUsage
from phi_client.contract.service.filter_results import SAFE_PROMPT
from phi_client.contract.wire import dump_json

__all__ = ["Chunk", "StreamWriter", "UsagePlace"]

Chunk = dict[str, Any]
"""A piece of a streamed answer as a JSON object."""

UsagePlace = Literal["with the last", "after the last", "never"]
"""The chunk that brings the usage: the last one, or one of its own that follows it."""

_ANNOTATION: Final[Chunk] = {"id": "", "object": "", "created": 0, "model": "", "choices": []}


class StreamWriter:
    """Writes one stream: `begin`, then pieces in any number, then `end`. Each returns whole events.

    `write` turns a chunk into an event, `head` is what all chunks begin with, `annotates` says whether the content
    filter's word is sent.
    """

    def __init__(
        self,
        write: Callable[[Chunk], bytes],
        head: Mapping[str, Any],
        *,
        usage: UsagePlace,
        annotates: bool,
    ) -> None:
        self._write = write
        self._head = dict(head)
        self._usage = usage
        self._annotates = annotates

    def begin(self, prompt_results: Sequence[Mapping[str, Any]] = SAFE_PROMPT) -> bytes:
        """The role and an empty text (recorded serverless stream), after what was found in the prompt if that is told.

        The chunk of the prompt has a head of its own (seen on Azure OpenAI).
        """
        first = self._event({"role": "assistant", "content": ""})
        if not self._annotates:
            return first
        return self._write({**_ANNOTATION, "prompt_filter_results": prompt_results}) + first

    def text(self, piece: str) -> bytes:
        """A chunk that adds a piece of text."""
        before, after = self._around_text
        return before + dump_json(piece) + after

    def reasoning(self, piece: str) -> bytes:
        """A chunk that adds to the reasoning where that has a field of its own (Azure documentation)."""
        before, after = self._around_reasoning
        return before + dump_json(piece) + after

    def tool_call(self, call: Mapping[str, Any]) -> bytes:
        """A chunk that begins a call of a tool, or adds to its arguments (the OpenAI API)."""
        return self._event({"tool_calls": [call]})

    def end(
        self, finish_reason: FinishReason, usage: WireUsage, results: Mapping[str, Any] | None = None
    ) -> bytes:
        """The finish reason and an empty text (recorded serverless stream), with what was found in the answer.

        Usage comes with them, or in a chunk without choices for those who asked (the OpenAI API).
        """
        found = {"content_filter_results": results} if self._annotates and results is not None else {}
        last = self._chunk({"content": ""}, finish_reason, **found)
        if self._usage == "with the last":
            last["usage"] = usage
        written = self._write(last)
        if self._usage == "after the last":
            written += self._write({**self._head, "choices": [], "usage": usage})
        return written

    @cached_property
    def _around_text(self) -> tuple[bytes, bytes]:
        return self._around(lambda text: {"content": text})

    @cached_property
    def _around_reasoning(self) -> tuple[bytes, bytes]:
        return self._around(lambda text: {"content": "", "reasoning_content": text})

    def _around(self, delta_of: Callable[[str], Mapping[str, Any]]) -> tuple[bytes, bytes]:
        """What stands before and after a text in the event that carries it."""
        # Nobody can foresee it: the head has words of the caller's.
        mark = token_hex()
        before, _, after = self._event(delta_of(mark)).partition(dump_json(mark))
        return before, after

    def _event(self, delta: Mapping[str, Any]) -> bytes:
        return self._write(self._chunk(delta))

    def _chunk(
        self, delta: Mapping[str, Any], finish_reason: FinishReason | None = None, **found: Any
    ) -> Chunk:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None, **found}
        # Usage that comes later is null until then (the OpenAI API).
        later = {"usage": None} if self._usage == "after the last" else {}
        return {**self._head, "choices": [choice], **later}
