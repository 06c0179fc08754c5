"""An answer in the making: one completion, or the events of a stream, as the contract writes them.

It must not know routes, HTTP or who listens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from phi_client.contract.reasoning import ReasoningSplitter, SplitText, split_reasoning
from phi_client.contract.service import Surface
from phi_client.contract.service.chat import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    FinishReason,
    WireUsage,
)
from phi_client.contract.service.filter_results import prompt_filter_results
from phi_client.contract.service.stream import StreamWriter
from phi_emulator.engine.errors import EngineError
from phi_emulator.engine.protocol import EndReason, Sampling
from phi_emulator.engine.serving.generation import Generation, Outcome, Progress, Times
from phi_emulator.forms.tool_calls import CallArguments, CallBegin, Found, SaidText, ToolCallReader
from phi_emulator.service.content_filter import AnswerFilter
from phi_emulator.service.errors import error_of_engine
from phi_emulator.service.pacing import Pace
from phi_emulator.service.rate_limits import Admission, RateLimits

__all__ = ["Answer"]


class Answer:
    """One answer. Ask for `complete()` or for `events()`, once, and call `cancel()` in the end in any case.

    `prompt_found` is what the content filter found in the prompt, `watch` what it does to the answer, `reader` finds
    the calls of tools in it. `usage` is told in the place of what was counted. With a `pace` it comes no faster than
    that.
    """

    def __init__(
        self,
        generation: Generation,
        dialect: Surface,
        *,
        request_id: str,
        model: str,
        fingerprint: str,
        sampling: Sampling,
        admission: Admission,
        limits: RateLimits,
        prompt_found: Mapping[str, str],
        watch: AnswerFilter | None,
        includes_usage: bool,
        created: int,
        reader: ToolCallReader | None = None,
        usage: Mapping[str, int] | None = None,
        pace: Pace | None = None,
        prompt_tokens: int = 0,
    ) -> None:
        self.sampling = sampling
        """How its tokens are chosen, and how many it may have."""
        self.admission = admission
        self._limits = limits
        self._is_refused = False
        self._generation = generation
        self._dialect = dialect
        # The recorded answers of a Phi model derive their id from the request's.
        self._id = f"chatcmpl-{request_id}"
        self._model = model
        self._fingerprint = fingerprint
        self._created = created
        self._prompt_results = prompt_filter_results(prompt_found)
        self._watch = watch
        self._includes_usage = includes_usage
        self._reader = reader
        self._told = usage or {}
        self.pace = pace
        self._prompt_tokens = prompt_tokens

    @property
    def usage(self) -> WireUsage | None:
        """Tokens, once the answer is through."""
        outcome = self._generation.outcome
        return None if outcome is None else self._usage(outcome)

    @property
    def progress(self) -> Progress:
        """How far it has come, also where it never comes to its end."""
        return self._generation.progress

    @property
    def finish_reason(self) -> FinishReason | None:
        """What was said of its end, once the answer is through."""
        return None if self._generation.outcome is None else self._ending()[1]

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
        async for found in self._found(whole=True):
            for one in found:
                if isinstance(one, SaidText):
                    text += one.text
                else:
                    _join_call(calls, self._call(one))
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
            **({"system_fingerprint": self._fingerprint} if self._dialect.tells_details else {}),
        )

    async def events(self) -> AsyncIterator[bytes]:
        """The role, the text as it comes, finish reason and usage, with what else the surface streams; then the end.

        A piece of text is an event; those that come together are handed over together.

        Raises:
            ServiceError: the engine failed or was stopped.
        """
        writer = self._dialect.open_stream(
            self._id,
            self._created,
            self._model,
            fingerprint=self._fingerprint,
            asks_usage=self._includes_usage,
        )
        yield writer.begin(self._prompt_results)
        splitter = ReasoningSplitter() if self._has_reasoning_field else None
        async for found in self._found(whole=False):
            written = b"".join(event for one in found for event in self._write(writer, one, splitter))
            if written:
                yield written
        rest = b"" if splitter is None else b"".join(_write_text(writer, splitter.flush()))
        outcome, reason = self._ending()
        results = None if self._watch is None else self._watch.results
        yield rest + writer.end(reason, self._usage(outcome), results) + self._dialect.write_done()

    def _write(
        self, writer: StreamWriter, found: Found, splitter: ReasoningSplitter | None
    ) -> Iterator[bytes]:
        if not isinstance(found, SaidText):
            yield writer.tool_call(self._call(found))
        elif splitter is None:
            yield writer.text(found.text)
        else:
            yield from _write_text(writer, splitter.feed(found.text))

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

    def cancel(self) -> None:
        """Free the engine before its next step, and the place among the limits. Does no harm after the end."""
        self._generation.cancel()
        usage = self.usage
        if self._is_refused:
            self._limits.withdraw(self.admission)
        else:
            self._limits.settle(self.admission, None if usage is None else usage.total_tokens)

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
        if self._told:
            usage = usage.model_copy(update={"total_tokens": self._total(usage)} | dict(self._told))
        if not self._dialect.tells_details:
            return usage
        cached = {"cached_tokens": outcome.cached_prompt_tokens}
        return usage.model_copy(update={"prompt_tokens_details": cached})

    def _total(self, counted: WireUsage) -> int:
        """Of what is told, as far as it is told."""
        return self._told.get("prompt_tokens", counted.prompt_tokens) + self._told.get(
            "completion_tokens", counted.completion_tokens
        )

    async def _found(self, *, whole: bool) -> AsyncIterator[list[Found]]:
        """Text and calls as they come, all that is there at a time."""
        has_text = False
        try:
            async for texts in self._texts(whole=whole):
                has_text = True
                yield [one for text in texts for one in self._find(text)]
        except EngineError as error:
            self._is_refused = not has_text
            raise error_of_engine(error, self._dialect) from error
        if self._reader is not None:
            yield self._reader.flush()

    async def _texts(self, *, whole: bool) -> AsyncIterator[list[str]]:
        """The text as it is to be sent."""
        if self.pace is None:
            async for pieces in self._generation.batches():
                yield [piece.text for piece in pieces]
        else:
            async for texts in self.pace.texts(self._generation, self._prompt_tokens, whole=whole):
                yield texts

    def _find(self, text: str) -> list[Found]:
        return [SaidText(text)] if self._reader is None else self._reader.feed(text)


def _write_text(writer: StreamWriter, split: SplitText) -> Iterator[bytes]:
    if split.reasoning:
        yield writer.reasoning(split.reasoning)
    if split.content:
        yield writer.text(split.content)


def _join_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece to the calls of a whole answer."""
    index = piece.pop("index")
    if index == len(calls):
        calls.append(piece)
    else:
        calls[index]["function"]["arguments"] += piece["function"]["arguments"]
