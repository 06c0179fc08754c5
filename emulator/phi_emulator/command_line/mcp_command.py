"""The command `phi-emulator mcp`: what happened in a running emulator, for agents. It must not know what they ask."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlunsplit

import click

from phi_client.contract.emulator import EMULATOR_KEY
from phi_emulator.command_line.waiting import read_url

if TYPE_CHECKING:
    from phi_emulator.mcp.asking import Asks

__all__ = ["mcp"]

_INSTALL: Final = 'python -m pip install "phi-client[mcp]"'
_KEYS: Final = ("PHI_EMULATOR_KEY", "PHI_API_KEY")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    callback=read_url,
    metavar="URL",
    help="The emulator's root, or what a client takes as its endpoint. [default where `phi-emulator wait` looks]",
)
def mcp(url: SplitResult) -> None:
    """Tell agents what happened in a running emulator: a server of the Model Context Protocol, over stdin and stdout.

    It only reads. The key is that in PHI_EMULATOR_KEY or PHI_API_KEY, else the well-known one. The emulator may be
    started later, or again. Needs the extra [mcp].
    """
    from phi_emulator.mcp.asking import AskingError, Asks  # noqa: PLC0415 - for this command alone

    if sys.stdin.isatty():
        click.echo("phi-emulator: an agent starts this and talks to it over stdin; Ctrl-C ends it", err=True)
    try:
        asks = Asks(urlunsplit(url), _key())
    except AskingError as error:
        raise click.UsageError(str(error)) from None
    with asks:
        _serve(asks)


def _key() -> str:
    return next(filter(None, map(os.environ.get, _KEYS)), EMULATOR_KEY)


def _serve(asks: Asks) -> None:
    try:
        from phi_emulator.mcp.server import make_server  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name != "mcp":
            raise
        raise click.ClickException(f"the package `mcp` is missing: run  {_INSTALL}") from None
    make_server(asks).run("stdio")
