"""What a measurement is of: the command as it can be given again, the machine, and the settings that held.

It must not know what was measured.
"""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata

import click
from click.core import ParameterSource

from phi_emulator.config import SETTINGS, EmulatorConfig
from phi_emulator.engine.machine.builds import installed_builds
from phi_emulator.engine.machine.calibration import machine

__all__ = ["given_command", "measured_on"]


def given_command(context: click.Context) -> str:
    """The command with the options that were given, as for a shell."""
    words = context.command_path.split()
    for option in context.command.params:
        name = option.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        is_flag = isinstance(option, click.Option) and option.is_flag
        if is_flag:
            words.append(option.opts[0] if value else option.secondary_opts[0])
        else:
            words += [option.opts[0], str(value)]
    return shlex.join(words)


def measured_on(config: EmulatorConfig, settings: Iterable[str]) -> dict[str, str]:
    """The machine, the versions and the named settings, as they are shown."""
    of_machine = {name: str(value) for name, value in machine().items() if value is not None}
    packages = [f"Python {platform.python_version()}", *map(str, installed_builds())]
    with suppress(metadata.PackageNotFoundError):  # run from its sources
        packages.append(f"phi-client {metadata.version('phi-client')}")
    held = {
        name: SETTINGS[name].kind.shown(getattr(config, name))
        for name in settings
        if name in SETTINGS and not SETTINGS[name].kind.is_secret and getattr(config, name) is not None
    }
    return {**of_machine, "packages": ", ".join(packages), **held}
