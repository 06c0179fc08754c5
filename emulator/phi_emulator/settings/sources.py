"""Where the values of settings come from: the command line before the environment, that before a file.

It must not know a setting: the table of them is given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from phi_emulator.documents import Document, DocumentError, E, near, read_document, table
from phi_emulator.settings.kinds import Where
from phi_emulator.settings.setting import Setting, environment_name

__all__ = ["FILE_NAME", "FILE_VARIABLE", "ConfigError", "Origin", "Sources", "find_file"]

FILE_NAME: Final = "phi-emulator.toml"
"""Read from the working directory, if it is there and no other is named."""
FILE_VARIABLE: Final = environment_name("config")
_PREFIX: Final = environment_name("")
_LINKS: Final = ("_SERVICE_HOST", "_SERVICE_PORT", "_TCP", "_TCP_ADDR", "_TCP_PORT", "_TCP_PROTO")
"""Ends of the variables that Kubernetes and Docker make for a service of this name."""


class ConfigError(DocumentError):
    """A setting can't work; the message says which and what to write instead."""


class Origin(NamedTuple):
    """Where a value is from, in words: a file with its line, a variable, an option."""

    source: str
    place: str


def find_file(named: str | None, environ: Mapping[str, str], folder: Path | None = None) -> Path | None:
    """The file of settings: the one that is `named`, or the environment names, or the one in the working directory."""
    wanted = named or environ.get(FILE_VARIABLE)
    if wanted:
        return Path(wanted).expanduser()
    usual = (folder or Path()) / FILE_NAME
    # Where the folder can't be looked into there is none.
    return usual if os.path.exists(usual) else None  # noqa: PTH110 - Path's raises there


@dataclass(slots=True)
class Sources:
    """The values of all sources, the nearest of each setting, and where each is from."""

    settings: Mapping[str, Setting]
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])
    complaints: list[str] = field(default_factory=list[str])
    """What is nobody's, and is told without stopping anything."""
    document: Document | None = None

    def add_file(self, path: Path) -> None:
        """Take what a file says.

        Raises:
            DocumentError: it can't be read, has an unknown key, or a value that can't be.
        """
        document = self.document = read_document(path)
        try:
            given = table(document.value)
            for name, value in given.items():
                self.values[name] = self._read(value, Where(document, name))
        except DocumentError as error:
            raise document.placed(error) from None
        self.origins |= {name: Origin("file", document.place_of([name])) for name in given}

    def _read(self, value: object, where: Where) -> Any:
        name = where.name
        if name not in self.settings:
            raise DocumentError(f"there is no such setting{near(name, self.settings)}", name)
        kind = self.settings[name].kind
        try:
            return kind.located(kind.read(value), where)
        except DocumentError as error:
            raise error.under(name) from None

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Take what the environment says; an empty variable says nothing.

        Raises:
            DocumentError: a value can't be.
        """
        for one in self.settings.values():
            word = environ.get(one.variable)
            if word:
                try:
                    self.values[one.name] = one.kind.read(one.kind.parse(word))
                except DocumentError as error:
                    raise error.at(one.variable) from None
                self.origins[one.name] = Origin("environment", one.variable)
        known = [FILE_VARIABLE, *(one.variable for one in self.settings.values())]
        for variable in sorted(environ):
            is_ours = variable.startswith(_PREFIX) and not variable.endswith(_LINKS)
            if is_ours and environ[variable] and variable not in known:
                self.complaints.append(
                    f"{variable} is no setting, and changes nothing{_meant(variable, known)}"
                )

    def add_given(self, given: Mapping[str, Any]) -> None:
        """Take what was asked for by name; `None` asks for nothing."""
        for name, value in given.items():
            if value is not None:
                self.values[name] = value
                self.origins[name] = Origin("option", self.settings[name].option)

    def placed(self, error: E) -> E:
        """An error in a value, with the place from which that came."""
        name = str(error.path[0]) if error.path else ""
        origin = self.origins.get(name)
        if origin is None:
            return error
        if origin.source == "file" and self.document is not None:
            return self.document.placed(error)
        return type(error)(error.reason, *error.path[1:], place=origin.place)


def _meant(variable: str, known: list[str]) -> str:
    """What was perhaps meant, if anything was: the list of all would fill a screen."""
    names = {one.removeprefix(_PREFIX).lower(): one for one in known}
    said = near(variable.removeprefix(_PREFIX), names)
    word = said.partition("`")[2].partition("`")[0]
    return f": did you mean `{names[word]}`?" if word in names else ""
