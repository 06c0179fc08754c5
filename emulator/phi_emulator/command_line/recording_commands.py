"""The commands `record` and `replay` as they are written. They must not know how either is done.

What does it is imported by the command that is called: the others start without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import click

from phi_client.contract.dialects.endpoint import DIALECTS
from phi_client.contract.emulator import EMULATOR_KEY, EMULATOR_PORT
from phi_client.contract.service import SURFACES

__all__ = ["record", "replay"]

F = TypeVar("F", bound=Callable[..., Any])

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


def _local_options(command: F) -> F:
    for option in (
        click.option(
            "--key",
            envvar="PHI_EMULATOR_KEY",
            default=EMULATOR_KEY,
            metavar="KEY",
            help="Key that local callers must present; without it the well-known one. [env PHI_EMULATOR_KEY]",
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=EMULATOR_PORT,
            metavar="PORT",
            help=f"Port of 127.0.0.1 to listen on; 0 takes a free one. [default {EMULATOR_PORT}]",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--to", "url", required=True, metavar="URL", help="The endpoint to forward to, as a client takes it."
)
@click.option(
    "--dialect", type=click.Choice(list(DIALECTS)), help="What it speaks, where its URL does not say so."
)
@click.option(
    "--entra", is_flag=True, help="Ask it with your Entra ID sign-in, in the place of the key in PHI_API_KEY."
)
@click.option("--allow-http", is_flag=True, help="Take plain http to a host that is not this machine.")
@click.option("--append", is_flag=True, help="Add to FILE if it is there.")
@_local_options
def record(
    *, file: Path, url: str, dialect: str | None, entra: bool, allow_http: bool, append: bool, **local: Any
) -> None:
    """Forward what local clients ask to a real endpoint, and record it in FILE, without its secrets.

    The endpoint's key is taken from PHI_API_KEY, and stays in this process. Each exchange is in FILE before its answer
    ends, so that neither Ctrl-C nor a kill loses one.
    """
    from phi_emulator.command_line.recording_runs import endpoint_of, run_record  # noqa: PLC0415 - for this command alone

    endpoint = endpoint_of(url, dialect, allow_http=allow_http)
    sys.exit(run_record(file, endpoint, with_entra=entra, append=append, **local))


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=1.0,
    metavar="N",
    help="How much faster than it was recorded; 0 waits for nothing. [default 1]",
)
@click.option(
    "--after-last",
    type=click.Choice(["repeat", "fail"]),
    default="repeat",
    help="What a request gets that is made more often than it was recorded: the last answer again, or an error. "
    "[default repeat]",
)
@click.option(
    "--dialect", type=click.Choice(list(SURFACES)), help="What the root speaks; without it what was recorded."
)
@_local_options
def replay(
    *,
    files: tuple[Path, ...],
    speed: float,
    after_last: Literal["repeat", "fail"],
    dialect: str | None,
    **local: Any,
) -> None:
    """Answer from the recordings FILE..., without network and model, on every surface.

    A request that no recording answers gets an error that says what nearly does, and makes the exit status 1.
    """
    from phi_emulator.command_line.recording_runs import run_replay  # noqa: PLC0415 - for this command alone

    sys.exit(run_replay(files, speed=speed, after_last=after_last, dialect=dialect, **local))
