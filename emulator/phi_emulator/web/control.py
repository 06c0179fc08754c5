"""The routes under `/_emulator`, which no Azure surface has, as a table, and the page at `/`.

It must not let anything be changed without the key: what changes something is a POST, and every POST needs the key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Final, Literal, NamedTuple, TypeAlias

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.service import Surface
from phi_emulator.service.chat import ChatService
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.home import is_browser, page_response, summary

__all__ = ["Control", "ControlRoute", "Handler"]

Handler: TypeAlias = Callable[[Exchange], Awaitable[ASGIApp]]

PLACE: Final = "/_emulator"
_UNTOLD_KEY: Final = "YOUR-KEY"


class ControlRoute(NamedTuple):
    """One route under `/_emulator`."""

    path: str
    method: Literal["GET", "POST"]
    handle: Handler

    @property
    def needs_key(self) -> bool:
        """Whether the key must be presented: wherever something is changed."""
        return self.method != "GET"


class Control:
    """The handlers of the control routes; `key` is the emulator's, and shown if it is the public one."""

    def __init__(self, service: ChatService, *, key: str = "", dialects: Iterable[Surface] = ()) -> None:
        self._service = service
        self._key = key if key == EMULATOR_KEY else _UNTOLD_KEY
        self._dialects = tuple(dialects)

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(f"{PLACE}/health", "GET", self.health),
            ControlRoute(f"{PLACE}/status", "GET", self.status),
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

    async def home(self, exchange: Exchange) -> ASGIApp:
        """The page at `/`, or the same as JSON."""
        root = exchange.dialect
        url = f"{exchange.request.url.scheme}://{exchange.headers.get('host')}"
        known = summary(url, self._service.status.model, root, self._dialects)
        return page_response(known, root, self._key, as_page=is_browser(exchange.headers))
