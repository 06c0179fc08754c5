"""A completion as it arrives, without I/O: bytes in, chunks out.

It must not read anything: the two streams feed it bytes and hand out its chunks.

    open ──data event──> chunks ──finish reason──> ──`[DONE]` or the end──> complete
                           └── end without a finish reason, malformed chunk, error event, silence ──> raises
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from phi_client._call.building import CompletionBuilder
from phi_client._call.completion import Completion, CompletionChunk
from phi_client._call.deadline import Limits
from phi_client._call.errors import APIConnectionError, APIResponseError
from phi_client._call.exchange import Answer, Exchange, bare, without_echoes
from phi_client._call.interruptions import StreamInterruptedError
from phi_client._call.telemetry import CallTrace
from phi_client.contract.clock.base import Clock
from phi_client.contract.error_body import ErrorBody
from phi_client.contract.events import DONE, MAX_EVENT_BYTES, EventDecoder, ServerSentEvent, are_events
from phi_client.contract.wire import ContractError

__all__ = ["OpenStream", "StreamReader"]

_LAST_WORDS_S: Final = 5.0
"""How long the usage and `[DONE]` are waited for after the finish reason."""


class StreamReader:
    """Bytes in, chunks out; `answer` is the head of the stream."""

    def __init__(self, exchange: Exchange, answer: Answer, clock: Clock) -> None:
        self.answer = answer
        self.origin = exchange.origin(answer)
        self._exchange = exchange
        self._idle_limit_s = exchange.timeout.read
        self._now = clock.now
        self._last_event = clock.now()
        self._decoder = EventDecoder()
        self._builder = CompletionBuilder(self.origin)
        self._events: deque[ServerSentEvent] = deque()
        self._failure: ContractError | None = None
        self._whole: Completion | None = None
        self._has_begun = False
        # What came before the first event: it may be no stream at all.
        self._unread = bytearray()
        self._has_ended = False
        self.is_complete = False
        self.chunk_times: list[float] = []
        self.failure: StreamInterruptedError | None = None

    def feed(self, data: bytes | None) -> None:
        """Take bytes, `None` for the end of the connection.

        A failure to decode them is raised by `next_chunk`, after the chunks before it.

        Raises:
            StreamInterruptedError: comments alone came for longer than the read limit.
        """
        if data is None:
            self._end()
            return
        if not self._has_begun and len(self._unread) < MAX_EVENT_BYTES:
            self._unread += data
        try:
            self._events.extend(self._decoder.feed(data))
        except ContractError as error:
            self._failure = error
        if self._events:
            self._last_event = self._now()
        elif self._idle_limit_s is not None and self._now() - self._last_event > self._idle_limit_s:
            # Comments keep the connection busy, but are no sign of life from the model.
            raise self.interruption(f"no data event within the read limit of {self._idle_limit_s:g} s")

    def take_whole(self, answer: Answer) -> None:
        """Take the answer of a service that did not stream, as one chunk.

        Raises:
            PhiError: as of `Exchange.read_completion`.
        """
        if are_events(answer.body):
            # Events after all, under a wrong name.
            self.feed(answer.body)
            self.feed(None)
            return
        self._whole = self._exchange.read_completion(answer)
        self.chunk_times = [self._now()]

    def next_chunk(self) -> CompletionChunk | None:
        """The next chunk that says anything, or `None` when more bytes are needed or the stream is complete.

        Raises:
            StreamInterruptedError: the stream can't be completed.
            ReasoningTruncatedError: it is complete, but the budget ended inside the reasoning.
        """
        if self._whole is not None:
            return self._only_chunk(self._whole)
        while self._events:
            event = self._events.popleft()
            if event.data.strip() == DONE:
                self._events.clear()
                return self._finish()
            if not self._has_begun:
                self._has_begun = True
                self._unread.clear()
            # The queue is drained before more is read, so all in it came when the last of them did.
            self.chunk_times.append(self._last_event)
            try:
                read = self._exchange.dialect.read_event(event)
            except ContractError as error:
                raise self.interruption(str(error)) from bare(error)
            if isinstance(read, ErrorBody):
                # Under the same name: what the service echoed is in no variable of a traceback.
                read = without_echoes(read, self.answer.secrets)
                raise self.interruption(f"the service reports: {read.message or read.code}", read)
            chunk = self._builder.add(read)
            if chunk.reasoning or chunk.content or chunk.finish_reason or chunk.usage or chunk.tool_calls:
                return chunk
        if self._failure is not None:
            raise self.interruption(str(self._failure)) from bare(self._failure)
        return self._finish() if self._has_ended and not self.is_complete else None

    @property
    def is_answered(self) -> bool:
        """Whether the model has ended: what is still to come is an account, and the end."""
        return self._builder.finish_reason is not None

    def completion(self) -> Completion:
        """The whole, or what came so far."""
        return self._whole or self._builder.build()

    def interruption(self, reason: str, body: ErrorBody | None = None) -> StreamInterruptedError:
        """The error that carries what came so far."""
        self._builder.finish()
        self.failure = StreamInterruptedError(
            f"the stream was interrupted: {reason}", partial=self.completion(), body=body
        )
        return self.failure

    def _end(self) -> None:
        try:
            self._events.extend(self._decoder.flush())
        except ContractError as error:
            self._failure = error
        self._has_ended = True

    def _only_chunk(self, whole: Completion) -> CompletionChunk | None:
        if self.is_complete:
            return None
        self.is_complete = True
        return CompletionChunk(
            reasoning=whole.reasoning,
            content=whole.content,
            finish_reason=whole.finish_reason,
            usage=whole.usage,
            raw=whole.raw,
        )

    def _no_stream(self) -> CompletionChunk | None:
        """What came instead of events, under their name: a whole answer, or what the service says."""
        body = bytes(self._unread)
        if not body.strip() or are_events(body):
            raise self.interruption("no event came")
        try:
            self._whole = self._exchange.read_completion(replace(self.answer, body=body))
        except APIResponseError as error:
            raise self.interruption(f"no event came, and {error.message}", error.body) from None
        return self._only_chunk(self._whole)

    def _finish(self) -> CompletionChunk | None:
        if not self._has_begun:
            return self._no_stream()
        if self._builder.finish_reason is None:
            raise self.interruption("it ended without a finish reason")
        self.is_complete = True
        last = self._builder.finish()
        self._exchange.check_truncation(self.completion())
        return last if last.reasoning or last.content else None


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A stream whose 2xx head has come: its reader, what limits it, and who is told."""

    reader: StreamReader
    limits: Limits
    trace: CallTrace | None = None

    def before_read(self) -> None:
        """Before each read, which looks at the deadline: wait but a moment for what comes after an answer."""
        if self.reader.is_answered:
            self.limits.shorten_reads(_LAST_WORDS_S)

    def interrupted(self, error: APIConnectionError) -> None:
        """Take a failure after the stream began: the end, where the answer is whole.

        Raises:
            StreamInterruptedError: it is not; with what came so far.
        """
        if not self.reader.is_answered:
            raise self.reader.interruption(error.message) from error

    def end(self, error: BaseException | None) -> None:
        """Tell that the stream was left, read to its end or not."""
        if self.trace is not None:
            reader = self.reader
            failure = reader.failure or error
            self.trace.finish(reader.completion(), failure, chunk_times=reader.chunk_times)
