"""The routes under `/_emulator`, which no Azure surface has: read only, and without a key.

It must not change anything.
"""

from __future__ import annotations

from dataclasses import asdict

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_emulator.service.chat import ChatService
from phi_emulator.web.exchange import Exchange

__all__ = ["Control"]


class Control:
    """The handlers of the control routes."""

    def __init__(self, service: ChatService) -> None:
        self._service = service

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
