"""Reads JSON that may come from anybody: bounded in size and depth, and with the numbers that JSON has.

It must not know what is read. Python's own reader takes `Infinity` and `NaN`, raises `RecursionError` for deep nesting,
and reads a file as large as it is.
"""

from __future__ import annotations

import errno
import json
import math
import stat
from pathlib import Path
from typing import Any, Final, TypeGuard

__all__ = ["MOST_BYTES", "list_of", "object_of", "parse_json", "read_json", "read_plain"]

MOST_BYTES: Final = 1 << 20
"""How large a file of settings or a manifest may be."""
_DEEPEST: Final = 64


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What a file says; see `read_plain`.

    Raises:
        OSError: it can't be read.
        ValueError: it is too large, or no JSON.
    """
    return parse_json(read_plain(path, most_bytes))


def read_plain(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The bytes of a file, which must be a plain one: a pipe would never end.

    Raises:
        OSError: it can't be read.
        ValueError: it is too large.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "No such file", str(path)) from None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is larger than {most_bytes} bytes")
    return content


def parse_json(text: str | bytes) -> Any:
    """What a text says.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or has a number that no float holds.
    """
    try:
        data = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _check_depth(data)
    return data


def object_of(data: object) -> dict[str, Any] | None:
    """What was read, if it is an object."""
    return data if _is_object(data) else None


def list_of(data: object) -> list[Any] | None:
    """What was read, if it is a list."""
    return data if _is_list(data) else None


def _is_object(data: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(data, dict)


def _is_list(data: object) -> TypeGuard[list[Any]]:
    return isinstance(data, list)


def _check_depth(data: object) -> None:
    """Refuse what is too deep for whoever writes it again or walks through it."""
    level = [data]
    for _ in range(_DEEPEST):
        inner: list[object] = []
        for value in level:
            inner.extend((object_of(value) or {}).values())
            inner.extend(list_of(value) or ())
        if not inner:
            return
        level = inner
    raise ValueError("it is nested too deeply")


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number
