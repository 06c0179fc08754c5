"""The route of the metrics. It must not count anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import ASGIApp

from phi_emulator.service.chat import ChatService
from phi_emulator.telemetry.metrics import Gauges, Metrics
from phi_emulator.web.control_route import ControlRoute, place
from phi_emulator.web.exchange import Exchange

__all__ = ["MetricsRoutes"]


class MetricsRoutes:
    """The route and its handler."""

    def __init__(self, service: ChatService, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (ControlRoute(place("metrics"), "GET", self.metrics),)

    async def metrics(self, exchange: Exchange) -> ASGIApp:
        """What was counted so far, as Prometheus reads it."""
        status, health = self._service.status, self._service.health
        gauges = Gauges(
            model=status.model,
            execution_provider=status.execution_provider,
            running=status.running,
            waiting=status.waiting,
            steps=status.counts.steps,
            reloads=health.reloads,
            is_up=status.healthy,
            drafted_tokens=status.counts.drafted_tokens,
            accepted_tokens=status.counts.accepted_tokens,
        )
        page = await asyncio.to_thread(self._metrics.page(gauges, exchange.headers.get("accept")))
        return Response(page.body, headers={"Content-Type": page.content_type})
