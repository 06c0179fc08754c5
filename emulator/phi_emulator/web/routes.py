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
from dataclasses import dataclass, field, replace
from typing import Final

from phi_client.contract.emulator import EMULATOR_ENTRA
from phi_client.contract.service import OPENAI_V1, SURFACES, Surface, is_deployment_route, older_form
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.control import Control, Handler
from phi_emulator.web.endpoints import Endpoints
from phi_emulator.web.entra import Entra

__all__ = ["Handler", "Place", "Routes"]

_PROJECT: Final = re.compile(r"^/api/projects/[^/]+(?=/openai/v1/)")
"""What stands before the v1 routes when they are asked of a project of a resource."""

_TENANT: Final = r"(?P<tenant>[A-Za-z0-9][A-Za-z0-9.-]{0,63})"
"""A GUID or a domain."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: a dialect, the route within it, and who handles which method; nobody for an unknown path."""

    dialect: Surface
    route: str
    handlers: Mapping[str, Handler]
    needs_key: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])

    def handler(self, method: str) -> Handler:
        """Who handles `method`.

        Raises:
            ServiceError: 404 for an unknown path, 405 for another method than the path has.
        """
        if not self.handlers:
            raise ServiceError(self.dialect.unknown_route)
        if method not in self.handlers:
            refusal = self.dialect.method_not_allowed
            headers = {**refusal.headers, "Allow": ", ".join(self.handlers)}
            raise ServiceError(replace(refusal, headers=headers))
        return self.handlers[method]


class Routes:
    """All paths that the emulator serves."""

    def __init__(
        self,
        root: Surface,
        endpoints: Endpoints,
        control: Control,
        entra: Entra,
        *,
        dialects: Iterable[Surface] | None = None,
    ) -> None:
        self._root = root
        self._dialects = tuple(SURFACES.values() if dialects is None else dialects)
        spoken = {dialect.name: dialect for dialect in self._dialects}
        self._older_form = older_form(spoken.get(OPENAI_V1.name, OPENAI_V1))
        self._deployment: Mapping[str, Handler] = {"POST": endpoints.chat}
        self._model: Mapping[str, Handler] = {"GET": endpoints.model}
        # What isn't there of a project of a resource, the resource's gateway says.
        self._other_places = {OPENAI_V1.name: ("/api/projects",)}
        older = self._older_form
        self._home = Place(root, "/", {"GET": control.home}, needs_key=False)
        self._places: dict[str, Place] = {
            older.info_route: Place(older, older.info_route, {"GET": endpoints.info}),
            **{
                route.path: Place(root, route.path, {route.method: route.handle}, needs_key=route.needs_key)
                for route in control.table
            },
        }
        self._patterns = [
            (re.compile(pattern), handlers) for pattern, handlers in _entra_routes(entra).items()
        ]
        for prefix, dialect in [
            ("", root),
            *((dialect.emulator_prefix, dialect) for dialect in self._dialects),
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
        return self.locate(path)

    def locate(self, path: str) -> Place:
        """Where `path` leads; an unknown one belongs to the dialect under whose prefix it is."""
        path = _PROJECT.sub("", path)
        if path in self._places:
            return self._places[path]
        for pattern, handlers in self._patterns:
            found = pattern.fullmatch(path)
            if found is not None:
                given = {name: value for name, value in found.groupdict().items() if value is not None}
                return Place(self._root, path, handlers, needs_key=False, parameters=given)
        if is_deployment_route(path):
            return Place(self._older_form, path, self._deployment)
        for dialect in (*self._dialects, self._older_form):
            if dialect.model_route is not None and path.startswith(
                dialect.emulator_prefix + dialect.model_route
            ):
                return Place(dialect, path.removeprefix(dialect.emulator_prefix), self._model)
            places = (dialect.emulator_prefix + dialect.root, *self._other_places.get(dialect.name, ()))
            if any(path == place or path.startswith(place + "/") for place in places):
                return Place(dialect, path.removeprefix(dialect.emulator_prefix), {})
        return Place(self._root, path, {})

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


def _entra_routes(entra: Entra) -> Mapping[str, Mapping[str, Handler]]:
    """By pattern; where Azure's path names no tenant, one may be put before it."""
    one, maybe = f"{EMULATOR_ENTRA}/{_TENANT}", f"{EMULATOR_ENTRA}(?:/{_TENANT})?"
    return {
        rf"{one}(?:/v2\.0)?/\.well-known/openid-configuration": {"GET": entra.metadata},
        rf"{one}/discovery(?:/v2\.0)?/keys": {"GET": entra.keys},
        rf"{one}/oauth2/v2\.0/token": {"POST": entra.token},
        rf"{maybe}/metadata/identity/oauth2/token": {"GET": entra.imds},
        rf"{maybe}/msi/token": {"GET": entra.app_service},
    }
