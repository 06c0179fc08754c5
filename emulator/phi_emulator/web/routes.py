"""The table of routes, built from what the dialects say of themselves. It must not handle a request.

root dialect   at  / (the page too)     serverless      at  /serverless
control        at  /_emulator           …               at  its own `emulator_prefix`
entra          at  /_emulator/entra     foundry_models  at  /models
                                        openai_v1       at  /openai/v1, /api/projects/…/openai/v1
                                        its older form  at  /openai/deployments, /openai/models
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from phi_client.contract.service import OPENAI_V1, Surface, is_deployment_route, older_form
from phi_emulator.web.control import Control
from phi_emulator.web.endpoints import Endpoints
from phi_emulator.web.entra import Entra
from phi_emulator.web.exchange import Handler, Place
from phi_emulator.web.places import surface_at, without_project

__all__ = ["Routes"]

_DEPLOYMENT_ROUTE: Final = "/openai/deployments/{deployment}/chat/completions"


class Routes:
    """All paths that the emulator serves, as it speaks `dialects`; `root` names the one of the root."""

    def __init__(
        self, dialects: Mapping[str, Surface], root: str, endpoints: Endpoints, control: Control, entra: Entra
    ) -> None:
        self.dialects = dialects
        self._root = dialects[root]
        self._older_form = older_form(dialects[OPENAI_V1.name])
        self._deployment: Mapping[str, Handler] = {"POST": endpoints.chat}
        self._model: Mapping[str, Handler] = {"GET": endpoints.model}
        older = self._older_form
        self._home = Place(self._root, "/", {"GET": control.home}, needs_key=False)
        self._places = {older.info_route: Place(older, older.info_route, {"GET": endpoints.info})}
        self._patterns = [(re.compile(route.path), route) for route in (*control.table, *entra.table)]
        for prefix, dialect in [
            ("", self._root),
            *((dialect.emulator_prefix, dialect) for dialect in dialects.values()),
        ]:
            for route, method, handler in _routes_of(dialect, endpoints):
                self._places[prefix + route] = Place(dialect, route, {method: handler})
                if route == "/" and prefix:
                    self._places[prefix] = self._places[prefix + route]

    def place_of(self, method: str, path: str, *, by_browser: bool) -> Place:
        """Where a request leads: as `locate`, but what reads `/` gets the page, unless a dialect has such a route.

        A browser gets it in any case.
        """
        if path == "/" and method == "GET" and (by_browser or path not in self._places):
            return self._home
        return self.locate(path, method)

    def locate(self, path: str, method: str = "POST") -> Place:
        """Where `path` leads; an unknown one belongs to the dialect under whose prefix it is.

        A control route may need the key for one method and not for another.
        """
        path = without_project(path)
        if path in self._places:
            return self._places[path]
        matches = [(found, route) for pattern, route in self._patterns if (found := pattern.fullmatch(path))]
        if matches:
            found, asked = next((match for match in matches if match[1].method == method), matches[0])
            given = {name: value for name, value in found.groupdict().items() if value is not None}
            handlers: Mapping[str, Handler] = {route.method: route.handle for _, route in matches}
            return Place(self._root, path, handlers, asked.needs_key, given)
        if is_deployment_route(path):
            return Place(self._older_form, path, self._deployment, named=_DEPLOYMENT_ROUTE)
        for dialect in (*self.dialects.values(), self._older_form):
            if dialect.model_route is not None and path.startswith(
                dialect.emulator_prefix + dialect.model_route
            ):
                route = path.removeprefix(dialect.emulator_prefix)
                return Place(dialect, route, self._model, named=f"{dialect.model_route}{{deployment}}")
        dialect, route = surface_at(path, (*self.dialects.values(), self._older_form)) or (self._root, path)
        return Place(dialect, route, {})

    @property
    def paths(self) -> Mapping[str, Place]:
        """Every path that is known as it stands."""
        return self._places


def _routes_of(dialect: Surface, endpoints: Endpoints) -> Iterable[tuple[str, str, Handler]]:
    for route in dialect.chat_routes:
        yield route, "POST", endpoints.chat
    if dialect.score_route is not None:
        yield dialect.score_route, "POST", endpoints.score
    if dialect.has_info:
        yield dialect.info_route, "GET", endpoints.info
    if dialect.swagger_route is not None:
        yield dialect.swagger_route, "GET", endpoints.swagger
    if dialect.health_route is not None:
        yield dialect.health_route, "GET", endpoints.health
