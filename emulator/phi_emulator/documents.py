"""What people write for the emulator, in TOML or JSON, read with the places of what is in it.

It must not know what a document is about. What is wrong with one is a `DocumentError`: file, line and keys where they
are known, then the reason, and what was perhaps meant.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeGuard, TypeVar

from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import MOST_BYTES, list_of, object_of, parse_json, read_plain

__all__ = [
    "Document",
    "DocumentError",
    "counted",
    "items_of",
    "near",
    "number",
    "parse_document",
    "read_document",
    "read_file_as",
    "shown",
    "table",
    "text",
]

_SHOWN: Final = 60
_JSON: Final = ".json"
_SAID_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_BLANK: Final = re.compile(r"[ \t\n\r]*")
_READ_AGAIN: Final = 4
"""How often the characters of a file may be read in the search for a line."""


class DocumentError(ValueError):
    """Something can't be used; the message says where and why. `path` are the keys that lead there.

    `place` stands before them: a file with its line, or whatever else the value came from.
    """

    def __init__(self, reason: str, *path: str | int, place: str = "") -> None:
        self.reason = reason
        self.path = path
        self.place = place
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{printable(key, _SHOWN)}" for key in path)
        super().__init__(": ".join(filter(None, (place, where.removeprefix("."), reason))))

    def under(self, *path: str | int) -> Self:
        """The same, seen from further out."""
        return type(self)(self.reason, *path, *self.path, place=self.place)

    def at(self, place: str) -> Self:
        """The same, with its place; one that has a place keeps it behind this one."""
        return type(self)(self.reason, *self.path, place=": ".join(filter(None, (place, self.place))))


E = TypeVar("E", bound=DocumentError)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. `source` is its name as it was given."""

    source: str
    value: object
    text: str
    is_json: bool = False

    def line_of(self, path: Sequence[str | int]) -> int | None:
        """The line on which that is set to which `path` leads; if it is missing, that of the table around it."""
        return _json_line(self.text, path) if self.is_json else _toml_line(self.text, path)

    def place_of(self, path: Sequence[str | int]) -> str:
        """File and line, as far as known."""
        line = self.line_of(path)
        return self.source if line is None else f"{self.source}:{line}"

    def places_of_tables(self, *path: str) -> Callable[[int], str]:
        """Where each table of the list stands to which `path` leads, by its number: file and line.

        Only the file, where the list is not written as `[[path]]`, or its lines can't be told from those in a text.
        """
        lines = [] if self.is_json else _headers(self.text, path)
        value: object = self.value
        for key in path:
            value = (object_of(value) or {}).get(key)
        is_sure = len(lines) == len(list_of(value) or ())
        name = Path(self.source).name
        return lambda number: f"{name}:{lines[number]}" if is_sure else name

    def placed(self, error: E) -> E:
        """The same error, with file and line."""
        return error.at(self.place_of(error.path))


def read_document(path: Path, most_bytes: int = MOST_BYTES) -> Document:
    """What a TOML file says, or a JSON file whose name ends so; of `most_bytes` at most.

    Raises:
        DocumentError: it can't be read. The message begins with the file, and the line if there is one.
    """
    try:
        content = read_plain(path, most_bytes)
    except OSError as error:
        raise DocumentError(error.strerror or str(error), place=str(path)) from None
    except ValueError as error:
        raise DocumentError(str(error), place=str(path)) from None
    return parse_document(content, str(path), is_json=path.suffix.lower() == _JSON)


def read_file_as(path: Path, read: Callable[[object], T], error: type[E]) -> T:
    """What `read` makes of a file, as `read_document` has it.

    Raises:
        E: the file can't be read, or `read` raised it. The message begins with file and line, as far as known.
    """
    try:
        document = read_document(path)
    except DocumentError as unread:
        raise error(unread.reason, *unread.path, place=unread.place) from None
    try:
        return read(document.value)
    except error as refused:
        raise document.placed(refused) from None


def parse_document(content: bytes, source: str, *, is_json: bool = False) -> Document:
    """What `content` says, which came from `source`.

    Raises:
        DocumentError: it is no TOML, or no JSON. The message begins with the source, and the line if there is one.
    """
    try:
        found = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content.count(b"\n", 0, error.start)
        raise DocumentError("it is not UTF-8", place=f"{source}:{before + 1}") from None
    try:
        value = parse_json(found) if is_json else tomllib.loads(found)
    except (ValueError, RecursionError) as error:
        line, reason = _why_not(found, error, is_json=is_json)
        raise DocumentError(reason, place=source if line is None else f"{source}:{line}") from None
    return Document(source, value, found, is_json)


def near(word: object, known: Iterable[str]) -> str:
    """What was perhaps meant; else all that there is."""
    names = [*known]
    close = difflib.get_close_matches(str(word)[:_SHOWN].lower(), names, n=1)
    return f": did you mean `{close[0]}`?" if close else f": known are {', '.join(names)}"


def shown(value: object) -> str:
    """A value as it may be repeated in a message."""
    try:
        return f"`{printable(str(value), _SHOWN)}`"
    except ValueError:  # Python writes no integer of thousands of digits
        return "such a number"


def counted(number: int, what: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def text(value: object) -> str:
    """A value that is a text.

    Raises:
        DocumentError: it is something else.
    """
    if not isinstance(value, str):
        raise DocumentError(f"{shown(value)} is not a text")
    return value


def table(value: object) -> dict[str, Any]:
    """A value that is a table.

    Raises:
        DocumentError: it is something else.
    """
    found = object_of(value)
    if found is None:
        raise DocumentError("a table is expected")
    return found


def items_of(value: object) -> list[Any] | None:
    """What is in a list, or in a tuple."""
    return list(value) if _is_tuple(value) else list_of(value)


def _is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)


def number(value: object) -> float:
    """A value that is a number, and finite.

    Raises:
        DocumentError: it is something else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(value):
                return float(value)
        except OverflowError:
            pass
    raise DocumentError(f"{shown(value)} is no number")


def _why_not(found: str, error: Exception, *, is_json: bool) -> tuple[int | None, str]:
    """The line on which a text is no document, and why it is none."""
    if isinstance(error, json.JSONDecodeError):
        return error.lineno, error.msg
    if is_json:
        return None, str(error)
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    said = _SAID_PLACE.search(reason)
    if said is not None:
        return int(said[1] or found.count("\n") + 1), reason[: said.start()]
    # Without a place, as for a number that is too long: the first statement that can't be read.
    begun = _Statements(found)
    try:
        for _ in begun:
            pass
    except (ValueError, RecursionError):
        return begun.line, reason
    return None, reason


def _headers(found: str, path: Sequence[str]) -> list[int]:
    """The lines that look like headers of the tables in a list. Cheaper than to read the statements."""
    keys = r"[ \t]*\.[ \t]*".join(rf"""["']?{re.escape(key)}["']?""" for key in path)
    header = re.compile(rf"^[ \t]*\[\[[ \t]*{keys}[ \t]*\]\]", re.MULTILINE)
    lines: list[int] = []
    line = 1
    before = 0
    for one in header.finditer(found):
        line += found.count("\n", before, one.start())
        before = one.start()
        lines.append(line)
    return lines


class _Statements:
    """The statements of a TOML text, each read by itself; `line` is where the last one begins.

    A statement that spans lines ends where TOML's own reader takes it.
    """

    def __init__(self, found: str) -> None:
        self.line = 0
        self._lines = found.split("\n")
        self._most_read = _READ_AGAIN * len(found) + 1000

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        piece = ""
        for number_, line in enumerate(self._lines, 1):
            if not piece:
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                self.line = number_
            elif not any(end in line for end in ('"""', "'''", "]", "}")):
                # Nothing that spans lines ends here.
                piece += line + "\n"
                continue
            piece += line + "\n"
            self._most_read -= len(piece)
            if self._most_read < 0:
                return
            try:
                statement = tomllib.loads(piece)
            except tomllib.TOMLDecodeError:
                continue
            yield piece, statement
            piece = ""


def _toml_line(found: str, path: Sequence[str | int]) -> int | None:
    best, depth = None, 0
    around: tuple[str | int, ...] = ()
    lists: dict[tuple[str | int, ...], int] = {}
    statements = _Statements(found)
    for piece, statement in statements:
        if piece.lstrip().startswith("["):
            around = _header(statement, lists, is_list=piece.lstrip().startswith("[["))
            reached = _shared(around, path)
        elif tuple(path[: len(around)]) == around:
            reached = len(around) + _depth(statement, path[len(around) :])
        else:
            continue
        if reached > depth:
            best, depth = statements.line, reached
    return best


def _header(
    statement: dict[str, Any], lists: dict[tuple[str | int, ...], int], *, is_list: bool
) -> tuple[str | int, ...]:
    """The path of the table that a header opens; `lists` counts the tables of each list."""
    names: list[str] = []
    inner: object = statement
    while members := object_of(inner):
        (name, inner) = next(iter(members.items()))
        names.append(name)
    path: tuple[str | int, ...] = ()
    for place, name in enumerate(names, 1):
        path = (*path, name)
        if is_list and place == len(names):
            lists[path] = lists.get(path, 0) + 1
        if path in lists:
            path = (*path, lists[path] - 1)
    return path


def _shared(one: Sequence[str | int], other: Sequence[str | int]) -> int:
    """How many keys two paths have in common at their beginning."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _depth(value: object, path: Sequence[str | int]) -> int:
    """How many keys of `path` lead somewhere in `value`."""
    for count, key in enumerate(path):
        items, members = list_of(value), object_of(value)
        if isinstance(key, int) and items is not None and key < len(items):
            value = items[key]
        elif isinstance(key, str) and members is not None and key in members:
            value = members[key]
        else:
            return count
    return len(path)


def _json_line(found: str, path: Sequence[str | int]) -> int | None:
    """Walks along `path` through a text that is JSON."""
    position = _after_blank(found, 0)
    for count, key in enumerate(path):
        members = dict(_json_members(found, position))
        if key not in members:
            if not count:
                return None
            break
        position = members[key]
    return found.count("\n", 0, position) + 1


def _json_members(found: str, position: int) -> Iterator[tuple[str | int, int]]:
    """What is in the value at `position`: keys or numbers, and where the value of each begins."""
    decoder = json.JSONDecoder()
    is_object = found[position] == "{"
    if not is_object and found[position] != "[":
        return
    position = _after_blank(found, position + 1)
    count = 0
    while found[position] not in "]}":
        key: str | int = count
        if is_object:
            key, position = decoder.raw_decode(found, position)
            position = _after_blank(found, _after_blank(found, position) + 1)
        yield key, position
        _, position = decoder.raw_decode(found, position)
        position = _after_blank(found, position)
        if found[position] == ",":
            position = _after_blank(found, position + 1)
        count += 1


def _after_blank(found: str, position: int) -> int:
    blank = _BLANK.match(found, position)
    return position if blank is None else blank.end()
