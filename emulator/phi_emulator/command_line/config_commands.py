"""The command `config`: which settings hold and where each is from, and the schema of their file.

It must not start anything. What all commands do to gather their settings is here too.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import click

from phi_emulator.command_line.options import GroupedCommand, serve_options
from phi_emulator.config import SETTINGS, ConfigError, EmulatorConfig, read_sources
from phi_emulator.models.printable import printable
from phi_emulator.settings.schema import schema_of
from phi_emulator.settings.setting import Setting
from phi_emulator.settings.sources import FILE_NAME, Sources, find_file

__all__ = ["checked", "config", "configured", "gathered", "usage_errors"]

_HIDDEN: Final = "(not shown)"
_UNSET: Final = "-"


@contextmanager
def usage_errors() -> Generator[None]:
    """Say in one line which setting can't work."""
    try:
        yield
    except ConfigError as error:
        raise click.UsageError(printable(str(error))) from error


def gathered(flags: dict[str, Any]) -> Sources:
    """What a file, the environment and the command line say; `config_file` among the flags names the file."""
    given = dict(flags)
    file = find_file(given.pop("config_file", None), os.environ)
    with usage_errors():
        return read_sources(os.environ, file, given)


def checked(sources: Sources) -> EmulatorConfig:
    """The settings of these sources. What is nobody's, and which file was read, is said."""
    with usage_errors():
        found = EmulatorConfig.from_sources(sources)
    for line in sources.complaints:
        click.echo(f"phi-emulator: {printable(line)}", err=True)
    if sources.document is not None:
        click.echo(printable(f"phi-emulator: settings of {sources.document.source}"), err=True)
    return found


def configured(flags: dict[str, Any]) -> EmulatorConfig:
    """The settings of a command that has an emulator, said where they are from, and its log."""
    config = checked(gathered(flags))
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("phi_emulator").setLevel(config.logging_level)
    logging.getLogger("asyncio").addFilter(_is_news)
    return config


def _is_news(record: logging.LogRecord) -> bool:
    """False for what asyncio says when several chunks are on their way to a caller who has just hung up."""
    return record.msg != "socket.send() raised exception."


@click.group()
def config() -> None:
    """The settings: which hold, and what there are."""


@config.command(cls=GroupedCommand)
@serve_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(as_json: bool, **flags: Any) -> None:  # noqa: FBT001 - click's
    """Show the settings that `serve` would take with the same options, and where each is from. Keys are not shown."""
    sources = gathered(flags)
    with usage_errors():
        found = EmulatorConfig.from_sources(sources)
    rows = [_row(one, found, sources) for one in SETTINGS.values()]
    for line in sources.complaints:
        click.echo(f"phi-emulator: {printable(line)}", err=True)
    if as_json:
        click.echo(
            json.dumps({name: {"value": value, "from": origin} for name, value, origin in rows}, indent=2)
        )
        return
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        click.echo(printable(f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}"))


@config.command()
def schema() -> None:
    """Print the JSON Schema of the file of settings, for editors."""
    click.echo(json.dumps(schema_of(SETTINGS, FILE_NAME), indent=2))


def _row(one: Setting, found: EmulatorConfig, sources: Sources) -> tuple[str, str, str]:
    value = getattr(found, one.name)
    origin = sources.origins.get(one.name)
    said = one.kind.shown(value) if value not in (None, (), {}) else one.without or _UNSET
    hides = one.kind.is_secret and origin is not None
    return one.name, _HIDDEN if hides else said, "default" if origin is None else origin.place
