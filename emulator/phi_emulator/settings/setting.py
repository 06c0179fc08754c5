"""What a setting is: what for, what it may be, by which names it is known. The fields of a class are a table of them.

It must not know one, nor where values come from.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final

from phi_emulator.settings.kinds import Kind
from phi_emulator.settings.parts import Part

__all__ = ["Group", "Setting", "environment_name", "setting", "settings_of"]

_PREFIX: Final = "PHI_EMULATOR_"
_KEY: Final = "setting"


class Group(StrEnum):
    """Under which title a setting stands in the help and in the reference, in this order."""

    MODEL = "The model"
    WHERE = "Address and keys"
    SURFACES = "What the surfaces do"
    LIMITS = "Limits and waiting"
    SPEED = "Speed and memory"
    LOG = "Log and stop"
    RECORDINGS = "Recordings"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one. `text` is a sentence for the help, without its default."""

    text: str
    kind: Kind
    group: Group
    without: str = ""
    """What happens where it isn't set, if no default says it."""
    commands: tuple[str, ...] = ("serve", "exec")
    """Which commands have it as an option. Others may read it too, from the environment or a file."""
    flag: str = ""
    """Its option, where that is not called as it is."""
    part: Part | None = None
    """Where of a running emulator it is, if it may be changed there."""
    loaded: str = ""
    """The field that has what it names, if that is read once."""
    name: str = ""
    """The name of the field, and the key in a file."""
    default: Any = None
    """As the field has it: None where it may be left out."""

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return environment_name(self.name)

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return self.flag or f"--{self.name.replace('_', '-')}"

    def read(self, value: object, *, is_sent: bool = False) -> Any:
        """The value as it is used; `None` where it may be left out. One that `is_sent` in a request names no file.

        Raises:
            DocumentError: it can't be.
        """
        if value is None and self.default is None:
            return None
        return self.kind.read_sent(value) if is_sent else self.kind.read(value)


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return f"{_PREFIX}{name.upper()}"


def setting(
    default: Any,
    kind: Kind,
    text: str,
    group: Group,
    *,
    without: str = "",
    commands: tuple[str, ...] = ("serve", "exec"),
    flag: str = "",
    part: Part | None = None,
    loaded: str = "",
) -> Any:
    """A field that is a setting; see `Setting`. Not all kinds of values are in the `repr`."""
    known = Setting(text, kind, group, without, commands, flag, part, loaded)
    is_told = kind.is_in_repr
    if isinstance(default, dict):
        return field(default_factory=dict[str, Any], repr=is_told, metadata={_KEY: known})
    return field(default=default, repr=is_told, metadata={_KEY: known})


def settings_of(table: type[Any]) -> dict[str, Setting]:
    """All settings of a class, by name, in their order."""
    found: dict[str, Setting] = {}
    for one in fields(table):
        if one.init:
            default = one.default if one.default_factory is MISSING else one.default_factory()
            found[one.name] = replace(one.metadata[_KEY], name=one.name, default=default)
    return found
