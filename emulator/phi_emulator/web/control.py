"""The routes under `/_emulator`, which no Azure surface has, as a table, and the page at `/`.

It must not let anything be changed without the key: what changes something is a POST, and every POST needs the key.
Those of `entra` are rows of the same kind, whose key has a place of its own in their protocol.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, Literal, NamedTuple

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_client.contract.emulator import EMULATOR_KEY, EMULATOR_PLACE
from phi_emulator.faults.reading import read_body
from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import MOST_BYTES, parse_json
from phi_emulator.service.chat import ChatService
from phi_emulator.service.fault_rules import Faults
from phi_emulator.web.body import read_json_body
from phi_emulator.web.exchange import Exchange, Handler
from phi_emulator.web.fault_link import SCOPE_HEADER, bad_fault
from phi_emulator.web.home import is_browser, page_response, summary

__all__ = ["Control", "ControlRoute"]

_UNTOLD_KEY: Final = "YOUR-KEY"


class ControlRoute(NamedTuple):
    """One route under `/_emulator`; `path` is a pattern, whose groups are the exchange's parameters."""

    path: str
    method: Literal["GET", "POST"]
    handle: Handler
    has_own_key: bool = False
    """Whether the handler looks for the key itself, where its protocol has a place for it."""

    @property
    def needs_key(self) -> bool:
        """Whether the key must be presented in a header: wherever something is changed."""
        return self.method != "GET" and not self.has_own_key


class Control:
    """The handlers of the control routes; `key` is the emulator's, and shown if it is the public one."""

    def __init__(self, service: ChatService, faults: Faults, *, key: str = "") -> None:
        self._service = service
        self._faults = faults
        self._key = key if key == EMULATOR_KEY else _UNTOLD_KEY

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/health"), "GET", self.health),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/status"), "GET", self.status),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/faults"), "GET", self.faults),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/faults"), "POST", self.set_faults),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/faults/reset"), "POST", self.reset_faults),
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

    async def status(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """Which model answers, from where, on what, and how busy it is."""
        return JSONResponse(asdict(self._service.status))

    async def faults(self, exchange: Exchange) -> ASGIApp:
        """The rules for faults that hold in the request's scope, and how often they did."""
        counts = self._faults.counts(scope=exchange.headers.get(SCOPE_HEADER, ""))
        return JSONResponse(
            {
                "faults": [
                    {**one.rule, "counted": {"calls": one.calls, "faults": one.faults}} for one in counts
                ]
            }
        )

    async def set_faults(self, exchange: Exchange) -> ASGIApp:
        """Put other rules in the place of all, or of those of the request's scope."""
        body = await read_json_body(exchange.request, exchange.dialect, MOST_BYTES)
        try:
            rules = await asyncio.to_thread(lambda: read_body(parse_json(body)))
        except ValueError as error:
            raise bad_fault(printable(str(error))) from None
        self._faults.set(rules, scope=exchange.headers.get(SCOPE_HEADER))
        return await self.faults(exchange)

    async def reset_faults(self, exchange: Exchange) -> ASGIApp:
        """Go back to the rules of the start, or forget those of the request's scope."""
        self._faults.reset(scope=exchange.headers.get(SCOPE_HEADER))
        return await self.faults(exchange)

    async def home(self, exchange: Exchange) -> ASGIApp:
        """The page at `/`, or the same as JSON."""
        root = exchange.dialect
        url = f"{exchange.request.url.scheme}://{exchange.headers.get('host')}"
        known = summary(url, self._service.status.model, root, exchange.behaviour.dialects.values())
        return page_response(known, root, self._key, as_page=is_browser(exchange.headers))
