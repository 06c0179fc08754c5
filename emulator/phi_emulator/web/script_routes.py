"""The routes of scripts. They must not know how a rule is met."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_emulator.scripts.file import MOST_BYTES
from phi_emulator.scripts.rules import read_script
from phi_emulator.service.scripts import Scripts
from phi_emulator.web.control_route import ControlRoute, place, read_posted, scope_of
from phi_emulator.web.exchange import Exchange

__all__ = ["ScriptRoutes"]


class ScriptRoutes:
    """Their handlers."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(place("script"), "GET", self.script),
            ControlRoute(place("script"), "POST", self.set_script),
            ControlRoute(place("script"), "PUT", self.set_script),
            ControlRoute(place("script"), "DELETE", self.reset_script),
        )

    async def script(self, exchange: Exchange) -> ASGIApp:
        """The rules for answers that hold in the request's scope, how often they did, and what they were not about."""
        await asyncio.to_thread(self._scripts.look_again)
        file, scope = self._scripts.file, exchange.scope
        of_file = file and {"path": str(file.path), "reloads": file.reloads, "trouble": file.trouble}
        return JSONResponse(
            {
                "rules": [
                    {**one.rule, "counted": {"calls": one.calls, "answers": one.answers}}
                    for one in self._scripts.counts(scope=scope)
                ],
                "miss": self._scripts.miss(scope=scope),
                "unmatched": [
                    asdict(one) | {"said": str(one)} for one in self._scripts.unmatched(scope=scope)
                ],
                "file": of_file,
            }
        )

    async def set_script(self, exchange: Exchange) -> ASGIApp:
        """Put other rules in the place of all, or of those of the request's scope."""
        scope = scope_of(exchange)
        await read_posted(
            exchange, lambda given: self._scripts.set(read_script(given), scope=scope), most_bytes=MOST_BYTES
        )
        return await self.script(exchange)

    async def reset_script(self, exchange: Exchange) -> ASGIApp:
        """Go back to the rules of the file, or forget those of the request's scope."""
        self._scripts.reset(scope=scope_of(exchange))
        return await self.script(exchange)
