"""Live feeds, as server-sent events, for whoever looks on: of all exchanges, and of one while it runs.

It must not cost anything while nobody listens, nor much while somebody does: what has come meanwhile is read once for
each batch, on the thread that serves, and the pause after a batch is a hundred times what it took. A feed holds nothing
but where it is. One that is not read stands still, and is cut off after a while; what it has missed is told by numbers.
Feeds go by real time: whoever looks on is real, and an emulator's clock neither waits nor jumps for
them.

    look ── nothing new ──► pause
     └── a batch ──► sent, taken by the client ──► pause
                      └── not taken for long ──► cut off
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from phi_client.contract.events import encode_event
from phi_client.contract.service.refusals import container_error
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.chain import abort
from phi_emulator.web.disconnect import run_unless_gone
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.transport import ASIDE

__all__ = ["MOST_FEEDS", "Feeds", "Pause", "event"]

logger = logging.getLogger("phi_emulator.web")

MOST_FEEDS: Final = 32
"""Feeds that may be open at once."""
PATIENCE_S: Final = 30.0
"""How long a batch may wait for a client that doesn't read."""
_LAST_WORD_S: Final = 0.1
_END: Final = {"type": "http.response.body", "body": b"", "more_body": False}
_SHARE: Final = 100
_MOST_PAUSE_S: Final = 2.0
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


def event(name: str, data: object, *, number: int | None = None) -> bytes:
    """One event, with `number` as its `id:`."""
    head = b"" if number is None else b"id: %d\n" % number
    return head + encode_event(json.dumps(data, ensure_ascii=False), name=name)


class Pause:
    """The pause between two batches: so much at least, and so long that what they cost stays a small share."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = time.perf_counter()

    def begin(self) -> None:
        """A batch is being made."""
        self._begun = time.perf_counter()

    async def wait(self) -> None:
        """Until the next one."""
        took = time.perf_counter() - self._begun
        await asyncio.sleep(min(max(self._seconds, took * _SHARE), _MOST_PAUSE_S))
        self.begin()


class Feeds:
    """All feeds of one emulator."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    def open(self, exchange: Exchange, batches: AsyncGenerator[bytes]) -> Feed:
        """A feed of these batches, as the answer to a request.

        Raises:
            ServiceError: 503, as many are open as may be.
        """
        if len(self._open) >= MOST_FEEDS:
            raise ServiceError(container_error(503, f"{MOST_FEEDS} feeds are open: close one of them."))
        return Feed(self, exchange, batches)

    def close(self) -> None:
        """End all of them at once, and take no more; from any thread."""
        self._is_closed = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._end_all)

    def __len__(self) -> int:
        return len(self._open)

    def _end_all(self) -> None:
        for one in self._open:
            one.cancel()

    async def run(self, feed: Feed, receive: Receive, send: Send) -> None:
        """Send one to its end."""
        self._loop = asyncio.get_running_loop()
        if self._is_closed:
            raise ServiceError(container_error(503, "The service is stopping."))
        sending = asyncio.ensure_future(feed.send_all(send))
        self._open.add(sending)
        try:
            await run_unless_gone(receive, _result(sending))
        finally:
            self._open.discard(sending)
            sending.cancel()
            with suppress(asyncio.CancelledError, ClientDisconnect):
                await sending


async def _result(sending: asyncio.Task[bool]) -> None:
    await asyncio.wait((sending,))


class Feed:
    """One feed: an ASGI response."""

    def __init__(self, feeds: Feeds, exchange: Exchange, batches: AsyncGenerator[bytes]) -> None:
        self._feeds = feeds
        self._exchange = exchange
        self._batches = batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it is through, or the client leaves, or the service stops."""
        extensions: Mapping[str, Any] = scope.get("extensions") or {}
        if ASIDE in extensions:
            await send({"type": ASIDE})
        await self._feeds.run(self, receive, send)

    async def send_all(self, send: Send) -> bool:
        """Send batch by batch. Whether it came to its end."""
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        try:
            async with aclosing(self._batches) as batches:
                async for batch in batches:
                    async with asyncio.timeout(PATIENCE_S):
                        await send({"type": "http.response.body", "body": batch, "more_body": True})
        except TimeoutError:
            logger.warning("a feed was cut off, whose client has read nothing for %.0f s", PATIENCE_S)
            await abort(self._exchange, send, reset=True)
        except asyncio.CancelledError:
            # The service stops, or the client has left. Whoever reads is told the end as it should be.
            try:
                async with asyncio.timeout(_LAST_WORD_S):
                    await send(_END)
            except TimeoutError:
                await abort(self._exchange, send, reset=True)
            return False
        await send(_END)
        return True
