"""The commands of `phi-emulator`: options in, a configuration out, and what is said to the user.

It must not know how requests are answered. Every option is a field of `EmulatorConfig`, but for `--yes`.

Exit statuses: 0 after a clean stop, Ctrl-C and SIGTERM included · 1 could not start · 2 wrong usage · 128 + n when a
second signal n cut the stop short, 130 when Ctrl-C did so to a download. `exec` gives the child's own, 128 + n when
signal n ended it, 127 and 126 when the command was not found or can't be run; `chat` and `grade` have more.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from phi_client.contract.service import SURFACES
from phi_emulator.command_line.banner import make_banner
from phi_emulator.command_line.chat_command import chat
from phi_emulator.command_line.child import NOT_EXECUTABLE, NOT_FOUND, ChildRunner, client_environment
from phi_emulator.command_line.config_commands import config, configured
from phi_emulator.command_line.grade_command import grade
from phi_emulator.command_line.latency_commands import latency
from phi_emulator.command_line.mcp_command import mcp
from phi_emulator.command_line.model_commands import models, obtain_model
from phi_emulator.command_line.options import (
    CONFIG_OPTION,
    GroupedCommand,
    exec_options,
    serve_options,
    switch,
)
from phi_emulator.command_line.origins import given_command, measured_on
from phi_emulator.command_line.recording_commands import record, replay
from phi_emulator.command_line.report_files import ReportFile, write_report
from phi_emulator.command_line.stopping import StopSignals
from phi_emulator.command_line.waiting import wait
from phi_emulator.command_line.words import HelpfulGroup
from phi_emulator.doctor.doctor_command import doctor
from phi_emulator.emulator import Emulator, EmulatorError
from phi_emulator.models.printable import printable
from phi_emulator.platforms import find_program, raise_file_limit

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from phi_emulator.config import EmulatorConfig

__all__ = ["phi_emulator"]

_LOOK_EVERY_S: Final = 0.5


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if not wanted:
        return
    try:
        found = metadata.version("phi-client")
    except metadata.PackageNotFoundError:  # the code runs without being installed
        found = "0+unknown"
    click.echo(f"phi-emulator {found}")
    context.exit()


@click.group(cls=HelpfulGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
def phi_emulator() -> None:
    """A local emulator of Phi-4-mini-reasoning on Azure, answering from a real int4 model."""


phi_emulator.add_command(chat)
phi_emulator.add_command(config)
phi_emulator.add_command(doctor)
phi_emulator.add_command(grade)
phi_emulator.add_command(mcp)
phi_emulator.add_command(models)
phi_emulator.add_command(latency)
phi_emulator.add_command(record)
phi_emulator.add_command(replay)
phi_emulator.add_command(wait)


@phi_emulator.command(cls=GroupedCommand)
@serve_options
@click.option("--yes", is_flag=True, help="Download the model without asking, if it is not here.")
@click.argument("words", nargs=-1, metavar="")
def serve(yes: bool, words: tuple[str, ...], **flags: Any) -> None:  # noqa: FBT001 - click's
    """Serve until Ctrl-C or SIGTERM, which let running requests end; a second one stops at once."""
    if words:
        raise click.UsageError(f"to serve a model write `--model {printable(words[0], 80)}`")
    config = obtain_model(configured(flags), yes=yes)
    raise_file_limit()
    with StopSignals() as signals, _exporting(config) as provider:
        emulator = _start(Emulator(config, tracer_provider=provider))
        width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
        click.echo(_banner(emulator, width), err=True)
        while not signals.came(within_s=_LOOK_EVERY_S):
            if not emulator.is_running:
                raise click.ClickException("the server ended by itself; its log says why")
        patience = f"running requests may take {config.drain_seconds:g} s"
        click.echo(f"stopping: {patience}; Ctrl-C again stops at once", err=True)
        emulator.stop()


@phi_emulator.command("exec", cls=GroupedCommand, context_settings={"allow_interspersed_args": False})
@exec_options
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(command: tuple[str, ...], **flags: Any) -> None:
    """Run COMMAND with PHI_ENDPOINT and PHI_API_KEY set to an emulator of its own, on a free port.

    What else `PHI_…` says of another endpoint is taken out of the command's environment. The exit status is the
    command's. Put `--` before the command.
    """
    # A free port and few words, unless asked for: neither is taken from what is set for `serve`.
    config = configured({"port": 0, "log_level": "warning"} | _given(flags))
    # Said before a model is loaded for nothing.
    if find_program(command[0], os.environ) is None:
        is_there = Path(command[0]).exists() and Path(command[0]).name != command[0]
        said = "can't run" if is_there else "command not found:"
        click.echo(f"phi-emulator: {said} {command[0]!r}", err=True)
        sys.exit(NOT_EXECUTABLE if is_there else NOT_FOUND)
    with ChildRunner() as child, _exporting(config) as provider:
        emulator = _start(Emulator(config, tracer_provider=provider))
        try:
            info = emulator.info
            runs_on = f"{info.execution_provider}, {info.why}"
            what = info.model if config.model is None else f"{info.model}: {emulator.description}"
            ready = f"phi-emulator: {what} ({runs_on}) at {emulator.endpoint}"
            click.echo(printable(ready), err=True)
            named = next(iter(config.deployments), info.model)
            environ = client_environment(
                os.environ,
                endpoint=emulator.endpoint,
                key=emulator.key,
                model=named if SURFACES[config.dialect].needs_model else None,
            )
            status, complaint = child.run(command, environ)
        finally:
            # Whatever still runs was asked for by a child that is gone.
            emulator.stop(drain_seconds=0)
    if complaint:
        click.echo(f"phi-emulator: {complaint}", err=True)
    sys.exit(status)


@phi_emulator.command()
@CONFIG_OPTION
@click.option("--model", metavar="NAME|PATH", help="As of `serve`.")
@click.option("--context", type=int, metavar="TOKENS", help="As of `serve`.")
@click.option("--cache-mb", type=int, metavar="MEGABYTES", help="As of `serve`.")
@click.option("--cache-bits", type=int, metavar="8|32", help="As of `serve`.")
@click.option("--max-running", type=int, metavar="COUNT", help="As of `serve`.")
@click.option("--threads", type=int, metavar="COUNT", help="As of `serve`.")
@switch("deterministic", "Measure only whether one seed gives one text with this of `serve`.")
@click.option(
    "--rounds", type=click.IntRange(1), help="The best or the middle of so many counts. [3; slow models 2]"
)
@click.option("--tokens", type=click.IntRange(8), help="Longest answer. [128; slow models 32]")
@click.option("--newcomer", type=click.IntRange(1), help="Tokens of a long prompt. [500]")
@click.option("--requests", type=click.IntRange(1), help="Short requests in all. [1000]")
@click.option("--hang-ups", type=click.IntRange(2), help="Callers that hang up. [200]")
@click.option("--repeats", type=click.IntRange(2), help="Runs with one seed, with --deterministic. [100]")
@click.option("--json", "json_file", type=ReportFile(), metavar="FILE", help="Write all numbers here.")
@click.option(
    "--html", "html_file", type=ReportFile(), metavar="FILE", help="Write one page with plots here."
)
@click.option("--strict", is_flag=True, help="Exit with status 1 if a bar doesn't hold.")
def bench(
    json_file: Path | None,
    html_file: Path | None,
    strict: bool,  # noqa: FBT001 - click's
    **given: Any,
) -> None:
    """Measure an emulator against its own engine without server, queue and streams; print tables, and what holds.

    It loads the model twice, in two processes. How long it takes is said once the model's pace is known.
    """
    from phi_emulator.bench import bars_table, run_benchmark, verdicts  # noqa: PLC0415 - for this command alone

    if html_file is not None and html_file == json_file:
        raise click.UsageError("--html and --json would write the same file: name two")
    began = datetime.now(UTC)
    names = (
        "config_file",
        "model",
        "context",
        "cache_mb",
        "cache_bits",
        "max_running",
        "threads",
        "deterministic",
    )
    settings = _given({name: given.pop(name) for name in names})
    config = configured({"port": 0, "log_level": "warning"} | settings)
    if not config.has_model:
        raise click.UsageError("a script has no speed: name a model to measure")
    try:
        report = run_benchmark(config, _given(given), tell=lambda line: click.echo(line, err=True))
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{report.to_table()}\n\n{bars_table(report)}")
    files: list[tuple[Path, str]] = []
    if json_file is not None:
        files.append((json_file, report.to_json(list(verdicts(report))) + "\n"))
    if html_file is not None:
        from phi_emulator.bench.page import Origin, html_page  # noqa: PLC0415 - for this option alone

        origin = Origin(given_command(click.get_current_context()), began, measured_on(config, names))
        files.append((html_file, html_page(report, origin)))
    try:
        for file, text in files:
            write_report(file, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise click.ClickException(printable(f"a report can't be written: {error}")) from error
    if strict and not all(verdict.holds for verdict in verdicts(report)):
        sys.exit(1)


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


@contextmanager
def _exporting(config: EmulatorConfig) -> Generator[TracerProvider | None]:
    """Where spans go while the block runs."""
    from phi_emulator.telemetry.export import ExportError, exporting  # noqa: PLC0415 - most emulators have none

    try:
        with exporting(config.otel, os.environ) as provider:
            yield provider
    except ExportError as error:
        raise click.ClickException(printable(str(error), 500)) from error


def _start(emulator: Emulator) -> Emulator:
    try:
        return emulator.start()
    except EmulatorError as error:
        raise click.ClickException(printable(str(error))) from error


def _banner(emulator: Emulator, width: int | None = None) -> str:
    return make_banner(emulator, width)
