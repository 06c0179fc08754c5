"""Kinds of values that a setting may have: read from words, from tables and from Python alike, and told as a schema.

It must not know a setting. What can't be is a `DocumentError`, which says what can.

    environment, command line ──parse()──► the value as a file would have it ──read()──► the value as it is used
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from phi_emulator.documents import Document, DocumentError, items_of, near, number, shown, text

__all__ = ["MOST", "Choice", "FilePath", "Kind", "Number", "Switch", "Text", "Texts", "Where", "Whole"]

MOST: Final = 1_000_000_000
"""The largest number of anything: 31 years in seconds, a gigabyte in bytes."""
MOST_TEXTS: Final = 1000
_YES: Final = ("yes", "y", "true", "on", "1")
_NO: Final = ("no", "n", "false", "off", "0")


class Where(NamedTuple):
    """Where in a file a value stands."""

    document: Document
    name: str
    """The key of the file."""

    @property
    def folder(self) -> Path:
        """The one from which paths in the file lead."""
        return Path(self.document.source).absolute().parent


class Kind:
    """Any text. The others say more strictly what may be."""

    __slots__ = ()

    metavar = "TEXT"
    """What stands for a value in the help."""
    is_secret = False
    """Whether a value is to be shown nowhere, in errors neither."""
    is_in_repr = True

    @property
    def choices(self) -> Sequence[str]:
        """All values that there are, if they are words."""
        return ()

    @property
    def schema(self) -> Mapping[str, Any]:
        """The same as JSON Schema says it."""
        return {"type": "string"}

    def parse(self, word: str) -> object:
        """What a word from the environment or the command line stands for, as a file would say it.

        Raises:
            DocumentError: it stands for nothing.
        """
        return word

    def read(self, value: object) -> Any:
        """The value as it is used, from a file or from Python.

        Raises:
            DocumentError: it can't be.
        """
        return text(value)

    def read_sent(self, value: object) -> Any:
        """The value as it is used, from a request, which may name no file.

        Raises:
            DocumentError: it can't be.
        """
        return self.read(value)

    def load(self, value: Any) -> Any:
        """What the value names, where it names something that is read once.

        Raises:
            DocumentError: it can't be.
        """
        return value

    def located(self, value: Any, where: Where) -> Any:  # noqa: ARG002 - for those that name files
        """The value, as it is meant in a file."""
        return value

    def shown(self, value: object) -> str:
        """The value for a person to read."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """A text of one form; `what` says which."""

    what: str
    form: str
    """A regular expression for the whole of it."""
    metavar: str = "TEXT"

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "pattern": f"^(?:{self.form})$"}

    def read(self, value: object) -> str:
        if not re.fullmatch(self.form, text(value)):
            raise DocumentError(f"{shown(value)} is not {self.what}")
        return text(value)


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of several words."""

    words: tuple[str, ...]
    metavar: str = "WORD"

    @property
    def choices(self) -> Sequence[str]:
        return self.words

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"enum": [*self.words]}

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise DocumentError(f"{shown(value)} can't be used{near(value, self.words)}")
        return value


@dataclass(frozen=True, slots=True)
class Switch(Kind):
    """Yes or no."""

    metavar: str = "[YES|NO]"

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "boolean"}

    def parse(self, word: str) -> bool:
        said = word.strip().lower()
        if said not in (*_YES, *_NO):
            raise DocumentError(f"{shown(word)} is not yes or no")
        return said in _YES

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise DocumentError(f"{shown(value)} is not true or false")
        return value

    def shown(self, value: object) -> str:
        return "yes" if value else "no"


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number within bounds."""

    least: int
    most: int = MOST
    metavar: str = "COUNT"
    only: tuple[int, ...] = ()
    """The values that there are, if they are few."""

    @property
    def schema(self) -> Mapping[str, Any]:
        if self.only:
            return {"enum": [*self.only]}
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def parse(self, word: str) -> object:
        try:
            return int(word)
        except ValueError:
            raise DocumentError(f"{shown(word)} is not a number: {self._bounds}") from None

    def read(self, value: object) -> int:
        whole = number(value)
        if not whole.is_integer():
            raise DocumentError(f"{shown(value)} is no whole number: {self._bounds}")
        if not self.least <= whole <= self.most or (self.only and whole not in self.only):
            raise DocumentError(f"{shown(value)} can't be used: {self._bounds}")
        return int(whole)

    @property
    def _bounds(self) -> str:
        return f"give {' or '.join(map(str, self.only)) or f'{self.least} to {self.most}'}"


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A number within bounds, of which `above` is no part of them."""

    least: float = 0
    most: float = MOST
    is_above: bool = False
    """Whether it must be greater than `least`, and not the same."""
    metavar: str = "SECONDS"

    @property
    def schema(self) -> Mapping[str, Any]:
        least = "exclusiveMinimum" if self.is_above else "minimum"
        return {"type": "number", least: self.least, "maximum": self.most}

    def parse(self, word: str) -> object:
        try:
            return float(word)
        except ValueError:
            raise DocumentError(f"{shown(word)} is not a number: {self._bounds}") from None

    def read(self, value: object) -> float:
        found = number(value)
        if not self.least <= found <= self.most or (self.is_above and found == self.least):
            raise DocumentError(f"{shown(value)} can't be used: {self._bounds}")
        return found

    @property
    def _bounds(self) -> str:
        end = f"{self.most:.0f}"
        return (
            f"give a number above {self.least:g}, up to {end}"
            if self.is_above
            else f"give {self.least:g} to {end}"
        )

    def shown(self, value: object) -> str:
        return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Texts(Kind):
    """Several words; in one text they are separated by commas or spaces."""

    metavar: str = "NAME,NAME"

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": MOST_TEXTS}

    def parse(self, word: str) -> object:
        return word.replace(",", " ").split()

    def read(self, value: object) -> tuple[str, ...]:
        items = items_of(value)
        if items is None:
            raise DocumentError(f"{shown(value)} is not a list of texts")
        if len(items) > MOST_TEXTS:
            raise DocumentError(f"{len(items)} texts, but {MOST_TEXTS} at most")
        for place, item in enumerate(items):
            if not isinstance(item, str) or not item:
                raise DocumentError(f"{shown(item)} is not a text of one letter or more", place)
        return tuple(items)

    def shown(self, value: object) -> str:
        return ", ".join(map(str, items_of(value) or ()))


@dataclass(frozen=True, slots=True)
class FilePath(Kind):
    """The path of a file or folder; in a file of settings it is relative to that."""

    metavar: str = "FILE"

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "minLength": 1}

    def read(self, value: object) -> Any:
        path = str(value) if isinstance(value, Path) else text(value)
        if not path or "\0" in path:
            raise DocumentError("the path of a file is expected")
        return path

    def located(self, value: Any, where: Where) -> Any:
        return str(where.folder / Path(value).expanduser())
