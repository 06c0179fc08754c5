"""An answer in the making, as the contract's objects: one completion, or a run of chunks.

It must not know routes, bytes or who listens.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Literal

from phi_client.contract.chat import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    Usage,
    content_chunk,
    finish_chunk,
    reasoning_chunk,
    role_chunk,
)
from phi_client.contract.reasoning import ReasoningSplitter, SplitText, split_reasoning
from phi_emulator.engine.base import EngineError
from phi_emulator.engine.worker import Generation, Outcome
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.rate_limits import Admission

__all__ = ["Answer"]


class Answer:
    """One answer. Ask for `complete()` or for `chunks()`, once, and call `cancel()` in the end in any case."""

    def __init__(
        self,
        generation: Generation,
        refusal: Callable[[EngineError], ServiceError],
        *,
        request_id: str,
        model: str,
        reasoning_in: Literal["content", "reasoning_content"] = "content",
        admission: Admission,
        settle: Callable[[Admission, int | None], None],
    ) -> None:
        self.admission = admission
        self._settle = settle
        self._generation = generation
        self._refusal = refusal
        # The recorded answers of a Phi model derive their id from the request's.
        self._id = f"chatcmpl-{request_id}"
        self._model = model
        self._created = int(time.time())
        self._has_reasoning_field = reasoning_in == "reasoning_content"

    @property
    def usage(self) -> Usage | None:
        """Tokens, once the answer is through."""
        outcome = self._generation.outcome
        return None if outcome is None else _usage(outcome)

    async def complete(self) -> ChatCompletion:
        """The whole answer.

        Raises:
            ServiceError: the engine failed or was stopped.
        """
        text = "".join([piece async for piece in self._pieces()])
        outcome = self._outcome()
        message = AssistantMessage(role="assistant", content=text)
        if self._has_reasoning_field:
            split = split_reasoning(text)
            message = AssistantMessage(
                role="assistant", content=split.content, reasoning_content=split.reasoning
            )
        return ChatCompletion(
            id=self._id,
            object="chat.completion",
            created=self._created,
            model=self._model,
            choices=[Choice(index=0, message=message, finish_reason=outcome.reason.value)],
            usage=_usage(outcome),
        )

    async def chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        """The role, the text as it comes, then finish reason and usage.

        Raises:
            ServiceError: the engine failed or was stopped.
        """
        yield role_chunk(id=self._id, created=self._created, model=self._model)
        splitter = ReasoningSplitter() if self._has_reasoning_field else None
        async for text in self._pieces():
            for chunk in self._chunks_of(
                SplitText(content=text) if splitter is None else splitter.feed(text)
            ):
                yield chunk
        if splitter is not None:
            for chunk in self._chunks_of(splitter.flush()):
                yield chunk
        outcome = self._outcome()
        yield finish_chunk(
            outcome.reason.value, _usage(outcome), id=self._id, created=self._created, model=self._model
        )

    def _chunks_of(self, split: SplitText) -> Iterator[ChatCompletionChunk]:
        if split.reasoning:
            yield reasoning_chunk(split.reasoning, id=self._id, created=self._created, model=self._model)
        if split.content:
            yield content_chunk(split.content, id=self._id, created=self._created, model=self._model)

    def cancel(self) -> None:
        """Free the engine before its next step, and the place among the limits. Does no harm after the end."""
        self._generation.cancel()
        usage = self.usage
        self._settle(self.admission, None if usage is None else usage.total_tokens)

    async def _pieces(self) -> AsyncIterator[str]:
        try:
            async for text in self._generation:
                yield text
        except EngineError as error:
            raise self._refusal(error) from error

    def _outcome(self) -> Outcome:
        outcome = self._generation.outcome
        if outcome is None:
            raise RuntimeError("the generation ended without an outcome")
        return outcome


def _usage(outcome: Outcome) -> Usage:
    return Usage(
        prompt_tokens=outcome.prompt_tokens,
        completion_tokens=outcome.completion_tokens,
        total_tokens=outcome.prompt_tokens + outcome.completion_tokens,
    )
