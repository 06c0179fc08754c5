"""Reads faults from files, and one fault from a line. What is wrong is said with its place: file, line and keys.

It must not know what becomes of them.

    [[faults]]                             stall tokens=2 seconds=5
    effect = "stall"
    tokens = 2
    when.surface = "serverless"
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from phi_emulator.faults.catalogue import EFFECTS
from phi_emulator.faults.rules import Fault, FaultError, Rule, read_fault, read_rules
from phi_emulator.faults.values import RuleError
from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import MOST_BYTES, list_of, object_of, parse_json, read_plain

__all__ = ["FILE_KEY", "read_document", "read_file", "read_line", "read_rules_file"]

FILE_KEY: Final = "faults"
"""Of the list of rules in a file."""
_SHOWN: Final = 60

T = TypeVar("T")


def read_file(path: Path) -> tuple[Rule, ...]:
    """The rules under `faults` in a TOML file, or in a JSON file whose name ends so.

    Raises:
        FaultError: it can't be read, or holds something else. The message begins with file and line, as far as known.
    """
    return read_rules_file(path, lambda document, _: read_document(document))


def read_rules_file(path: Path, read: Callable[[object, str], T], *, most_bytes: int = MOST_BYTES) -> T:
    """What `read` makes of the document and the text of a TOML file, or of a JSON file whose name ends so.

    Raises:
        RuleError: it can't be read, or `read` says so. The message begins with file and line, as far as known.
    """
    text = _read(path, most_bytes)
    is_json = path.suffix.lower() == ".json"
    try:
        document = parse_json(text) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Both say line and column.
        raise RuleError(f"{path}: {error or 'nested too deeply'}") from None
    try:
        return read(document, text)
    except RuleError as error:
        line = None if is_json else _line_of(text, error.path)
        raise RuleError(f"{path}{'' if line is None else f':{line}'}: {error}") from None


def read_document(document: object) -> tuple[Rule, ...]:
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


def _read(path: Path, most_bytes: int) -> str:
    try:
        return read_plain(path, most_bytes).decode("utf-8-sig")
    except OSError as error:
        raise RuleError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise RuleError(f"{path}: it is not UTF-8") from None
    except ValueError as error:
        raise RuleError(f"{path}: {error}") from None


def _line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line on which the statement ends that sets what `path` leads to, or its table begins.

    Found by reading ever shorter beginnings of the file: so it is TOML's own reader that says what a line means.
    """
    lines = text.splitlines(keepends=True)
    while path and not _has(lines, len(lines), path):
        # What is missing has no line: that of its table is said.
        path = path[:-1]
    if not path:
        return None
    least, most = 0, len(lines)
    while most - least > 1:
        middle = (least + most) // 2
        if _has(lines, middle, path):
            most = middle
        else:
            least = middle
    return most


def _has(lines: Sequence[str], count: int, path: Sequence[str | int]) -> bool:
    """Whether the first lines set what `path` leads to. Those that end within a value count up to what is before it."""
    for end in range(count, 0, -1):
        try:
            found: Any = tomllib.loads("".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        return _leads_somewhere(found, path)
    return False


def _leads_somewhere(found: Any, path: Sequence[str | int]) -> bool:
    for key in path:
        if isinstance(key, int):
            items = list_of(found) or []
            if len(items) <= key:
                return False
            found = items[key]
        else:
            table = object_of(found) or {}
            if key not in table:
                return False
            found = table[key]
    return True
