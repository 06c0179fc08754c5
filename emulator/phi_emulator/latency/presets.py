"""Profiles that imitate something, each with where its figures are from.

It must not know how profiles are written. docs/reference/latency.md is written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from phi_emulator.latency.profile import Profile

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A profile under the name of what it imitates."""

    imitates: str
    profile: Profile
    source: str
    """The page with the figures, and what it says."""
    seen: str
    """When the page said so: year and month."""
    assumed: str
    """What the page doesn't say, and why it is taken to be so."""


def _named(**presets: Preset) -> Mapping[str, Preset]:
    return {
        name.replace("_", "-"): replace(
            preset, profile=replace(preset.profile, name=name.replace("_", "-"), source=preset.source)
        )
        for name, preset in presets.items()
    }


PRESETS: Final = _named()
