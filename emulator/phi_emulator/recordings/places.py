"""Which surface a path is on, and how that surface calls it. It must not handle a request."""

from __future__ import annotations

from typing import Final

from phi_client.contract.service import (
    OPENAI_V1,
    SERVERLESS,
    SURFACES,
    Surface,
    is_deployment_route,
    older_form,
)
from phi_emulator.web.places import surface_at, without_project

__all__ = ["is_chat", "place_of", "root_for", "surface_of"]

_OLDER: Final = older_form(OPENAI_V1)


def place_of(path: str, root: Surface) -> tuple[Surface, str]:
    """The surface on which `path` is asked for, and the path as it has it; what is nobody's is that of the root."""
    path = without_project(path)
    return surface_at(path, (*SURFACES.values(), _OLDER)) or (root, path)


def root_for(surface: Surface) -> Surface:
    """What the root speaks where `surface` is wanted: that one, unless it has a path of its own."""
    return SERVERLESS if surface.root else surface


def surface_of(name: str, path: str) -> Surface:
    """The surface of a name, in the older form where the path is one of that.

    Raises:
        KeyError: there is none.
    """
    surface = SURFACES[name]
    is_older = surface.name == OPENAI_V1.name and not path.startswith(surface.root)
    return _OLDER if is_older else surface


def is_chat(surface: Surface, path: str) -> bool:
    """Whether a path is a chat route, or the score route."""
    return path in (*surface.chat_routes, surface.score_route) or (
        surface.name == OPENAI_V1.name and is_deployment_route(path)
    )
