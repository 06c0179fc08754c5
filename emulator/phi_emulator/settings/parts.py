"""Where a setting is in the behaviour of a running emulator: what of it may be changed while it runs.

It must not know which setting is where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from phi_emulator.service.behaviour import Behaviour
from phi_emulator.service.content_filter import DEFAULT_RULES, ContentFilter

__all__ = ["Part", "content_filter", "limit", "milliseconds_of", "part_of"]


@dataclass(frozen=True, slots=True)
class Part:
    """One setting in a `Behaviour`: `get` tells it as a file would, `put` takes what its kind has loaded."""

    field: str
    """The field of `Behaviour` in which it is."""
    get: Callable[[Behaviour], Any]
    put: Callable[[Behaviour, Any], Behaviour]


def part_of(field: str) -> Part:
    """A field that is the setting itself."""
    return Part(
        field,
        lambda behaviour: getattr(behaviour, field),
        lambda behaviour, value: replace(behaviour, **{field: value}),
    )


def milliseconds_of(field: str) -> Part:
    """A field in seconds."""

    def get(behaviour: Behaviour) -> int | None:
        seconds = getattr(behaviour, field)
        return None if seconds is None else round(seconds * 1000)

    def put(behaviour: Behaviour, milliseconds: int | None) -> Behaviour:
        changed: dict[str, Any] = {field: None if milliseconds is None else milliseconds / 1000}
        return replace(behaviour, **changed)

    return Part(field, get, put)


def limit(name: str) -> Part:
    """One of the limits of each deployment."""
    return Part(
        "limits",
        lambda behaviour: getattr(behaviour.limits, name),
        lambda behaviour, value: replace(behaviour, limits=replace(behaviour.limits, **{name: value})),
    )


def content_filter() -> Part:
    """The content filter, made of its rules."""
    return Part(
        "content_filter",
        _words_of,
        lambda behaviour, rules: replace(behaviour, content_filter=ContentFilter(rules)),
    )


def _words_of(behaviour: Behaviour) -> object:
    rules = behaviour.content_filter.rules
    if rules in ((), DEFAULT_RULES):
        return "default" if rules else "off"
    words: dict[str, dict[str, str]] = {}
    for rule in rules:
        words.setdefault(rule.category, {})[rule.word] = rule.severity
    return words
