"""The connections of an async client, of which none is lost when a task is cancelled.

It must not know HTTP beyond what httpcore's connections say of themselves.

httpcore's own pool loses a place whenever a cancellation falls between the moment in which it assigns a connection
and the moment in which the request takes it, or into the closing of an answer; a client whose tasks are cancelled
often ends with a pool that waits for ever. Here a place is taken by the task itself, and what must be done to its end
is shielded.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol, cast

import httpcore

from phi_client._wire.sockets import AsyncioNetwork

__all__ = ["AsyncConnections"]


class _Stream(Protocol):
    """The bytes of an answer as httpcore gives them."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


class AsyncConnections:
    """A pool for one event loop: at most `max_connections` at work, at most `max_idle` kept for the next request."""

    def __init__(
        self,
        ssl_context: ssl.SSLContext,
        *,
        max_connections: int,
        max_idle: int,
        keepalive_s: float | None,
    ) -> None:
        self._ssl_context = ssl_context
        self._max_idle = max_idle
        self._keepalive_s = keepalive_s
        self._network = AsyncioNetwork()
        self._places = asyncio.Semaphore(max_connections)
        self._idle: list[httpcore.AsyncHTTPConnection] = []
        self._busy: set[httpcore.AsyncHTTPConnection] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def busy(self) -> int:
        """How many connections are at work."""
        return len(self._busy)

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send on a kept connection, or on a new one; the answer's stream gives it back when it is closed.

        Raises:
            httpcore.PoolTimeout: no place was free within the request's limit.
        """
        await self._take_place(request)
        connection: httpcore.AsyncHTTPConnection | None = None
        try:
            connection = await self._take(request.url.origin)
            response = await connection.handle_async_request(request)
        except BaseException:
            await self._finish(self._give_up(connection))
            raise
        stream = cast("_Stream", response.stream)
        return httpcore.Response(
            response.status,
            headers=response.headers,
            content=_Body(self, connection, stream),
            extensions=_extensions(response),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        self._is_closed = True
        connections, self._idle = [*self._idle, *self._busy], []
        for connection in connections:
            await connection.aclose()
        if self._closing:
            await asyncio.wait(self._closing)

    async def settle(self, connection: httpcore.AsyncHTTPConnection, stream: _Stream) -> None:
        """Close an answer's stream, and keep its connection if it can serve again."""
        try:
            await stream.aclose()
        except BaseException:
            # Cancelled in the middle of it, the connection would wait for its stream's end for ever.
            await self._finish(self._give_up(connection))
            raise
        if connection.is_idle() and len(self._idle) < self._max_idle and not self._is_closed:
            self._busy.discard(connection)
            self._idle.append(connection)
            self._places.release()
        else:
            await self._finish(self._give_up(connection))

    async def _take_place(self, request: httpcore.Request) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        limit_s = _extensions(request).get("timeout", {}).get("pool")
        try:
            async with asyncio.timeout(limit_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise httpcore.PoolTimeout("no connection was free") from error

    async def _take(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        if self._idle and self._idle[0].has_expired():
            # The last kept is the first taken, so the oldest would stay for ever.
            await self._finish(self._idle.pop(0).aclose())
        while self._idle:
            kept = self._idle.pop()
            if kept.can_handle_request(origin) and kept.is_available() and not kept.has_expired():
                self._busy.add(kept)
                return kept
            await self._finish(kept.aclose())
        made = httpcore.AsyncHTTPConnection(
            origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=self._keepalive_s,
            network_backend=self._network,
        )
        self._busy.add(made)
        return made

    async def _give_up(self, connection: httpcore.AsyncHTTPConnection | None) -> None:
        try:
            if connection is not None:
                self._busy.discard(connection)
                await connection.aclose()
        finally:
            self._places.release()

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what must be done to its end, even if the task that asks for it is cancelled meanwhile."""
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        await asyncio.shield(task)


class _Body:
    """The bytes of an answer, and with their end the connection's return."""

    def __init__(
        self,
        connections: AsyncConnections,
        connection: httpcore.AsyncHTTPConnection,
        stream: _Stream,
    ) -> None:
        self._connections = connections
        self._connection = connection
        self._stream = stream
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._connections.settle(self._connection, self._stream)


def _extensions(message: object) -> dict[str, Any]:
    """The extensions of a request or an answer, which httpcore does not type."""
    return cast("dict[str, Any]", getattr(message, "extensions"))  # noqa: B009  # typed as unknown
