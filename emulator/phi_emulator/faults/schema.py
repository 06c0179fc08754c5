"""The form of rules as JSON Schema, made of the catalogue by which they are read. It must not read one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from phi_client.contract.service import SURFACES
from phi_emulator.faults.catalogue import EFFECTS, Effect, Parameter
from phi_emulator.faults.rules import CONDITIONS, MOST_COUNTED, MOST_RULES

__all__ = ["fault_schema", "rules_schema", "when_schema"]

_HEADER: Final = {"type": "string", "pattern": "^[ -~]*[!-~][ -~]*$"}
_CALL: Final = "^\\s*[0-9]{1,9}(-([0-9]{1,9})?)?\\s*$"


def _count(least: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": MOST_COUNTED}


def rules_schema() -> dict[str, Any]:
    """A list of rules."""
    rules = [
        _fault(effect, times={**_count(1), "description": "how often at most"}, when=when_schema())
        for effect in EFFECTS.values()
    ]
    return {"type": "array", "maxItems": MOST_RULES, "items": {"anyOf": rules}}


def fault_schema() -> dict[str, Any]:
    """An effect with its parameters, and no rule of its own."""
    return {"anyOf": [_fault(effect) for effect in EFFECTS.values()]}


def when_schema() -> dict[str, Any]:
    """What a rule asks of a call."""
    return {
        "type": "object",
        "description": "which calls meet it",
        "properties": dict(_conditions()),
        "additionalProperties": False,
    }


def _fault(effect: Effect, **more: dict[str, Any]) -> dict[str, Any]:
    parameters = effect.parameters
    return {
        "type": "object",
        "description": effect.wire,
        "properties": {
            "effect": {"const": effect.name},
            **{parameter.name: _parameter(parameter) for parameter in parameters},
            **more,
        },
        "required": ["effect", *(one.name for one in parameters if one.default is None)],
        "additionalProperties": False,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    if parameter.kind is str:
        form: dict[str, Any] = {"enum": [*parameter.choices]} if parameter.choices else _HEADER
    else:
        kind = "integer" if parameter.kind is int else "number"
        form = {"type": kind, "minimum": parameter.least, "maximum": parameter.most}
    default = {} if parameter.default is None else {"default": parameter.default}
    return {**form, "description": parameter.meaning, **default}


def _conditions() -> Iterator[tuple[str, dict[str, Any]]]:
    forms: dict[str, dict[str, Any]] = {
        "surface": {"enum": [*SURFACES]},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "call": {"anyOf": [_count(1), {"type": "string", "pattern": _CALL}]},
        "every": _count(1),
        "probability": {"type": "number", "minimum": 0, "maximum": 1},
        "seed": _count(0),
    }
    for name, meaning in CONDITIONS.items():
        yield name, {**forms.get(name, {"type": "string"}), "description": meaning}
