"""httpx's seam for connections of one's own, async: our lines under httpx's client. Its twin is `sync_transport.py`.

It must not know what is asked, nor turn errors into ours. httpcore's own pool loses a place whenever a cancellation
falls between the moment in which it assigns a connection and the one in which the request takes it, or into the closing
of an answer. Here a line is taken and given back in one step, and what ends in the middle closes its own socket.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final, cast

import httpcore
import httpx

from phi_client._wire.async_network import AsyncNetwork
from phi_client._wire.connection_pool import Line, Lines, Makers, core_url
from phi_client._wire.faults import Attempt
from phi_client._wire.transport_facts import ATTEMPT, as_response, raised_as_httpx

__all__ = ["MAKERS", "AsyncBody", "AsyncLines", "AsyncTransport"]

MAKERS: Final[Makers[Any]] = Makers(
    httpcore.AsyncHTTPConnection, httpcore.AsyncHTTPProxy, httpcore.AsyncSOCKSProxy, AsyncNetwork
)
AsyncLines = Lines[Any]


class AsyncTransport(httpx.AsyncBaseTransport):
    """Sends on the lines that `lines` gives, those of the running loop."""

    def __init__(self, lines: Callable[[], AsyncLines]) -> None:
        self._lines = lines

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send on a kept connection, or on a new one; the answer's body gives it back when it ends.

        Raises:
            httpx.TransportError: there is no answer.
            ConfigurationError: the client is closed.
        """
        attempt: Attempt = request.extensions[ATTEMPT]
        lines = self._lines()
        line = lines.take(attempt.limits)
        attempt.cable = line.cable
        try:
            with raised_as_httpx():
                response: httpcore.Response = await line.carrier.handle_async_request(
                    httpcore.Request(
                        request.method,
                        core_url(request.url),
                        headers=request.headers.raw,
                        content=request.stream,
                        extensions=request.extensions,
                    )
                )
        except BaseException:
            lines.drop(line)
            raise
        attempt.body = body = AsyncBody(response, line, lines)
        return as_response(response, body)


class AsyncBody(httpx.AsyncByteStream):
    """The bytes of an answer, and with their end the connection's return."""

    _is_closed = True  # until it has all that closing needs

    def __init__(self, response: httpcore.Response, line: Line[Any], lines: AsyncLines) -> None:
        self._stream: Any = response.stream
        self._line = line
        self._lines = lines
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with raised_as_httpx():
            async for part in self.parts():
                yield part

    def parts(self) -> AsyncIterator[bytes]:
        """The bytes, with httpcore's errors."""
        return aiter(cast("AsyncIterator[bytes]", self._stream))

    async def aclose(self) -> None:
        """Keep the connection if it can serve again, else close it."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._stream.aclose()
        except BaseException:
            self._lines.drop(self._line)
            raise
        self._lines.give_back(self._line)

    def abort(self) -> None:
        """Close the connection, whatever its answer is at."""
        if not self._is_closed:
            self._is_closed = True
            self._lines.drop(self._line)

    def __del__(self) -> None:
        self.abort()
