"""The command `latency`: what profiles there are, and that of a recording. It must not know who uses them."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Final

import click

from phi_emulator.latency.language import table_of, write_line
from phi_emulator.latency.presets import PRESETS
from phi_emulator.models.printable import printable

__all__ = ["latency"]

_WIDTH: Final = 100


@click.group(invoke_without_command=True)
@click.pass_context
def latency(context: click.Context) -> None:
    """List the profiles of latency that `--latency` knows by name, with where their figures are from."""
    if context.invoked_subcommand is not None:
        return
    for preset in PRESETS.values():
        click.echo(preset.name)
        for text in (
            preset.imitates,
            write_line(preset.profile),
            f"from {preset.source} (read {preset.read}): {preset.said}",
            f"assumed: {preset.assumed}",
        ):
            click.echo(textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="    "))


@latency.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="RECORDING..."
)
def read(files: tuple[Path, ...]) -> None:
    """Print the profile of the streams in RECORDING... as a file that `--latency` takes."""
    from phi_emulator.recordings.file import RecordingError, read_recording  # noqa: PLC0415 - for this command alone
    from phi_emulator.recordings.measured import NoStreamsError, measure  # noqa: PLC0415 - as above

    names = ", ".join(printable(str(file)) for file in files)
    try:
        found = measure(exchange for file in files for exchange in read_recording(file).exchanges)
    except RecordingError as error:
        raise click.ClickException(printable(str(error))) from error
    except NoStreamsError as error:
        raise click.ClickException(f"{names}: {error}") from error
    streams = f"{found.streams} stream{'' if found.streams == 1 else 's'}"
    left_out = f"; {found.left_out} other exchanges tell nothing" if found.left_out else ""
    click.echo(f"# {streams} with {found.tokens} tokens in {names}{left_out}")
    click.echo("[latency]")
    # A text of TOML is written as one of JSON is.
    for key, value in {**table_of(found.profile), "source": f"{streams} in {names}"}.items():
        click.echo(f"{key} = {json.dumps(value, ensure_ascii=False)}")
