"""The commands of `phi-emulator`: options in, a configuration out, and what is said to the user.

It must not know how requests are answered. Every option is a field of `EmulatorConfig`, but for `--yes`.

Exit statuses: 0 after a clean stop, Ctrl-C and SIGTERM included · 1 could not start · 2 wrong usage · 128 + n when a
second signal n cut the stop short, 130 when Ctrl-C did so to a download. `exec` gives the child's own, 128 + n when
signal n ended it, 127 and 126 when the command was not found or can't be run.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

import click

from phi_client.contract.dialects import DIALECTS
from phi_client.contract.emulator import EMULATOR_ALIAS, EMULATOR_ENDPOINT, EMULATOR_KEY
from phi_emulator.child import NOT_FOUND, ChildRunner, client_environment
from phi_emulator.config import (
    DEVICE_NAMES,
    IMAGES,
    LOG_LEVELS,
    READERS,
    REASONING,
    ConfigError,
    EmulatorConfig,
    environment_name,
    read_surface_keys,
)
from phi_emulator.doctor_command import doctor
from phi_emulator.emulator import Emulator, EmulatorError
from phi_emulator.engine.base import EngineInfo
from phi_emulator.engine.memory import memory_phrase
from phi_emulator.model_commands import models, obtain_model

__all__ = ["phi_emulator"]

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS: Final = EmulatorConfig()
_LOOK_EVERY_S: Final = 0.5
_WORTH_SAYING: Final = 1_000_000_000
_EXTENDED: Final = "response_format and tools are taken; the hosted model has neither"


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if not wanted:
        return
    try:
        found = metadata.version("phi-client")
    except metadata.PackageNotFoundError:  # the code runs without being installed
        found = "0+unknown"
    click.echo(f"phi-emulator {found}")
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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


phi_emulator.add_command(doctor)


def _option(
    field: str,
    text: str,
    metavar: str | None = None,
    choices: Sequence[str] = (),
    bare: str | None = None,
) -> Callable[[F], F]:
    """The option of a field; without it the environment decides, then the field's default.

    `bare` is its value where it is given without one.
    """
    default = getattr(_DEFAULTS, field)
    bare_use: dict[str, Any] = {} if bare is None else {"is_flag": False, "flag_value": bare}
    notes = [f"env {environment_name(field)}"]
    if default not in (None, ()) and field != "key":
        notes.append(f"default {default}")
    return click.option(
        f"--{field.replace('_', '-')}",
        field,
        type=click.Choice(choices) if choices else READERS.get(field, str),
        metavar=metavar,
        default=None,
        **bare_use,
        help=f"{text} [{'; '.join(notes)}]",
    )


def _surface_keys(
    _context: click.Context, _option: click.Parameter, words: tuple[str, ...]
) -> dict[str, tuple[str, ...]] | None:
    try:
        return read_surface_keys(words) or None
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


_SURFACE_KEYS: Final = click.option(
    "--surface-key",
    "surface_keys",
    multiple=True,
    metavar="NAME=KEY",
    callback=_surface_keys,
    help=f"Key of one surface, in the place of --key; may be repeated. [env {environment_name('surface_keys')}]",
)
_MODEL_OPTIONS: Final = (
    _option(
        "model",
        "Name of a known model, or a GenAI model folder; without it the bundled model, or in `serve` the pulled "
        "Phi-4-mini-reasoning if it is here.",
        "NAME|PATH",
    ),
    _option("home", "Folder of the pulled models; without it the user's data folder.", "FOLDER"),
    _option("context", "Tokens of prompt and answer together.", "TOKENS"),
    _option("device", "Execution provider that runs the model, decided by trying.", choices=DEVICE_NAMES),
    _option("max_running", "Requests that share the model's steps; without it measured once.", "COUNT"),
    _option("threads", "Threads that compute a step; without it one for each usable core.", "COUNT"),
    _option("cache_mb", "Memory that the cache of a prepared model may take.", "MEGABYTES"),
    _option("cache_bits", "Bits of a number in that cache; without it 8 in large models.", "8|32"),
    _option("dialect", "What the root speaks.", choices=list(DIALECTS)),
    _option("port", "Port to listen on; 0 takes a free one.", "PORT"),
    _option("key", "Key that callers must present; without it the well-known one.", "KEY"),
    _SURFACE_KEYS,
    _option("tenant", "Entra tenant whose tokens are taken.", "GUID|DOMAIN"),
    _option("token_seconds", "How long the tokens that the emulator issues are good for.", "SECONDS"),
    _option("queue_size", "Requests that may wait before others get 429.", "COUNT"),
    _option("queue_seconds", "How long a request may wait before it gets 429.", "SECONDS"),
    _option("deterministic", "One request at a time, so that seeds repeat whatever else is asked.", "YES|NO"),
    _option("image", "The container behind managed compute.", choices=IMAGES),
    _option("reasoning", "Where the reasoning goes; without it as the surface does.", choices=REASONING),
    _option("requests_per_minute", "Requests a minute that a deployment takes before 429.", "COUNT"),
    _option("tokens_per_minute", "Tokens a minute that a deployment takes before 429.", "COUNT"),
    _option("max_concurrent", "Requests at once that a deployment takes before 429.", "COUNT"),
    _option("max_output_tokens", "Longest answer, as a hosted service may cap it.", "TOKENS"),
    _option("content_filter", "off, default, or a JSON file of words that block or annotate.", "FILE"),
    _option("deployments", "Names of deployments; without it any.", "NAME,NAME"),
    _option("help_text", "Append the front door's help text to the model's errors.", "YES|NO"),
    _option(
        "extensions", "Take what the hosted model has not: response_format and tools.", "[YES|NO]", bare="yes"
    ),
    _option("loose", "Take any api-version, yes or no.", "YES|NO"),
    _option("request_timeout_ms", "How long an answer may take before 408, or its stream's end.", "MS"),
    _option("max_body_bytes", "Largest request body.", "BYTES"),
    _option("log_level", "Least severe level that is logged.", choices=LOG_LEVELS),
)
_SERVER_OPTIONS: Final = (
    _option("host", "Address to listen on; one that others can reach needs a key of your own.", "ADDRESS"),
    _option("drain_seconds", "How long running requests may go on after Ctrl-C.", "SECONDS"),
)


def _options(options: tuple[Callable[[F], F], ...]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


phi_emulator.add_command(models)


@phi_emulator.command()
@_options(_SERVER_OPTIONS + _MODEL_OPTIONS)
@click.option("--yes", is_flag=True, help="Download the model without asking, if it is not here.")
def serve(yes: bool, **flags: Any) -> None:  # noqa: FBT001 - click's
    """Serve until Ctrl-C or SIGTERM, which let running requests end; a second one stops at once."""
    config = obtain_model(_configure(flags), yes=yes)
    with _StopSignals() as signals:
        emulator = _start(Emulator(config))
        click.echo(_banner(emulator), err=True)
        while not signals.came(within_s=_LOOK_EVERY_S):
            if not emulator.is_running:
                raise click.ClickException("the server ended by itself; its log says why")
        patience = f"running requests may take {config.drain_seconds:g} s"
        click.echo(f"stopping: {patience}; Ctrl-C again stops at once", err=True)
        emulator.stop()


@phi_emulator.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@_options(_MODEL_OPTIONS)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(command: tuple[str, ...], **flags: Any) -> None:
    """Run COMMAND with PHI_ENDPOINT and PHI_API_KEY set to an emulator of its own, on a free port.

    The exit status is the command's. Put `--` before the command.
    """
    # A free port and few words, unless asked for: neither is taken from what is set for `serve`.
    config = _configure({"port": 0, "log_level": "warning"} | _given(flags))
    if shutil.which(command[0]) is None:  # said before a model is loaded for nothing
        click.echo(f"phi-emulator: command not found: {command[0]!r}", err=True)
        sys.exit(NOT_FOUND)
    with ChildRunner() as child:
        emulator = _start(Emulator(config))
        try:
            info = emulator.info
            runs_on = f"{info.execution_provider}, {info.why}"
            click.echo(f"phi-emulator: {info.model} ({runs_on}) at {emulator.endpoint}", err=True)
            environ = client_environment(os.environ, endpoint=emulator.endpoint, key=emulator.key)
            status, complaint = child.run(command, environ)
        finally:
            # Whatever still runs was asked for by a child that is gone.
            emulator.stop(drain_seconds=0)
    if complaint:
        click.echo(f"phi-emulator: {complaint}", err=True)
    sys.exit(status)


@phi_emulator.command()
@click.option("--model", metavar="NAME|PATH", help="As of `serve`.")
@click.option("--context", type=int, metavar="TOKENS", help="As of `serve`.")
@click.option("--cache-mb", type=int, metavar="MEGABYTES", help="As of `serve`.")
@click.option("--cache-bits", type=int, metavar="8|32", help="As of `serve`.")
@click.option("--max-running", type=int, metavar="COUNT", help="As of `serve`.")
@click.option("--threads", type=int, metavar="COUNT", help="As of `serve`.")
@click.option(
    "--deterministic", is_flag=True, help="Measure only whether one seed gives one text with this of `serve`."
)
@click.option(
    "--rounds", type=click.IntRange(1), help="The best or the middle of so many counts. [3; slow models 2]"
)
@click.option("--tokens", type=click.IntRange(8), help="Longest answer. [128; slow models 32]")
@click.option("--newcomer", type=click.IntRange(1), help="Tokens of a long prompt. [500]")
@click.option("--requests", type=click.IntRange(1), help="Short requests in all. [1000]")
@click.option("--hang-ups", type=click.IntRange(2), help="Callers that hang up. [200]")
@click.option("--repeats", type=click.IntRange(2), help="Runs with one seed, with --deterministic. [100]")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all numbers here."
)
@click.option("--strict", is_flag=True, help="Exit with status 1 if a bar doesn't hold.")
def bench(
    json_file: Path | None,
    strict: bool,  # noqa: FBT001 - click's
    **given: Any,
) -> None:
    """Measure an emulator against its own engine without server, queue and streams; print tables, and what holds.

    It loads the model twice, in two processes. How long it takes is said once the model's pace is known.
    """
    from phi_emulator.bench import bars_table, run_benchmark, verdicts  # noqa: PLC0415 - for this command alone

    names = ("model", "context", "cache_mb", "cache_bits", "max_running", "threads", "deterministic")
    settings = _given({name: given.pop(name) for name in names})
    config = _configure({"port": 0, "log_level": "warning"} | settings)
    try:
        report = run_benchmark(config, _given(given), tell=lambda line: click.echo(line, err=True))
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{report.to_table()}\n\n{bars_table(report)}")
    if json_file is not None:
        json_file.write_text(report.to_json(list(verdicts(report))) + "\n", encoding="utf-8")
    if strict and not all(verdict.holds for verdict in verdicts(report)):
        sys.exit(1)


class _StopSignals:
    """Takes SIGINT and SIGTERM while it is entered: the first is noted, the second ends the process at once."""

    def __init__(self) -> None:
        # Putting into this queue is safe inside a signal handler; setting an event is not.
        self._received: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_stopping = False
        self._restoring = ExitStack()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._restoring.callback(signal.signal, number, signal.signal(number, self._note))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restoring.close()

    def came(self, *, within_s: float) -> bool:
        """Wait for the first signal."""
        try:
            self._received.get(timeout=within_s)
        except queue.Empty:
            return False
        return True

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._is_stopping:
            # No clean-up: the native engine may be in the middle of a long step.
            os._exit(128 + number)
        self._is_stopping = True
        self._received.put(number)


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


def _configure(flags: dict[str, Any]) -> EmulatorConfig:
    try:
        config = EmulatorConfig.from_environment(os.environ, **flags)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("phi_emulator").setLevel(config.logging_level)
    logging.getLogger("asyncio").addFilter(_is_news)
    return config


def _is_news(record: logging.LogRecord) -> bool:
    """False for what asyncio says when several chunks are on their way to a caller who has just hung up."""
    return record.msg != "socket.send() raised exception."


def _start(emulator: Emulator) -> Emulator:
    try:
        return emulator.start()
    except EmulatorError as error:
        raise click.ClickException(str(error)) from error


def _banner(emulator: Emulator) -> str:
    info = emulator.info
    lines = [
        f"phi-emulator listens on {emulator.root}",
        f"  model     {info.model}" + (f": {emulator.description}" if emulator.description else ""),
        f"  from      {info.source}",
        f"  runs on   {info.execution_provider} ({info.why}), {info.batching} batching",
        f"  context   {info.context_length} tokens",
        *(f"  {line}" for line in _sizes(info)),
        *(f"  note      {note}" for note in info.notes),
        *([f"  extended  {_EXTENDED}"] if emulator.config.extensions else []),
        "Point a client at it:",
        *(f"  {line}" for line in _exports(emulator)),
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)


def _sizes(info: EngineInfo) -> list[str]:
    """How many share the model, how fast, and in how much memory, as far as that is known."""
    lines: list[str] = []
    if info.rates:
        speeds = ", ".join(f"{rate:.3g} with {size}" for size, rate in sorted(info.rates.items()))
        lines.append(
            f"shared by {info.max_running} at once; tokens a second of all together when measured: {speeds}"
        )
    if info.cache_bytes and info.weights_bytes > _WORTH_SAYING:
        lines.append(f"memory    {memory_phrase(info.weights_bytes, info.cache_bytes)} (--cache-mb)")
    return lines


def _exports(emulator: Emulator) -> list[str]:
    if emulator.endpoint == EMULATOR_ENDPOINT and emulator.key == EMULATOR_KEY:
        return [
            f"export PHI_ENDPOINT={EMULATOR_ALIAS}    # {EMULATOR_ENDPOINT} with PHI_API_KEY={EMULATOR_KEY}"
        ]
    # A key of the user's own is a secret, and this text ends up in logs.
    key = EMULATOR_KEY if emulator.key == EMULATOR_KEY else "<the key you chose>"
    return [f"export PHI_ENDPOINT={emulator.endpoint}", f"export PHI_API_KEY={key}"]
