"""The settings of a running emulator: those that are a part of its behaviour, set by name for all or for one scope.

It must not know HTTP, or which settings there are. What is set holds for requests that come after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phi_emulator.documents import DocumentError, items_of, near, table
from phi_emulator.service.behaviour import Behaviour, CurrentBehaviour
from phi_emulator.settings.parts import Part
from phi_emulator.settings.setting import Setting

__all__ = ["Settings", "SettingsError"]


class SettingsError(DocumentError):
    """A setting can't be used."""


class Settings:
    """The settings of a running emulator, to be changed at any time and from any thread.

    A scope is what a request has in `x-phi-scope`. What is set for a scope stands over what is set for all; one limit
    that is set for it makes all three its own.
    """

    def __init__(self, behaviour: CurrentBehaviour, known: Mapping[str, Setting]) -> None:
        self._behaviour = behaviour
        self._known = {name: (one, one.part) for name, one in known.items() if one.part is not None}

    @property
    def names(self) -> tuple[str, ...]:
        """All that may be set."""
        return tuple(self._known)

    def show(self, *names: str, scope: str = "") -> dict[str, Any]:
        """How the settings of these names, or all, stand for requests of a scope."""
        behaviour = self._behaviour.of(scope)
        return {name: _plain(self._known[name][1].get(behaviour)) for name in names or self._known}

    def set(self, *, scope: str | None = None, **values: object) -> None:
        """Set all of these, or none; without a scope for all.

        Raises:
            SettingsError: there is no such setting, or a value can't be.
        """
        self.set_table(values, scope=scope)

    def set_table(self, values: object, *names: str, scope: str | None = None) -> None:
        """As `set`, from a table that may hold these `names`, or any.

        Raises:
            SettingsError: there is no such setting, or a value can't be.
        """
        known = names or self.names
        try:
            found = [self._read(name, value, known) for name, value in table(values).items()]
        except DocumentError as error:
            raise SettingsError(error.reason, *error.path, place=error.place) from None

        def edit(behaviour: Behaviour) -> Behaviour:
            for part, value in found:
                behaviour = part.put(behaviour, value)
            return behaviour

        self._behaviour.change(edit, scope=scope, fields={part.field for part, _ in found})

    def reset(self, *names: str, scope: str | None = None) -> None:
        """Set these, or all, as they were at the start, in all scopes; with a scope forget what was set for it."""
        self._behaviour.reset({self._known[name][1].field for name in names or self._known}, scope=scope)

    def _read(self, name: str, value: object, known: tuple[str, ...]) -> tuple[Part, Any]:
        if name not in known:
            raise DocumentError(f"there is no such setting{near(name, known)}", name)
        one, part = self._known[name]
        try:
            return part, one.kind.load(one.read(value, is_sent=True))
        except DocumentError as error:
            raise error.under(name) from None


def _plain(value: object) -> object:
    items = items_of(value)
    return value if items is None else items
