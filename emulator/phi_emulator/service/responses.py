"""An answer in the making, as the contract's objects: one completion, or a run of chunks.

It must not know routes, bytes or who listens.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypedDict

from phi_client.contract.reasoning import ReasoningSplitter, SplitText, split_reasoning
from phi_client.contract.service import Surface
from phi_client.contract.service.chat import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    FinishReason,
    WireUsage,
    annotation_chunk,
    content_chunk,
    finish_chunk,
    reasoning_chunk,
    role_chunk,
    tool_call_chunk,
    usage_chunk,
)
from phi_client.contract.service.filter_results import prompt_filter_results
from phi_emulator.engine.errors import EngineError
from phi_emulator.engine.protocol import EndReason
from phi_emulator.engine.serving.generation import Generation, Outcome, Times
from phi_emulator.forms.tool_calls import CallArguments, CallBegin, Found, SaidText, ToolCallReader
from phi_emulator.service.content_filter import AnswerFilter
from phi_emulator.service.errors import error_of_engine
from phi_emulator.service.rate_limits import Admission, RateLimits

__all__ = ["Answer"]


class Answer:
    """One answer. Ask for `complete()` or for `chunks()`, once, and call `cancel()` in the end in any case.

    `prompt_found` is what the content filter found in the prompt, `watch` what it does to the answer, `reader` finds
    the calls of tools in it.
    """

    def __init__(
        self,
        generation: Generation,
        dialect: Surface,
        *,
        request_id: str,
        model: str,
        fingerprint: str,
        admission: Admission,
        limits: RateLimits,
        prompt_found: Mapping[str, str],
        watch: AnswerFilter | None,
        includes_usage: bool,
        reader: ToolCallReader | None = None,
    ) -> None:
        self.admission = admission
        self._limits = limits
        self._is_refused = False
        self._generation = generation
        self._dialect = dialect
        # The recorded answers of a Phi model derive their id from the request's.
        self._id = f"chatcmpl-{request_id}"
        self._model = model
        # Named on no other surface; see `Facts.tells_details`.
        self._details = {"system_fingerprint": fingerprint} if dialect.tells_details else {}
        self._created = int(time.time())
        self._prompt_results = prompt_filter_results(prompt_found)
        self._watch = watch
        self._includes_usage = includes_usage
        self._reader = reader

    @property
    def usage(self) -> WireUsage | None:
        """Tokens, once the answer is through."""
        outcome = self._generation.outcome
        return None if outcome is None else self._usage(outcome)

    @property
    def times(self) -> Times | None:
        """When it came to what, once the answer is through."""
        outcome = self._generation.outcome
        return None if outcome is None else outcome.times

    async def complete(self) -> ChatCompletion:
        """The whole answer.

        Raises:
            ServiceError: the engine failed or was stopped.
        """
        text, calls = "", list[dict[str, Any]]()
        async for piece in self._pieces():
            for found in self._find(piece):
                if isinstance(found, SaidText):
                    text += found.text
                else:
                    _join_call(calls, self._call(found))
        outcome, reason = self._ending()
        message = AssistantMessage(role="assistant", content=text)
        if self._is_blocked:
            # What a blocked answer said is not sent at all.
            message = AssistantMessage(role="assistant")
            if not self._dialect.annotates:
                message = message.model_copy(update={"content": ""})
        elif self._has_reasoning_field:
            split = split_reasoning(text)
            message = AssistantMessage(
                role="assistant", content=split.content, reasoning_content=split.reasoning
            )
        if calls and not self._is_blocked:
            message = message.model_copy(update={"tool_calls": calls})
        choice = Choice(index=0, message=message, finish_reason=reason)
        if self._watch is not None:
            choice = choice.model_copy(update={"content_filter_results": self._watch.results})
        return ChatCompletion(
            id=self._id,
            object="chat.completion",
            created=self._created,
            model=self._model,
            choices=[choice],
            usage=self._usage(outcome),
            prompt_filter_results=self._prompt_results,
            **self._details,
        )

    async def chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        """The role, the text as it comes, then finish reason and usage; with what else the surface streams.

        Raises:
            ServiceError: the engine failed or was stopped.
        """
        if self._dialect.opens_with_annotations:
            yield annotation_chunk(self._prompt_results)
        head = self._head
        yield self._chunk(role_chunk(**head))
        splitter = ReasoningSplitter() if self._has_reasoning_field else None
        async for text in self._pieces():
            for found in self._find(text):
                for chunk in self._chunks_of_found(found, splitter):
                    yield chunk
        if splitter is not None:
            for chunk in self._chunks_of(splitter.flush()):
                yield chunk
        outcome, reason = self._ending()
        usage = self._usage(outcome)
        is_unasked = self._dialect.streams_usage == "unasked"
        results = (
            None if self._watch is None or not self._dialect.opens_with_annotations else self._watch.results
        )
        last = finish_chunk(reason, usage if is_unasked else None, **head, content_filter_results=results)
        yield last if is_unasked else self._chunk(last)
        if self._includes_usage and not is_unasked:
            yield usage_chunk(usage, **head).model_copy(update=self._details)

    def _find(self, text: str | None) -> list[Found]:
        """Text and calls in a piece of the answer; `None` is its end."""
        if self._reader is not None:
            return self._reader.flush() if text is None else self._reader.feed(text)
        return [SaidText(text)] if text else []

    def _call(self, found: CallBegin | CallArguments) -> dict[str, Any]:
        """A piece of a call as the OpenAI API has it."""
        if isinstance(found, CallArguments):
            return {"index": found.number, "function": {"arguments": found.text}}
        return {
            "index": found.number,
            "id": f"call_{self._id.replace('-', '')[-24:]}_{found.number}",
            "type": "function",
            "function": {"name": found.name, "arguments": ""},
        }

    def _chunks_of_found(
        self, found: Found, splitter: ReasoningSplitter | None
    ) -> Iterator[ChatCompletionChunk]:
        if not isinstance(found, SaidText):
            yield self._chunk(tool_call_chunk(self._call(found), **self._head))
            return
        yield from self._chunks_of(
            SplitText(content=found.text) if splitter is None else splitter.feed(found.text)
        )

    def _chunks_of(self, split: SplitText) -> Iterator[ChatCompletionChunk]:
        if split.reasoning:
            yield self._chunk(reasoning_chunk(split.reasoning, **self._head))
        if split.content:
            yield self._chunk(content_chunk(split.content, **self._head))

    def _chunk(self, chunk: ChatCompletionChunk) -> ChatCompletionChunk:
        """`chunk`, whose usage is null where usage comes later because it was asked for (the OpenAI API)."""
        if self._includes_usage and self._dialect.streams_usage == "on request":
            chunk = chunk.model_copy(update={"usage": None})
        return chunk.model_copy(update=self._details) if self._details else chunk

    def cancel(self) -> None:
        """Free the engine before its next step, and the place among the limits. Does no harm after the end."""
        self._generation.cancel()
        usage = self.usage
        if self._is_refused:
            self._limits.withdraw(self.admission)
        else:
            self._limits.settle(self.admission, None if usage is None else usage.total_tokens)

    @property
    def _head(self) -> _Head:
        return {"id": self._id, "created": self._created, "model": self._model}

    @property
    def _has_reasoning_field(self) -> bool:
        return self._dialect.reasoning_in == "reasoning_content"

    @property
    def _is_blocked(self) -> bool:
        return self._watch is not None and self._watch.stopped

    def _ending(self) -> tuple[Outcome, FinishReason]:
        """How the generation ended, and what is said of it; where answers are blanked, nothing is (see `Facts`)."""
        outcome = self._generation.outcome
        if outcome is None:
            raise RuntimeError("the generation ended without an outcome")
        is_told = self._is_blocked and self._dialect.annotates
        if self._reader is not None and self._reader.complete and outcome.reason is EndReason.STOP:
            return outcome, "content_filter" if is_told else "tool_calls"
        return outcome, "content_filter" if is_told else outcome.reason.value

    def _usage(self, outcome: Outcome) -> WireUsage:
        usage = WireUsage(
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
            total_tokens=outcome.prompt_tokens + outcome.completion_tokens,
        )
        if not self._dialect.tells_details:
            return usage
        cached = {"cached_tokens": outcome.cached_prompt_tokens}
        return usage.model_copy(update={"prompt_tokens_details": cached})

    async def _pieces(self) -> AsyncIterator[str | None]:
        """The text as it comes, and `None` at its end."""
        has_text = False
        try:
            async for text in self._generation:
                has_text = True
                yield text
            yield None
        except EngineError as error:
            self._is_refused = not has_text
            raise error_of_engine(error, self._dialect) from error


def _join_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece to the calls of a whole answer."""
    index = piece.pop("index")
    if index == len(calls):
        calls.append(piece)
    else:
        calls[index]["function"]["arguments"] += piece["function"]["arguments"]


class _Head(TypedDict):
    """What all chunks of an answer begin with."""

    id: str
    created: int
    model: str
