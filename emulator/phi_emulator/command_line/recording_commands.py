"""The commands `record` and `replay` as they are written. They must not know how either is done.

What does it is imported by the command that is called: the others start without it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from phi_emulator.command_line.config_commands import gathered
from phi_emulator.command_line.options import GroupedCommand, record_options, replay_options

__all__ = ["record", "replay"]

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=GroupedCommand)
@click.argument("file", type=_FILE)
@click.option("--allow-http", is_flag=True, help="Take plain http to a host that is not this machine.")
@click.option("--append", is_flag=True, help="Add to FILE if it is there.")
@record_options
def record(*, file: Path, allow_http: bool, append: bool, **flags: Any) -> None:
    """Forward what local clients ask to a real endpoint, and record it in FILE, without its secrets.

    The endpoint's key is taken from PHI_API_KEY, and stays in this process. Each exchange is in FILE before its answer
    ends, so that neither Ctrl-C nor a kill loses one.
    """
    from phi_emulator.command_line.recording_runs import run_record  # noqa: PLC0415 - for this command alone

    sys.exit(run_record(file, gathered(flags), allow_http=allow_http, append=append))


@click.command(cls=GroupedCommand)
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@replay_options
def replay(*, files: tuple[Path, ...], **flags: Any) -> None:
    """Answer from the recordings FILE..., without network and model, on every surface.

    A request that no recording answers gets an error that says what nearly does, and makes the exit status 1.
    """
    from phi_emulator.command_line.recording_runs import run_replay  # noqa: PLC0415 - for this command alone

    sys.exit(run_replay(files, gathered(flags)))
