"""The routes of latency profiles. They must not know how one is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_emulator.latency.language import OFF, table_of
from phi_emulator.latency.reading import read_body
from phi_emulator.service.latency import Latency
from phi_emulator.web.control_route import ControlRoute, place, read_posted, scope_of
from phi_emulator.web.exchange import Exchange

__all__ = ["LatencyRoutes"]


class LatencyRoutes:
    """Their handlers."""

    def __init__(self, latency: Latency) -> None:
        self._latency = latency

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(place("latency"), "GET", self.latency),
            ControlRoute(place("latency"), "POST", self.set_latency),
            ControlRoute(place("latency"), "DELETE", self.forget_latency),
        )

    async def latency(self, exchange: Exchange) -> ASGIApp:
        """The profile of latency that holds in the request's scope, and how it was kept there."""
        scope = exchange.scope
        profile = self._latency.profile(scope=scope)
        return JSONResponse(
            {
                "latency": OFF if profile is None else table_of(profile),
                "counted": asdict(self._latency.count(scope=scope)),
            }
        )

    async def set_latency(self, exchange: Exchange) -> ASGIApp:
        """Put another profile in the place of the one of all, or of the request's scope."""
        self._latency.set(await read_posted(exchange, read_body), scope=scope_of(exchange))
        return await self.latency(exchange)

    async def forget_latency(self, exchange: Exchange) -> ASGIApp:
        """Go back to the profile of the start, or forget that of the request's scope."""
        self._latency.reset(scope=scope_of(exchange))
        return await self.latency(exchange)
