"""Reads faults from files, and one fault from a line. What is wrong is said with its place: file, line and keys.

It must not know what becomes of them.

    [[faults]]                             stall tokens=2 seconds=5
    effect = "stall"
    tokens = 2
    when.surface = "serverless"
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from phi_emulator.documents import read_file_as
from phi_emulator.faults.catalogue import EFFECTS
from phi_emulator.faults.rules import Fault, FaultError, Rule, read_fault, read_rules
from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import object_of

__all__ = ["FILE_KEY", "read_body", "read_file", "read_line"]

FILE_KEY: Final = "faults"
"""Of the list of rules in a file."""
_SHOWN: Final = 60


def read_file(path: Path) -> tuple[Rule, ...]:
    """The rules under `faults` in a TOML file, or in a JSON file whose name ends so.

    Raises:
        FaultError: it can't be read, or holds something else. The message begins with file and line, as far as known.
    """
    return read_file_as(path, read_body, FaultError)


def read_body(document: object) -> tuple[Rule, ...]:
    """The rules under `faults` in what was read from a file or from the body of a request.

    Raises:
        FaultError: it holds something else.
    """
    given = object_of(document)
    if given is None or FILE_KEY not in given:
        raise FaultError(f"a list of rules is expected under `{FILE_KEY}`")
    for key in given:
        if key != FILE_KEY:
            raise FaultError(f"there is nothing of that name beside `{FILE_KEY}`", key)
    try:
        return read_rules(given[FILE_KEY])
    except FaultError as error:
        raise error.under(FILE_KEY) from None


def read_line(line: str) -> Fault:
    """The fault in a line such as `stall tokens=2 seconds=5`; a value with spaces stands in quotes.

    Raises:
        FaultError: it has another form.
    """
    try:
        name, *words = shlex.split(line)
    except ValueError as error:
        reason = "no effect is named" if not line.strip() else str(error).lower()
        raise FaultError(f"{reason}; write it as `stall tokens=2 seconds=5`") from None
    effect = EFFECTS.get(name)
    numeric = {one.name for one in effect.parameters if one.kind is not str} if effect else set[str]()
    table: dict[str, object] = {"effect": name}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or key in table:
            raise FaultError(f"`{printable(word, _SHOWN)}` is no `name=value`, or comes twice")
        table[key] = _number(value) if key in numeric else value
    return read_fault(table)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
