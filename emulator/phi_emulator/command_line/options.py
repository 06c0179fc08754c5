"""The options of `phi-emulator`, made of the table of settings, in the groups in which the help shows them.

It must not know what the commands do with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
            if record is not None:
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
        "--surface-key",
        one.name,
        cls=_Option,
        group=one.group.value,
        multiple=True,
        metavar=one.kind.metavar,
        callback=_surface_keys,
        help=f"{one.text} [env {one.variable}]",
    )


def _settings(
    *, of_process: bool, own: Mapping[str, str], without_model: str | None = None
) -> list[Callable[[F], F]]:
    """The options of all settings, or of those that are not about a process; `own` are defaults of the command."""
    order = [*Group]
    found = sorted(SETTINGS.values(), key=lambda one: order.index(one.group))
    return [CONFIG_OPTION] + [
        _surface_key(one)
        if one.name == _SURFACE_KEYS
        else _option(
            replace(one, without=without_model) if one.name == "model" and without_model else one,
            text=one.text,
            instead=own.get(one.name),
        )
        for one in found
        if of_process or not one.is_of_process
    ]


def serve_options(command: F) -> F:
    """The options of `serve`."""
    without_model = "the pulled Phi-4-mini-reasoning if it is here, else the bundled model"
    return _decorated(command, _settings(of_process=True, own={}, without_model=without_model))


def exec_options(command: F) -> F:
    """The options of `exec`, which has an emulator of its own."""
    return _decorated(
        command, _settings(of_process=False, own={"port": "a free one", "log_level": "warning"})
    )


def chat_options(command: F) -> F:
    """The options of `chat`, for the emulator that it starts where it asks no other."""
    without_model = "the pulled Phi-4-mini-reasoning if it is here, else the bundled model"
    own = {"port": "a free one", "log_level": "error"}
    return _decorated(command, _settings(of_process=False, own=own, without_model=without_model))


def grouped(group: str, *names: str, **attributes: Any) -> Callable[[F], F]:
    """An option that is no setting, in a group of the help."""
    return click.option(*names, cls=_Option, group=group, **attributes)


def _decorated(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command
