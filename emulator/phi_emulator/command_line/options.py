"""The options of `phi-emulator`, made of the table of settings, in the groups in which the help shows them.

It must not know what the commands do with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

import click

from phi_emulator.config import SETTINGS
from phi_emulator.documents import DocumentError
from phi_emulator.models.printable import printable
from phi_emulator.settings.kinds import Kind, Switch
from phi_emulator.settings.setting import Group, Setting
from phi_emulator.settings.sources import FILE_NAME, FILE_VARIABLE

__all__ = [
    "CONFIG_OPTION",
    "GroupedCommand",
    "chat_options",
    "exec_options",
    "grouped",
    "record_options",
    "replay_options",
    "serve_options",
    "switch",
]

F = TypeVar("F", bound=Callable[..., Any])

_OTHERS: Final = "Others"
_SURFACE_KEYS: Final = "surface_keys"


class _Option(click.Option):
    """An option that knows its group."""

    def __init__(self, *args: Any, group: str = _OTHERS, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, in the order in which they come; what belongs to none is last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None and isinstance(option, click.Option):
                groups.setdefault(getattr(option, "group", _OTHERS), []).append(record)
        groups |= {_OTHERS: groups.pop(_OTHERS, [])}
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


class _Value(click.ParamType[Any]):
    """A word of the command line, read as the kind of its setting has it."""

    def __init__(self, kind: Kind) -> None:
        self.name = kind.metavar
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, or the reason why it is none."""
        if not isinstance(value, str):
            return value
        try:
            return self._kind.read(self._kind.parse(value))
        except DocumentError as error:
            hint = " (before a command put `--`)" if isinstance(self._kind, Switch) else ""
            self.fail(printable(f"{error}{hint}"), param, ctx)


CONFIG_OPTION: Final = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    help=f"File of settings. [env {FILE_VARIABLE}; default {FILE_NAME} of this folder, if it is there]",
)
"""Of all commands that have settings."""


def switch(name: str, text: str) -> Callable[[F], F]:
    """A switch, in the one form that all commands take: `--NAME` alone is yes, and `--NAME yes` or `no` decides."""
    return _option(SETTINGS[name], text=text)


def _option(one: Setting, *, text: str, instead: str | None = None) -> Callable[[F], F]:
    """The option of a setting; without it other sources decide, then the default.

    `instead` is said of its default where a command has one of its own, which no other source changes.
    """
    notes = [f"env {one.variable}"]
    if instead is not None:
        notes = [f"default {instead}, whatever {one.variable} says"]
    elif one.default not in (None, (), {}) and not one.kind.is_secret:
        notes.append(f"default {one.kind.shown(one.default)}")
    elif one.without:
        notes.append(f"default {one.without}")
    given: dict[str, Any] = {}
    if one.flag and isinstance(one.kind, Switch):
        # A word behind it is none of its own.
        return click.option(
            f"{one.flag}/--no-{one.flag.removeprefix('--')}",
            one.name,
            cls=_Option,
            group=one.group.value,
            default=None,
            help=f"{text} [{'; '.join(notes)}]",
        )
    if isinstance(one.kind, Switch):
        given = {"is_flag": False, "flag_value": "yes"}
    return click.option(
        one.option,
        one.name,
        cls=_Option,
        group=one.group.value,
        type=click.Choice(one.kind.choices) if one.kind.choices else _Value(one.kind),
        metavar=None if one.kind.choices else one.kind.metavar,
        default=None,
        help=f"{text} [{'; '.join(notes)}]",
        **given,
    )


def _surface_keys(
    _context: click.Context, _option: click.Parameter, words: tuple[str, ...]
) -> Mapping[str, tuple[str, ...]] | None:
    kind = SETTINGS[_SURFACE_KEYS].kind
    try:
        return kind.read(kind.parse(" ".join(words))) or None
    except DocumentError as error:
        raise click.BadParameter(str(error)) from error


def _surface_key(one: Setting) -> Callable[[F], F]:
    return click.option(
        one.option,
        one.name,
        cls=_Option,
        group=one.group.value,
        multiple=True,
        metavar=one.kind.metavar,
        callback=_surface_keys,
        help=f"{one.text} [env {one.variable}]",
    )


def _settings(
    command: str,
    *,
    instead: Mapping[str, str] = MappingProxyType({}),
    without: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[F], F]:
    """The options of all settings that a command has, and of their file.

    `instead` are defaults of the command that no other source changes; `without` is what it does where nothing is set.
    """
    order = [*Group]
    options = [CONFIG_OPTION]
    for one in sorted(SETTINGS.values(), key=lambda one: order.index(one.group)):
        if command not in one.commands:
            continue
        if one.name in without:
            one = replace(one, default=None, without=without[one.name])  # noqa: PLW2901 - as it is here
        is_many = one.name == _SURFACE_KEYS
        options.append(
            _surface_key(one) if is_many else _option(one, text=one.text, instead=instead.get(one.name))
        )

    def decorate(decorated: F) -> F:
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


_WITHOUT_MODEL: Final = "the pulled Phi-4-mini-reasoning if it is here, else the bundled model"
serve_options: Final = _settings("serve", without={"model": _WITHOUT_MODEL})
"""The options of `serve`."""
exec_options: Final = _settings("exec", instead={"port": "a free one", "log_level": "warning"})
"""The options of `exec`, which has an emulator of its own."""
chat_options: Final = _settings(
    "exec", instead={"port": "a free one", "log_level": "error"}, without={"model": _WITHOUT_MODEL}
)
"""The options of `chat`, for the emulator that it starts where it asks no other."""
record_options: Final = _settings("record")
"""Those of `record` that are settings."""
replay_options: Final = _settings("replay", without={"dialect": "what was recorded"})
"""Those of `replay` that are settings."""


def grouped(group: str, *names: str, **attributes: Any) -> Callable[[F], F]:
    """An option that is no setting, in a group of the help."""
    return click.option(*names, cls=_Option, group=group, **attributes)
