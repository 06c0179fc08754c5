"""The routes of the journal. They must not know how it is kept."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_client.contract.service.refusals import container_error
from phi_emulator.journal.journal import Journal
from phi_emulator.journal.pages import to_json
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.control_route import ControlRoute, count_in_query, place, scope_of
from phi_emulator.web.exchange import Exchange

__all__ = ["JournalRoutes"]


class JournalRoutes:
    """Their handlers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(place("journal"), "GET", self.exchanges, is_private=True),
            ControlRoute(place("journal"), "DELETE", self.clear),
            ControlRoute(place("journal/") + "(?P<id>[^/]+)", "GET", self.exchange, is_private=True),
        )

    async def exchanges(self, exchange: Exchange) -> ASGIApp:
        """The last exchanges: those of the request's scope, or of the one that `scope` names, else all."""
        scope = exchange.request.query_params.get("scope", scope_of(exchange))
        after, limit = (count_in_query(exchange, name) for name in ("after", "limit"))
        journal = self._journal
        found = journal.exchanges(scope=scope, after=after or 0, limit=limit)
        return JSONResponse(
            {
                "last": journal.last,
                "dropped": journal.dropped,
                "keeps_texts": exchange.behaviour.keeps_texts,
                "exchanges": [to_json(one) for one in found],
            }
        )

    async def exchange(self, exchange: Exchange) -> ASGIApp:
        """One exchange by its request id, with its heads, its texts and the times of its pieces."""
        found = self._journal.find(exchange.place.parameters["id"])
        if found is None:
            raise ServiceError(container_error(404, "The journal has no such exchange."))
        return JSONResponse(to_json(found, whole=True))

    async def clear(self, exchange: Exchange) -> ASGIApp:
        """Forget the exchanges that have ended, of the request's scope or all."""
        self._journal.clear(scope=scope_of(exchange))
        return JSONResponse({"last": self._journal.last})
