"""What is wrong with a script, and the values that all its parts read. It must not know what is read."""

from __future__ import annotations

from typing import Any, Final

from phi_emulator.documents import DocumentError, shown
from phi_emulator.models.strict_json import object_of

__all__ = ["MOST", "ScriptError", "read_spoken", "read_table", "read_text", "read_whole", "script_error"]

MOST: Final = 1_000_000_000


class ScriptError(DocumentError):
    """A script can't be used; the message says where, and what is wrong there."""


def script_error(error: DocumentError, *path: str | int) -> ScriptError:
    """An error of any part of a document, seen from `path`."""
    return ScriptError(error.reason, *path, *error.path, place=error.place)


def read_table(value: object, *path: str) -> dict[str, Any]:
    """A table.

    Raises:
        ScriptError: it is something else.
    """
    found = object_of(value)
    if found is None:
        raise ScriptError(f"{shown(value)} is not a table", *path)
    return found


def read_text(value: object, *path: str | int) -> str:
    """A text.

    Raises:
        ScriptError: it is something else.
    """
    if not isinstance(value, str):
        raise ScriptError(f"{shown(value)} is not a text: put it in quotes", *path)
    return value


def read_spoken(value: object, *path: str | int) -> str:
    """A text that tokens can say and JSON can hold.

    Raises:
        ScriptError: it is something else.
    """
    text = read_text(value, *path)
    if "\0" in text:
        raise ScriptError("it has a NUL, which no token stands for", *path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ScriptError("it has half of a surrogate pair, which no encoding has", *path) from None
    return text


def read_whole(value: object, *path: str | int, least: int) -> int:
    """A whole number.

    Raises:
        ScriptError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
        raise ScriptError(f"{shown(value)} is no whole number from {least} on", *path)
    return value
