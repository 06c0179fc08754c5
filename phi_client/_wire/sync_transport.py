"""httpx's seam for connections of one's own, sync: our lines under httpx's client. Its twin is `async_transport.py`.

It must not know what is asked, nor turn errors into ours.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import httpcore
import httpx

from phi_client._wire.connection_pool import Line, Lines, Makers, core_url
from phi_client._wire.faults import Attempt
from phi_client._wire.sync_network import Network
from phi_client._wire.transport_facts import ATTEMPT, as_response, raised_as_httpx

__all__ = ["MAKERS", "Body", "SyncLines", "Transport"]

MAKERS: Final[Makers[Any]] = Makers(httpcore.HTTPConnection, httpcore.HTTPProxy, httpcore.SOCKSProxy, Network)
SyncLines = Lines[Any]


class Transport(httpx.BaseTransport):
    """Sends on the lines that `lines` gives."""

    def __init__(self, lines: Callable[[], SyncLines]) -> None:
        self._lines = lines

    def handle_request(self, request: httpx.Request) -> httpx.Response:
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
                response: httpcore.Response = line.carrier.handle_request(
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
        attempt.body = body = Body(response, line, lines)
        return as_response(response, body)


class Body(httpx.SyncByteStream):
    """The bytes of an answer, and with their end the connection's return."""

    _is_closed = True  # until it has all that closing needs

    def __init__(self, response: httpcore.Response, line: Line[Any], lines: SyncLines) -> None:
        self._stream: Any = response.stream
        self._line = line
        self._lines = lines
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        with raised_as_httpx():
            yield from self.parts()

    def parts(self) -> Iterator[bytes]:
        """The bytes, with httpcore's errors."""
        return iter(cast("Iterator[bytes]", self._stream))

    def close(self) -> None:
        """Keep the connection if it can serve again, else close it."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._stream.close()
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
