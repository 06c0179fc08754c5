"""Which surface a path is on, for whoever serves several side by side. It must not handle a request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from phi_client.contract.service import OPENAI_V1, Surface

__all__ = ["surface_at", "without_project"]

_PROJECTS: Final = "/api/projects"
_PROJECT: Final = re.compile(rf"^{_PROJECTS}/[^/]+(?=/openai/v1(?:/|$))")
"""What stands before the v1 routes when they are asked of a project of a resource."""


def without_project(path: str) -> str:
    """A path as the resource has it that was asked of one of its projects."""
    return _PROJECT.sub("", path)


def surface_at(path: str, surfaces: Iterable[Surface]) -> tuple[Surface, str] | None:
    """The first of these under whose place `path` is, and the path as it has it; nothing where it is nobody's."""
    for surface in surfaces:
        places = [surface.emulator_prefix + surface.root]
        if surface.name == OPENAI_V1.name:
            # What isn't there of a project of a resource, the resource's gateway says.
            places.append(_PROJECTS)
        if any(place and (path == place or path.startswith(place + "/")) for place in places):
            return surface, path.removeprefix(surface.emulator_prefix) or "/"
    return None
