"""An answer in the making, as the contract's objects: one completion, or a run of chunks.

It must not know routes, bytes or who listens.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TypedDict

from phi_client.contract.chat import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    FinishReason,
    Usage,
    annotation_chunk,
    content_chunk,
    finish_chunk,
    reasoning_chunk,
    role_chunk,
    usage_chunk,
)
from phi_client.contract.dialects import Dialect
from phi_client.contract.filter_results import prompt_filter_results
from phi_client.contract.reasoning import ReasoningSplitter, SplitText, split_reasoning
from phi_emulator.engine.base import EngineError
from phi_emulator.engine.worker import Generation, Outcome
from phi_emulator.service.content_filter import AnswerFilter
from phi_emulator.service.errors import error_of_engine
from phi_emulator.service.rate_limits import Admission

__all__ = ["Answer"]


class Answer:
    """One answer. Ask for `complete()` or for `chunks()`, once, and call `cancel()` in the end in any case.

    `prompt_found` is what the content filter found in the prompt, `watch` what it does to the answer.
    """

    def __init__(
        self,
        generation: Generation,
        dialect: Dialect,
        *,
        request_id: str,
        model: str,
        fingerprint: str,
        admission: Admission,
        settle: Callable[[Admission, int | None], None],
        prompt_found: Mapping[str, str],
        watch: AnswerFilter | None,
        includes_usage: bool,
    ) -> None:
        self.admission = admission
        self._settle = settle
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

    @property
    def usage(self) -> Usage | None:
        """Tokens, once the answer is through."""
        outcome = self._generation.outcome
        return None if outcome is None else self._usage(outcome)

    async def complete(self) -> ChatCompletion:
        """The whole answer.

        Raises:
            ServiceError: the engine failed or was stopped.
        """
        text = "".join([piece async for piece in self._pieces()])
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
            for chunk in self._chunks_of(
                SplitText(content=text) if splitter is None else splitter.feed(text)
            ):
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
        self._settle(self.admission, None if usage is None else usage.total_tokens)

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
        return outcome, "content_filter" if is_told else outcome.reason.value

    def _usage(self, outcome: Outcome) -> Usage:
        usage = Usage(
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
            total_tokens=outcome.prompt_tokens + outcome.completion_tokens,
        )
        if not self._dialect.tells_details:
            return usage
        cached = {"cached_tokens": outcome.cached_prompt_tokens}
        return usage.model_copy(update={"prompt_tokens_details": cached})

    async def _pieces(self) -> AsyncIterator[str]:
        try:
            async for text in self._generation:
                yield text
        except EngineError as error:
            raise error_of_engine(error, self._dialect) from error


class _Head(TypedDict):
    """What all chunks of an answer begin with."""

    id: str
    created: int
    model: str
