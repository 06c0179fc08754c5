"""The routes under `/_emulator`, which no Azure surface has, as a table, and the page at `/`.

It must not let anything be changed without the key: what changes something is no GET, and all but GETs need the key.
Those of `entra` are rows of the same kind, whose key has a place of its own in their protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_client.contract.emulator import EMULATOR_KEY, EMULATOR_LIVE, EMULATOR_READY
from phi_emulator.faults.reading import read_body
from phi_emulator.service.chat import ChatService
from phi_emulator.service.fault_rules import Faults
from phi_emulator.web.control_route import ControlRoute, RouteTable, place, read_posted, scope_of
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.health import live_answer, ready_answer
from phi_emulator.web.home import is_browser, page_response, summary

__all__ = ["Control", "ControlRoute"]

_UNTOLD_KEY: Final = "YOUR-KEY"


class Control:
    """The handlers of the control routes.

    `further` are those of single subjects. `reset` puts all back to the start, or a scope; `key` is the emulator's, and
    shown if it is the public one.
    """

    def __init__(
        self,
        service: ChatService,
        faults: Faults,
        *further: RouteTable,
        reset: Callable[[str | None], None],
        key: str = "",
    ) -> None:
        self._service = service
        self._faults = faults
        self._further = further
        self._reset = reset
        self._key = key if key == EMULATOR_KEY else _UNTOLD_KEY

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(place("health"), "GET", self.health),
            ControlRoute(re.escape(EMULATOR_LIVE), "GET", self.live),
            ControlRoute(re.escape(EMULATOR_READY), "GET", self.ready),
            ControlRoute(place("status"), "GET", self.status),
            ControlRoute(place("faults"), "GET", self.faults),
            ControlRoute(place("faults"), "POST", self.set_faults),
            ControlRoute(place("faults/reset"), "POST", self.reset_faults),
            *(route for part in self._further for route in part.table),
            ControlRoute(place("reset"), "POST", self.reset),
        )

    async def health(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """200 while the engine answers; 503 once it broke down, and while it is loaded again."""
        health = self._service.health
        if health.is_broken:
            said: dict[str, object] = {"status": "broken"}
        else:
            said = {"status": "reloading" if health.is_reloading else "healthy"}
        if health.trouble:
            said |= {"reloads": health.reloads, "trouble": health.trouble}
        return JSONResponse(said, 200 if said["status"] == "healthy" else 503)

    async def live(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """200 unless only a new start would help."""
        return live_answer(self._state)

    async def ready(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """200 while requests are answered."""
        return ready_answer(self._state)

    @property
    def _state(self) -> str:
        health = self._service.health
        return "broken" if health.is_broken else "reloading" if health.is_reloading else "ready"

    async def status(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """Which model answers, from where, on what, and how busy it is."""
        return JSONResponse(asdict(self._service.status))

    async def faults(self, exchange: Exchange) -> ASGIApp:
        """The rules for faults that hold in the request's scope, and how often they did; of all, those of scopes."""
        counts = self._faults.counts(scope=exchange.scope)
        told: dict[str, object] = {
            "faults": [{**one.rule, "counted": {"calls": one.calls, "faults": one.faults}} for one in counts]
        }
        if not exchange.scope and (of_scopes := self._faults.of_scopes):
            told["of_scopes"] = of_scopes
        return JSONResponse(told)

    async def set_faults(self, exchange: Exchange) -> ASGIApp:
        """Put other rules in the place of all, or of those of the request's scope."""
        rules = await read_posted(exchange, read_body)
        self._faults.set(rules, scope=scope_of(exchange))
        return await self.faults(exchange)

    async def reset_faults(self, exchange: Exchange) -> ASGIApp:
        """Go back to the rules of the start, or forget those of the request's scope."""
        self._faults.reset(scope=scope_of(exchange))
        return await self.faults(exchange)

    async def reset(self, exchange: Exchange) -> ASGIApp:
        """Put all back to the start: settings, faults, scripts, latency, counts, journal; or the request's scope."""
        self._reset(scope_of(exchange))
        return JSONResponse({})

    async def home(self, exchange: Exchange) -> ASGIApp:
        """The page at `/`, or the same as JSON."""
        root = exchange.dialect
        url = f"{exchange.request.url.scheme}://{exchange.headers.get('host')}"
        known = summary(url, self._service.status.model, root, exchange.behaviour.dialects.values())
        return page_response(known, root, self._key, as_page=is_browser(exchange.headers))
