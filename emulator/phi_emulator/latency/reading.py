"""Reads profiles from files, from settings, and from the bodies of requests. It must not know who waits by them.

[latency]
first = "800ms"
rate = "40/s"
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from phi_emulator.documents import read_file_as
from phi_emulator.latency.language import LatencyError, read_line, read_table
from phi_emulator.latency.profile import Profile
from phi_emulator.models.strict_json import object_of

__all__ = ["FILE_KEY", "is_file", "read_body", "read_file", "read_setting"]

FILE_KEY: Final = "latency"
"""Of the profile in a file."""
_ENDINGS: Final = (".toml", ".json")


def read_setting(text: str) -> Profile | None:
    """The profile that an option names: a file whose name ends with `.toml` or `.json`, or else a line.

    Raises:
        LatencyError: it names none.
    """
    return read_file(Path(text)) if is_file(text) else read_line(text)


def is_file(text: str) -> bool:
    """Whether a setting names a file."""
    return text.lower().endswith(_ENDINGS)


def read_file(path: Path) -> Profile | None:
    """The profile under `latency` in a TOML file, or in a JSON file whose name ends so.

    Raises:
        LatencyError: it can't be read, or holds something else. The message begins with file and line, as far as known.
    """
    return read_file_as(path, read_body, LatencyError)


def read_body(document: object) -> Profile | None:
    """The profile under `latency` in what was read from a file or from the body of a request: a table or a line.

    Raises:
        LatencyError: it holds something else.
    """
    given = object_of(document)
    if given is None or FILE_KEY not in given:
        raise LatencyError(f"a profile is expected under `{FILE_KEY}`")
    for key in given:
        if key != FILE_KEY:
            raise LatencyError(f"there is nothing of that name beside `{FILE_KEY}`", key)
    value = given[FILE_KEY]
    table = object_of(value)
    if table is None and not isinstance(value, str):
        raise LatencyError("a table or a line is expected", FILE_KEY)
    try:
        return read_line(str(value)) if table is None else read_table(table)
    except LatencyError as error:
        raise error.under(FILE_KEY) from None
