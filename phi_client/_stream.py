"""A completion as it arrives, sync. Its twin is `_async_stream.py`, with `await`.

It must not decide anything: it feeds the reader bytes and hands out its chunks.
"""

from collections.abc import Generator, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from phi_client._call.completion import Completion, CompletionChunk
from phi_client._call.errors import APIConnectionError, ConfigurationError
from phi_client._call.flow import Call
from phi_client._call.stream_reader import OpenStream
from phi_client._call.wrong_words import missing_attribute
from phi_client._wire.driving import Carrier
from phi_client.contract.clock.base import Clock

__all__ = ["ChatStream"]


class ChatStream(Iterator[CompletionChunk]):
    """Chunks of a completion; a context manager, because leaving it gives the connection back.

    Raises:
        StreamInterruptedError: (while iterating) the stream stopped before its end; `partial` has what came.
        ReasoningTruncatedError: (at the end) the budget ended inside the reasoning.
    """

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._carrier = Carrier(clock)
        self._hold = clock.hold()
        self._stream: OpenStream | None = None
        self._is_left = False

    def __enter__(self) -> Self:
        """Send the request; what it may raise is what `complete()` may."""
        if self._stream is not None or self._is_left:
            raise ConfigurationError("a stream is opened once: call `stream()` again for another answer")
        self._hold.take()
        try:
            self._stream = self._carrier.carry(self._call.open_stream())
        except BaseException:
            self._is_left = True
            self._carrier.close()
            self._hold.drop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection, or give it back when the stream was read to its end."""
        if self._is_left or self._stream is None:
            return
        self._is_left = True
        try:
            if self._stream.reader.is_complete:
                self._carrier.reply.drain()
        finally:
            self._carrier.close()
            self._hold.drop()
            self._stream.end(error)

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> CompletionChunk:
        """The next chunk that says anything."""
        stream = self._opened
        if self._is_left and not stream.reader.is_complete:
            raise ConfigurationError("the stream has been left before its end: call `stream()` again")
        while (chunk := stream.reader.next_chunk()) is None:
            if stream.reader.is_complete:
                self._hold.drop()
                raise StopIteration
            stream.reader.feed(self._read(stream))
        return chunk

    def text_deltas(self) -> Generator[str]:
        """The pieces of the content alone, as they come."""
        for chunk in self:
            if chunk.content:
                yield chunk.content

    def reasoning_deltas(self) -> Generator[str]:
        """The pieces of the reasoning alone, as they come."""
        for chunk in self:
            if chunk.reasoning:
                yield chunk.reasoning

    def until_done(self) -> Completion:
        """Read what is left, and give the whole."""
        for _ in self:
            pass
        return self.completion

    def close(self) -> None:
        """Leave the stream, as the end of the `with` statement does."""
        self.__exit__(None, None, None)

    @property
    def completion(self) -> Completion:
        """The whole, equal to what `complete()` returns; there when the stream was read to its end.

        Raises:
            ConfigurationError: the stream was not read to its end.
        """
        reader = self._opened.reader
        if not reader.is_complete:
            raise ConfigurationError(
                "the stream has not been read to its end: iterate over it first, or take `so_far`"
            )
        return reader.completion()

    @property
    def so_far(self) -> Completion:
        """What has come until now, as a completion; its `finish_reason` is `None` until that comes."""
        return self._opened.reader.completion()

    @property
    def request_id(self) -> str | None:
        """The service's id of the request, there from the start."""
        return self._opened.reader.origin.request_id

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer, with names in lower case, there from the start."""
        return self._opened.reader.origin.headers

    @property
    def status_code(self) -> int:
        """The HTTP status of the answer, there from the start."""
        return self._opened.reader.answer.status

    @property
    def _opened(self) -> OpenStream:
        if self._stream is None:
            raise ConfigurationError("the stream is not open: begin it by `with client.stream(…) as stream:`")
        return self._stream

    def _read(self, stream: OpenStream) -> bytes | None:
        self._hold.take()
        try:
            stream.before_read()
            return self._carrier.reply.read()  # type: ignore[no-any-return]
        except APIConnectionError as error:
            stream.interrupted(error)
            return None

    if not TYPE_CHECKING:  # for type checkers an attribute that is not there must stay a mistake

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(missing_attribute(name, "stream", dir(type(self))))

    def __repr__(self) -> str:
        if self._stream is None:
            return f"<{type(self).__name__}, not open>"
        done = "whole" if self._stream.reader.is_complete else "so far"
        so_far = self._stream.reader.completion()
        return (
            f"<{type(self).__name__}, {len(so_far.reasoning)} characters of reasoning "
            f"and {len(so_far.content)} of content {done}>"
        )
