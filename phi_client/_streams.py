"""A completion as it arrives: the sync and the async stream side by side.

Neither decides anything: both feed the reader bytes and hand out its chunks. The reader must not do I/O.

    open ──data event──> chunks ──finish reason──> ──`[DONE]` or the end──> complete
                           └── end without a finish reason, malformed chunk, error event, silence ──> raises
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from phi_client._call.clock import Clock
from phi_client._call.completion import Completion, CompletionBuilder, CompletionChunk, Origin
from phi_client._call.errors import APIConnectionError
from phi_client._call.exchange import Exchange
from phi_client._call.interruptions import StreamInterruptedError
from phi_client._call.redaction import redact_secrets
from phi_client._call.retrying import RetryPolicy
from phi_client._call.telemetry import CallTrace
from phi_client._wire.http import Limits, Response, read_to_end, read_to_end_async, translated_errors
from phi_client.contract.answers import AnswerView
from phi_client.contract.error_body import ErrorBody
from phi_client.contract.events import DONE, EventDecoder, ServerSentEvent
from phi_client.contract.wire import ContractError

__all__ = ["AsyncChatStream", "ChatStream"]


class StreamReader:
    """Bytes in, chunks out, without I/O."""

    def __init__(
        self, exchange: Exchange, origin: Origin, clock: Clock, secrets: tuple[str, ...] = ()
    ) -> None:
        self._dialect = exchange.dialect
        self._check_truncation = exchange.check_truncation
        self._without_echoes = exchange.without_echoes
        self._secrets = secrets
        self._idle_limit_s = exchange.timeout.read
        self._now = clock.now
        self._last_event = clock.now()
        self._decoder = EventDecoder()
        self._builder = CompletionBuilder(origin)
        self._events: deque[ServerSentEvent] = deque()
        self._failure: ContractError | None = None
        self._has_begun = False
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
        try:
            self._events.extend(self._decoder.feed(data))
        except ContractError as error:
            self._failure = error
        if self._events:
            self._last_event = self._now()
        elif self._idle_limit_s is not None and self._now() - self._last_event > self._idle_limit_s:
            # Comments keep the connection busy, but are no sign of life from the model.
            raise self.interruption(f"no data event within the read limit of {self._idle_limit_s:g} s")

    def _end(self) -> None:
        try:
            self._events.extend(self._decoder.flush())
        except ContractError as error:
            self._failure = error
        self._has_ended = True

    def next_chunk(self) -> CompletionChunk | None:
        """The next chunk that says anything, or `None` when more bytes are needed or the stream is complete.

        Raises:
            StreamInterruptedError: the stream can't be completed.
            ReasoningTruncatedError: it is complete, but the budget ended inside the reasoning.
        """
        while self._events:
            event = self._events.popleft()
            if event.data.strip() == DONE:
                self._events.clear()
                return self._finish()
            self._has_begun = True
            # The queue is drained before more is read, so the last to come is the time of all in it.
            self.chunk_times.append(self._last_event)
            chunk = self._builder.add(self._wire_chunk(event))
            if chunk.reasoning or chunk.content or chunk.finish_reason or chunk.usage or chunk.tool_calls:
                return chunk
        if self._failure is not None:
            raise self.interruption(str(self._failure)) from self._failure
        return self._finish() if self._has_ended and not self.is_complete else None

    def completion(self) -> Completion:
        """The whole, or what came so far."""
        return self._builder.build()

    def interruption(self, reason: str, body: ErrorBody | None = None) -> StreamInterruptedError:
        """The error that carries what came so far."""
        self._builder.finish()
        self.failure = StreamInterruptedError(
            f"the stream was interrupted: {reason}", partial=self.completion(), body=body
        )
        return self.failure

    def _wire_chunk(self, event: ServerSentEvent) -> AnswerView:
        try:
            read = self._dialect.read_event(event)
        except ContractError as error:
            raise self.interruption(str(error)) from error
        if isinstance(read, ErrorBody):
            message = redact_secrets(read.message.encode(), self._secrets).decode()
            read = self._without_echoes(replace(read, message=message))
            raise self.interruption(f"the service reports: {read.message or read.code}", read)
        return read

    def _finish(self) -> CompletionChunk | None:
        if self._builder.finish_reason is None:
            reason = "it ended without a finish reason" if self._has_begun else "no event came"
            raise self.interruption(reason)
        self.is_complete = True
        last = self._builder.finish()
        self._check_truncation(self.completion())
        return last if last.reasoning or last.content else None


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A stream whose 2xx head has come: where its bytes are, and what limits it."""

    response: Response
    reader: StreamReader
    policy: RetryPolicy
    limits: Limits
    trace: CallTrace | None = None

    def end(self, error: BaseException | None) -> None:
        """Tell that the stream was left, read to its end or not."""
        if self.trace is not None:
            reader = self.reader
            failure = reader.failure or error
            self.trace.finish(reader.completion(), failure, chunk_times=reader.chunk_times)


class ChatStream(Iterator[CompletionChunk]):
    """Chunks of a completion; a context manager, because leaving it gives the connection back.

    Raises:
        StreamInterruptedError: (while iterating) the stream stopped before its end; `partial` has what came.
        ReasoningTruncatedError: (at the end) the budget ended inside the reasoning.
    """

    def __init__(self, connect: Callable[[], OpenStream]) -> None:
        self._connect = connect
        self._stream: OpenStream | None = None

    def __enter__(self) -> Self:
        """Send the request; what it may raise is what `complete()` may."""
        self._stream = self._connect()
        self._bytes = self._stream.response.iter_bytes()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection, or give it back when the stream was read to its end."""
        if self._stream is not None:
            try:
                if self._stream.reader.is_complete:
                    read_to_end(self._stream.response, self._bytes)
            finally:
                self._stream.response.close()
                self._stream.end(error)

    def __next__(self) -> CompletionChunk:
        """The next chunk that says anything."""
        stream = _opened(self._stream)
        while (chunk := stream.reader.next_chunk()) is None:
            if stream.reader.is_complete:
                raise StopIteration
            try:
                stream.policy.check_deadline()
                data = next(self._bytes, None)
            except Exception:
                with _as_interruption(stream):
                    raise
            stream.reader.feed(data)
        return chunk

    @property
    def completion(self) -> Completion:
        """The whole, equal to what `complete()` returns; there when the stream was read to its end.

        Raises:
            RuntimeError: the stream was not read to its end.
        """
        return _completion_of(self._stream)


class AsyncChatStream(AsyncIterator[CompletionChunk]):
    """Chunks of a completion; a context manager, because leaving it gives the connection back.

    Raises:
        StreamInterruptedError: (while iterating) the stream stopped before its end; `partial` has what came.
        ReasoningTruncatedError: (at the end) the budget ended inside the reasoning.
    """

    def __init__(self, connect: Callable[[], Awaitable[OpenStream]]) -> None:
        self._connect = connect
        self._stream: OpenStream | None = None

    async def __aenter__(self) -> Self:
        """Send the request; what it may raise is what `complete()` may."""
        self._stream = await self._connect()
        self._bytes = self._stream.response.aiter_bytes()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection, or give it back when the stream was read to its end."""
        if self._stream is not None:
            try:
                if self._stream.reader.is_complete:
                    await read_to_end_async(self._stream.response, self._bytes)
            finally:
                await self._stream.response.aclose()
                self._stream.end(error)

    async def __anext__(self) -> CompletionChunk:
        """The next chunk that says anything."""
        stream = _opened(self._stream)
        while (chunk := stream.reader.next_chunk()) is None:
            if stream.reader.is_complete:
                raise StopAsyncIteration
            try:
                stream.policy.check_deadline()
                data = await anext(self._bytes, None)
            except Exception:
                with _as_interruption(stream):
                    raise
            stream.reader.feed(data)
        return chunk

    @property
    def completion(self) -> Completion:
        """The whole, equal to what `complete()` returns; there when the stream was read to its end.

        Raises:
            RuntimeError: the stream was not read to its end.
        """
        return _completion_of(self._stream)


def _opened(stream: OpenStream | None) -> OpenStream:
    if stream is None:
        raise RuntimeError("the stream is not open: use it in a `with` statement")
    return stream


def _completion_of(stream: OpenStream | None) -> Completion:
    reader = _opened(stream).reader
    if not reader.is_complete:
        raise RuntimeError("the stream has not been read to its end: iterate over it first")
    return reader.completion()


@contextmanager
def _as_interruption(stream: OpenStream) -> Generator[None]:
    """Turn a failure after the stream began into the error that carries what came so far.

    It is entered when there is one: around every piece of a stream it would cost as much as decoding it.
    """
    try:
        with translated_errors(stream.limits):
            yield
    except APIConnectionError as error:
        raise stream.reader.interruption(error.message) from error
