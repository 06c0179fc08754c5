"""Reads profiles from files, from settings, and from the bodies of requests. It must not know who waits by them.

[latency]
first = "800ms"
rate = "40/s"
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from phi_emulator.latency.language import LatencyError, read_line, read_table
from phi_emulator.latency.profile import Profile
from phi_emulator.models.strict_json import object_of, parse_json, read_plain

__all__ = ["FILE_KEY", "read_document", "read_file", "read_setting"]

FILE_KEY: Final = "latency"
"""Of the profile in a file."""
_ENDINGS: Final = (".toml", ".json")


def read_setting(text: str) -> Profile | None:
    """The profile that an option names: a file whose name ends with `.toml` or `.json`, or else a line.

    Raises:
        LatencyError: it names none.
    """
    return read_file(Path(text)) if text.strip().lower().endswith(_ENDINGS) else read_line(text)


def read_file(path: Path) -> Profile | None:
    """The profile under `latency` in a TOML file, or in a JSON file whose name ends so.

    Raises:
        LatencyError: it can't be read, or holds something else. The message begins with file and line, as far as known.
    """
    try:
        text = read_plain(path).decode("utf-8-sig")
        document = parse_json(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        return read_document(document)
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise LatencyError(f"{path}: {error}") from None


def read_document(document: object) -> Profile | None:
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
    if isinstance(value, str):
        return read_line(value)
    table = object_of(value)
    if table is None:
        raise LatencyError("a table or a line is expected", FILE_KEY)
    return read_table(table)
