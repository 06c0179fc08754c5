"""Keeps an error small and its JSON strict, whatever was sent: long texts and lists are cut, and it is said so.

It must not know what an error is about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, Final, cast

from phi_client.contract.error_body import HELP_TEXT, MAX_ERROR_BYTES
from phi_client.contract.service.refusals import Refusal

__all__ = ["bounded", "bounded_text", "strict_json"]

_MOST_BYTES: Final = MAX_ERROR_BYTES - len(HELP_TEXT) - 1024
"""With room for the help text, and for what a surface writes around the body."""

_STAGES: Final = ((4_000, 100), (1_000, 60), (200, 40), (100, 10), (40, 3))
"""Characters of a text and members of a list or object that are kept; the first stage that fits is taken."""

_MOST_DEPTH: Final = 24
_STRICT: Final = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def bounded(refusal: Refusal) -> Refusal:
    """`refusal`, cut so that what is sent of it has at most 64 kB."""
    if isinstance(refusal.body, str):
        return replace(refusal, body=bounded_text(refusal.body, _MOST_BYTES // 4))
    if _fits(refusal.body):
        return refusal
    for characters, members in _STAGES:
        body = cast("Mapping[str, Any]", _cut(refusal.body, characters, members, _MOST_DEPTH))
        if _fits(body):
            return replace(refusal, body=body)
    return replace(refusal, body={"error": {"message": "the details are too long to be shown"}})


def bounded_text(text: str, most: int = 1_000) -> str:
    """`text`, of which at most so many characters are kept; halves of surrogate pairs become question marks."""
    sound = text[:most].encode(errors="replace").decode()
    return sound if len(text) <= most else f"{sound}… ({len(text) - most} more characters)"


def strict_json(value: object) -> bytes:
    """`value` as JSON.

    Raises:
        ValueError: it holds what JSON or UTF-8 has no form for.
    """
    return json.dumps(value, **_STRICT).encode()  # type: ignore[arg-type]


def _fits(body: Mapping[str, Any]) -> bool:
    try:
        return len(strict_json(body)) <= _MOST_BYTES
    except (ValueError, RecursionError):
        return False


def _cut(value: object, characters: int, members: int, depth: int) -> object:
    if isinstance(value, str):
        return bounded_text(value, characters)
    if not isinstance(value, Mapping | list):
        return None if _is_beyond(value, characters) else value
    if not depth:
        return "…"
    if isinstance(value, list):
        items = cast("list[object]", value)
        kept = [_cut(item, characters, members, depth - 1) for item in items[:members]]
        return kept if len(items) <= members else [*kept, f"… ({len(items) - members} more)"]
    pairs = list(cast("Mapping[str, object]", value).items())
    of_kept = {
        bounded_text(str(name), characters): _cut(item, characters, members, depth - 1)
        for name, item in pairs[:members]
    }
    return of_kept if len(pairs) <= members else of_kept | {"…": f"{len(pairs) - members} more"}


def _is_beyond(value: object, digits: int) -> bool:
    """Whether a number is none that JSON has, or longer than it may be."""
    if isinstance(value, float):
        return not isfinite(value)
    return isinstance(value, int) and abs(value) >= 10**digits
