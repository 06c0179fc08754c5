"""The routes for whoever looks on. They must not know how anything is found out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp

from phi_client.contract.service.refusals import container_error
from phi_emulator.copies import COPIES, CopyError
from phi_emulator.journal.journal import Journal
from phi_emulator.service.behaviour import CurrentBehaviour
from phi_emulator.service.chat import ChatService
from phi_emulator.service.errors import ServiceError, bad_request, conflict
from phi_emulator.web.control_route import ControlRoute, count_in_query, place, scope_of
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.insight.engine import EngineWatch
from phi_emulator.web.insight.exchanges import all_exchanges, one_exchange
from phi_emulator.web.insight.feeds import Feeds

__all__ = ["InspectorRoutes"]

_AS_TEXT: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class InspectorRoutes:
    """Their handlers."""

    def __init__(
        self, journal: Journal, service: ChatService, behaviour: CurrentBehaviour, feeds: Feeds
    ) -> None:
        self._journal = journal
        self._service = service
        self._behaviour = behaviour
        self._feeds = feeds
        # Of whoever asks once in a while, so that rates are known from the second time on.
        self._watch = self._new_watch()

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        one = place("journal/") + "(?P<id>[^/]+)"
        return (
            ControlRoute(one + "/events", "GET", self.tokens, is_private=True),
            ControlRoute(one + "/as/(?P<form>[^/]+)", "GET", self.copy, is_private=True),
            ControlRoute(place("events"), "GET", self.events, is_private=True),
            ControlRoute(place("engine"), "GET", self.engine, is_private=True),
        )

    async def events(self, exchange: Exchange) -> ASGIApp:
        """The journal as it grows, and the engine once a second, as server-sent events."""
        scope = exchange.request.query_params.get("scope", scope_of(exchange))
        batches = all_exchanges(
            self._journal,
            self._new_watch(),
            time.monotonic,
            keeps_texts=lambda: self._behaviour.of(scope or "").keeps_texts,
            scope=scope,
            after=_place_in_feed(exchange),
        )
        return self._feeds.open(exchange, batches)

    async def tokens(self, exchange: Exchange) -> ASGIApp:
        """One exchange while it runs, as server-sent events: its tokens from the first one on, at its end the whole."""
        request_id = exchange.place.parameters["id"]
        watched = self._journal.watched(request_id)
        if watched is None and self._journal.find(request_id) is None:
            raise ServiceError(container_error(404, "The journal has no such exchange."))
        return self._feeds.open(exchange, one_exchange(self._journal, watched, request_id))

    async def copy(self, exchange: Exchange) -> ASGIApp:
        """One exchange to run again, as text: `curl`, `python`, `openai`, `recording`, `test`; 409 if it can't."""
        given = exchange.place.parameters
        found, form = self._journal.find(given["id"]), COPIES.get(given["form"])
        if form is None:
            raise ServiceError(container_error(404, f"There is no such form: one of {', '.join(COPIES)}."))
        if found is None:
            raise ServiceError(container_error(404, "The journal has no such exchange."))
        url = f"{exchange.request.url.scheme}://{exchange.headers.get('host')}"
        try:
            # In a thread: a long body takes a while to be read.
            text = await asyncio.to_thread(form, found, url)
        except CopyError as error:
            raise conflict(f"This exchange can't be copied so: {error}.") from None
        return PlainTextResponse(text, headers=_AS_TEXT)

    async def engine(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """Who runs and who waits, blocks of the cache, steps and tokens; a second since the last time it was asked."""
        return JSONResponse(self._watch.look())

    def _new_watch(self) -> EngineWatch:
        return EngineWatch(self._service, self._journal, time.monotonic)


def _place_in_feed(exchange: Exchange) -> int:
    """From where on a list is told: what `after` says, or what the last event had that a client has seen.

    Raises:
        ServiceError: 400, it is no number.
    """
    last = exchange.headers.get("last-event-id", "")
    after = count_in_query(exchange, "after")
    if after is not None or not last:
        return after or 0
    if not last.isascii() or not last.isdecimal() or len(last) > 15:  # noqa: PLR2004 - as in a query
        raise bad_request("`Last-Event-ID` must be a whole number from 0 on.")
    return int(last)
