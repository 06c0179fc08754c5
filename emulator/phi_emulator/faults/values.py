"""Values of rules, read strictly: what is no table, text, number or range is refused with the keys that lead to it.

It must not know which rules there are.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final, TypeGuard

from phi_emulator.models.printable import printable

__all__ = [
    "RuleError",
    "is_list",
    "is_table",
    "listed",
    "near",
    "read_calls",
    "read_probability",
    "read_table",
    "read_text",
    "read_whole",
    "shown",
]

_MOST: Final = 1_000_000_000
_SHOWN: Final = 60
_RANGE: Final = re.compile(r"([0-9]{1,9})(-([0-9]{1,9})?)?")


class RuleError(ValueError):
    """A rule can't be used; the message says where and why. `path` are the keys that lead there."""

    def __init__(self, reason: str, *path: str | int) -> None:
        self.reason = reason
        self.path = path
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{printable(key, _SHOWN)}" for key in path)
        super().__init__(f"{where.removeprefix('.')}: {reason}" if where else reason)

    def under(self, *path: str | int) -> RuleError:
        """The same, seen from further out."""
        return RuleError(self.reason, *path, *self.path)


def read_table(value: object) -> dict[str, Any]:
    """A table, whatever is in it."""
    if not is_table(value):
        raise RuleError("a table is expected")
    return value


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is one."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is one."""
    return isinstance(value, list)


def read_text(value: object, name: str) -> str:
    """A text, under the key `name`."""
    if not isinstance(value, str):
        raise RuleError(f"{shown(value)} is not a text", name)
    return value


def read_whole(value: object, name: str, *, least: int) -> int:
    """A whole number, under the key `name`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise RuleError(f"{shown(value)} is no whole number from {least} on", name)
    return value


def read_calls(value: object, name: str = "call") -> tuple[int, int | None]:
    """`3`, `"2-4"`, or `"3-"`, under the key `name`."""
    if not isinstance(value, str):
        only = read_whole(value, name, least=1)
        return only, only
    found = _RANGE.fullmatch(value.strip())
    if found is None:
        raise RuleError(
            f"{shown(value)} is no number of a {name}, and no range such as `2-4` or `3-`", name
        )
    first = int(found[1])
    last = first if found[2] is None else int(found[3]) if found[3] else None
    if first < 1 or (last is not None and last < first):
        raise RuleError(f"{shown(value)} holds no {name}: they are counted from 1", name)
    return first, last


def read_probability(value: object) -> float:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise RuleError(f"{shown(value)} is no number from 0 to 1", "probability")
    return float(value)


def shown(value: object) -> str:
    """A value as errors quote it."""
    return f"`{printable(str(value), _SHOWN)}`"


def listed(names: Iterable[str]) -> str:
    """Names as errors list them."""
    return ", ".join(names)


def near(word: object, known: Iterable[str]) -> str:
    """What was perhaps meant; else all that there is."""
    names = [*known]
    meant = difflib.get_close_matches(str(word)[:_SHOWN].lower(), names, n=1)
    return f": did you mean `{meant[0]}`?" if meant else f": known are {listed(names)}"
