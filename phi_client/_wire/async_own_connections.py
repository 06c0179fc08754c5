"""Sending on connections of our own, async. Its twin is `own_connections.py`, without `await`.

It must not know retries, nor what an answer says. Connections belong to the event loop that made them, and end with it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx

from phi_client._call.errors import ConfigurationError, PhiError
from phi_client._call.fork_lock import renew_in_children
from phi_client._call.real_endpoints import async_trace_for
from phi_client._call.steps import Send
from phi_client._wire.async_callers_client import AsyncGivenReply
from phi_client._wire.async_transport import MAKERS, AsyncBody, AsyncLines, AsyncTransport
from phi_client._wire.async_waiting import running_loop
from phi_client._wire.connection_pool import CLOSED, Lines
from phi_client._wire.connection_state import END_LIMIT_S
from phi_client._wire.faults import Attempt, translated
from phi_client._wire.loop_ends import tell_of_the_end
from phi_client._wire.own_connections import NoCookies, can_be_unpacked, own_request
from phi_client._wire.transport_facts import as_httpx
from phi_client.contract.dialects import Endpoint

__all__ = ["AsyncOwn", "AsyncOwnReply"]


class AsyncOwn:
    """The connections to one endpoint, for each event loop others; in a forked child too."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._by_loop: dict[asyncio.AbstractEventLoop, AsyncLines] = {}
        self._is_closed = False
        self._http = httpx.AsyncClient(
            transport=AsyncTransport(self.lines),
            trust_env=False,
            follow_redirects=False,
            cookies=NoCookies(),
        )
        renew_in_children(self)

    def lines(self) -> AsyncLines:
        """The connections of the running loop, made when it first asks.

        Raises:
            ConfigurationError: they are closed, the environment's proxies or certificates can't work, or no event loop
                of asyncio runs.
        """
        loop = running_loop()
        lines = self._by_loop.get(loop)
        if lines is None:
            if self._is_closed:
                raise ConfigurationError(CLOSED)
            lines = Lines(self._endpoint, MAKERS)
            tell_of_the_end(self)
            self._by_loop[loop] = lines
        return lines

    async def send(self, step: Send) -> "AsyncOwnReply | AsyncGivenReply":
        """The reply to `step`, its body still to come."""
        attempt = Attempt(step.limits, step.secrets)
        try:
            attempt.secrets = step.secrets.and_of(self.lines().secrets)
            request = own_request(step, attempt)
            trace = async_trace_for(step.url)
            if trace is not None:
                request.extensions["trace"] = trace
            response = await self._http.send(request, stream=True)
        except PhiError:
            raise
        except Exception as error:
            raise translated(as_httpx(error), attempt) from error
        # A mock of httpx stands in for our transport.
        is_ours = attempt.body is not None
        return AsyncOwnReply(self, response, attempt) if is_ours else AsyncGivenReply(response, attempt)

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the connections of a loop that has ended."""
        lines = self._by_loop.pop(loop, None)
        if lines is not None:
            _close(loop, lines)

    def renew(self) -> None:
        """Be without connections: this is a child, and they are its parent's."""
        all_lines = list(self._by_loop.values())
        self._by_loop = {}
        for lines in all_lines:
            lines.abandon()

    def cut(self) -> None:
        """End what runs, from any thread."""
        for lines in list(self._by_loop.values()):
            lines.cut()

    def close(self) -> None:
        """Close what is kept and end what runs, on all loops. It does not wait, so it can't be cancelled half done."""
        self._is_closed = True
        for loop, lines in list(self._by_loop.items()):
            _close(loop, lines)


class AsyncOwnReply:
    """An answer that comes over one of our connections. It keeps `owner` alive, whose lines it needs."""

    def __init__(self, owner: AsyncOwn, response: httpx.Response, attempt: Attempt) -> None:
        self.status = response.status_code
        self.headers = dict(response.headers.items())  # without it, each is looked up among all
        self.secrets = attempt.secrets
        self._owner = owner
        self._attempt = attempt
        self._response = response
        assert isinstance(attempt.body, AsyncBody)  # noqa: S101  # it came from our transport
        self._body, attempt.body = attempt.body, None  # which the request would keep alive
        self._parts: AsyncIterator[bytes] = (
            response.aiter_bytes() if can_be_unpacked(self.headers) else self._body.parts()
        )

    async def read(self) -> bytes | None:
        """The next bytes; `None` at the end, with which the connection is kept.

        Raises:
            APIConnectionError: the connection failed, or a limit was reached.
        """
        try:
            # Much may come with one read of the socket, and there is no wait in between.
            self._attempt.limits.deadline.check(request_sent=True)
            async for data in self._parts:
                if data:
                    return data
            await self._body.aclose()
        except PhiError:
            self._body.abort()
            raise
        except Exception as error:
            self._body.abort()
            raise translated(as_httpx(error), self._attempt) from error
        except BaseException:
            self._body.abort()
            raise
        return None

    async def drain(self) -> None:
        """Take the end of a stream whose last event has come, if it is there at once: then the connection is kept."""
        self._attempt.limits.shorten_reads(END_LIMIT_S)
        with suppress(PhiError):
            await self.read()

    async def close(self) -> None:
        """Be done with the answer. The connection is closed at once, whatever then becomes of the waiting."""
        self._body.abort()
        parts: Any = self._parts
        await parts.aclose()

    def __del__(self) -> None:
        # At once: what httpx makes of an answer is a ring, which waits for the collector.
        body: AsyncBody | None = getattr(self, "_body", None)
        if body is not None:
            body.abort()


def _close(loop: asyncio.AbstractEventLoop, lines: AsyncLines) -> None:
    lines.close()
    if loop.is_closed():
        # Nobody will be woken any more to close what is at work.
        lines.abandon()
