"""The routes of what may be set while the emulator runs. They must not know what a setting does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_emulator.settings.running import Settings
from phi_emulator.web.control_route import ControlRoute, place, read_posted, scope_of
from phi_emulator.web.exchange import Exchange

__all__ = ["SettingsRoutes"]

LIMITS: Final = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
FILTER: Final = ("content_filter",)


class SettingsRoutes:
    """Their handlers; `reset_limits` forgets what was counted in a scope, or in all."""

    def __init__(self, settings: Settings, reset_limits: Callable[[str | None], None]) -> None:
        self._settings = settings
        self._reset_limits = reset_limits

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(place("limits"), "GET", self.limits),
            ControlRoute(place("limits"), "POST", self.set_limits),
            ControlRoute(place("limits"), "DELETE", self.forget_limits),
            ControlRoute(place("filter"), "GET", self.filter),
            ControlRoute(place("filter"), "POST", self.set_filter),
            ControlRoute(place("filter"), "DELETE", self.forget_filter),
            ControlRoute(place("settings"), "GET", self.settings),
            ControlRoute(place("settings"), "POST", self.set_settings),
            ControlRoute(place("settings"), "DELETE", self.forget_settings),
        )

    async def limits(self, exchange: Exchange) -> ASGIApp:
        """The limits that hold in the request's scope."""
        return self._show(exchange, LIMITS)

    async def set_limits(self, exchange: Exchange) -> ASGIApp:
        """Set limits, for all or for the request's scope; `null` is no limit."""
        return await self._set(exchange, LIMITS)

    async def forget_limits(self, exchange: Exchange) -> ASGIApp:
        """Go back to the limits of the start, and forget what was counted; or forget what the request's scope has."""
        self._reset_limits(scope_of(exchange))
        return self._forget(exchange, LIMITS)

    async def filter(self, exchange: Exchange) -> ASGIApp:
        """The content filter that holds in the request's scope."""
        return self._show(exchange, FILTER)

    async def set_filter(self, exchange: Exchange) -> ASGIApp:
        """Set the content filter, for all or for the request's scope."""
        return await self._set(exchange, FILTER)

    async def forget_filter(self, exchange: Exchange) -> ASGIApp:
        """Go back to the content filter of the start, or forget that of the request's scope."""
        return self._forget(exchange, FILTER)

    async def settings(self, exchange: Exchange) -> ASGIApp:
        """All that may be set, limits and filter too, as it holds in the request's scope."""
        return self._show(exchange)

    async def set_settings(self, exchange: Exchange) -> ASGIApp:
        """Set any of it, for all or for the request's scope."""
        return await self._set(exchange)

    async def forget_settings(self, exchange: Exchange) -> ASGIApp:
        """Go back to the settings of the start, or forget those of the request's scope."""
        return self._forget(exchange)

    def _show(self, exchange: Exchange, names: Sequence[str] = ()) -> ASGIApp:
        return JSONResponse(self._settings.show(*names, scope=exchange.scope))

    async def _set(self, exchange: Exchange, names: Sequence[str] = ()) -> ASGIApp:
        scope = scope_of(exchange)
        await read_posted(exchange, lambda given: self._settings.set_table(given, *names, scope=scope))
        return self._show(exchange, names)

    def _forget(self, exchange: Exchange, names: Sequence[str] = ()) -> ASGIApp:
        self._settings.reset(*names, scope=scope_of(exchange))
        return self._show(exchange, names)
