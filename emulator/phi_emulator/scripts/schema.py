"""The form of a script as JSON Schema, with what its keys are said to mean. It must not read one.

Which keys of a rule go together, and what is no regular expression or no schema, only the reader says.
"""

from __future__ import annotations

from typing import Any, Final

from phi_emulator.engine.protocol import EndReason
from phi_emulator.faults.schema import fault_schema, when_schema
from phi_emulator.scripts.errors import MOST
from phi_emulator.scripts.matching import CONDITIONS
from phi_emulator.scripts.replies import REPLIES, USAGE
from phi_emulator.scripts.rules import FILE_KEYS, MISSES, MOST_RULES, RULE_KEYS
from phi_emulator.scripts.traces import TRACES

__all__ = ["script_schema"]

_TEXT: Final = {"type": "string"}
_TURN: Final = {"type": "string", "pattern": "^\\s*[0-9]{1,9}(-([0-9]{1,9})?)?\\s*$"}


def _count(least: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": MOST}


def script_schema() -> dict[str, Any]:
    """Rules, and what becomes of a request that none is about."""
    reply = _table(REPLIES, _replies())
    own: dict[str, Any] = {
        "when": when_schema(),
        "times": _count(1),
        "answers": {"type": "array", "minItems": 1, "items": {"anyOf": [_TEXT, reply]}},
        "repeat": {"type": "boolean"},
    }
    rule = _table({**CONDITIONS, **REPLIES, **RULE_KEYS}, {**_conditions(), **_replies(), **own})
    rules = {"type": "array", "maxItems": MOST_RULES, "items": rule}
    return _table(FILE_KEYS, {"rule": rules, "miss": {"enum": [*MISSES]}}) | {"required": ["rule"]}


def _conditions() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["object", "boolean"]}
    return {
        "exact": _TEXT,
        "contains": _TEXT,
        "regex": _TEXT,
        "schema": schema,
        "request": schema,
        "turn": {"anyOf": [_count(1), _TURN]},
    }


def _replies() -> dict[str, Any]:
    pieces = {"type": "array", "items": {"type": "string", "minLength": 1}}
    return {
        "answer": _TEXT,
        "reasoning": _TEXT,
        "trace": {"enum": [*TRACES]},
        "model": {"const": True},
        "chunks": {"anyOf": [{"const": "token"}, _count(1), pieces]},
        "finish_reason": {"enum": [str(end) for end in EndReason]},
        "usage": {
            "type": "object",
            "properties": dict.fromkeys(USAGE, _count(0)),
            "additionalProperties": False,
        },
        "fault": {"anyOf": [_TEXT, fault_schema()]},
    }


def _table(meanings: Any, forms: dict[str, Any]) -> dict[str, Any]:
    properties = {name: {**forms[name], "description": meaning} for name, meaning in meanings.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}
