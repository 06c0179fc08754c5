"""A table of settings as the JSON Schema of a file that has them. It must not know a setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from phi_emulator.settings.setting import Setting

__all__ = ["schema_of"]

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
"""The one that editors of TOML know."""


def schema_of(settings: Mapping[str, Setting], title: str) -> dict[str, Any]:
    """The schema of a file in which each key is a setting."""
    return {
        "$schema": _DRAFT,
        "title": title,
        "description": "Settings of phi-emulator. Paths are relative to the file.",
        "type": "object",
        "properties": {one.name: _property(one) for one in settings.values()},
        "additionalProperties": False,
    }


def _property(one: Setting) -> dict[str, Any]:
    told: dict[str, Any] = {**one.kind.schema, "description": _description(one)}
    if one.default not in (None, (), {}) and not one.kind.is_secret:
        told["default"] = one.default
    return told


def _description(one: Setting) -> str:
    without = f" Without it: {one.without}." if one.without else ""
    return f"{one.text}{without} [{one.variable}]"
