"""`phi-emulator doctor`: what `Doctor` finds, a line for each thing, while it is being looked at.

It must not know what is right or wrong with a machine. Exit status: 0, 1 when something must be mended, 2 for wrong
usage.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import chain
from typing import Any, Final

import click

from phi_emulator.config import SETTINGS, ConfigError, EmulatorConfig, read_sources
from phi_emulator.doctor.look_at_settings import look_at_settings
from phi_emulator.settings.setting import environment_name
from phi_emulator.settings.sources import FILE_NAME, FILE_VARIABLE, find_file

__all__ = ["doctor"]

_COLOURS: Final = {"ok": "green", "note": "blue", "warning": "yellow", "failure": "red"}


@click.command()
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    help=f"File of settings, which is looked at too. [env {FILE_VARIABLE}; default {FILE_NAME}, if it is there]",
)
@click.option("--model", metavar="NAME|PATH", help=f"The model to try. [env {environment_name('model')}]")
@click.option(
    "--device",
    type=click.Choice(SETTINGS["device"].kind.choices),
    help=f"The execution provider to try. [env {environment_name('device')}; default auto]",
)
@click.option(
    "--context",
    type=int,
    metavar="TOKENS",
    help=f"Tokens of prompt and answer together. [env {environment_name('context')}]",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each finding.")
def doctor(config_file: str | None, as_json: bool, **given: Any) -> None:  # noqa: FBT001 - click's
    """Look at settings, packages, disk, memory, the device and the endpoint that is configured; say what to mend.

    The model is loaded and says a few words, so that what ran is seen and not believed. Nothing is changed. An Azure
    endpoint (`PHI_ENDPOINT`) is asked for its model's name, which is not billed.
    """
    from phi_emulator.doctor.doctor import Doctor  # noqa: PLC0415 - the other commands need none of it
    from phi_emulator.models import Store, StoreError  # noqa: PLC0415
    from phi_emulator.models.printable import printable  # noqa: PLC0415

    try:
        EmulatorConfig.from_sources(read_sources({}, None, given))
    except ConfigError as error:
        raise click.UsageError(printable(str(error))) from error
    found, config = look_at_settings(os.environ, find_file(config_file, os.environ), given)
    try:
        home = Store(config.home).home
    except StoreError as error:
        raise click.ClickException(printable(str(error))) from error
    is_well = True
    for finding in chain(found, Doctor(config, os.environ, pulled_to=home).findings()):
        is_well = is_well and finding.status != "failure"
        if as_json:
            click.echo(
                json.dumps({"status": finding.status, "subject": finding.subject, "text": finding.text})
            )
        else:
            mark = click.style(f"{finding.status:8}", fg=_COLOURS[finding.status])
            click.echo(f"{mark} {finding.subject:15} {printable(finding.text)}")
    sys.exit(0 if is_well else 1)
