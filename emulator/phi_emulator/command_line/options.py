"""The options of `phi-emulator`, each a field of `EmulatorConfig`, in the groups in which the help shows them.

It must not know what the commands do with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click

from phi_client.contract.service import SURFACES
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
    yes_or_no,
)
from phi_emulator.models.printable import printable

__all__ = ["GroupedCommand", "exec_options", "serve_options", "switch"]

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS: Final = EmulatorConfig()
_MODEL, _WHERE, _SURFACES, _LIMITS, _SPEED, _LOG = (
    "The model", "Address and keys", "What the surfaces do", "Limits and waiting", "Speed and memory", "Log and stop",
)  # fmt: skip
_OTHERS: Final = "Others"


class _Option(click.Option):
    """An option that knows its group."""

    def __init__(self, *args: Any, group: str = _OTHERS, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, in the order in which they come."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(option, "group", _OTHERS), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _read_switch(word: str) -> bool:
    try:
        return yes_or_no(word)
    except ValueError:
        raise click.BadParameter(
            f"{printable(word, 40)!r} is not yes or no (before a command put `--`)"
        ) from None


def switch(field: str, text: str, group: str = _OTHERS) -> Callable[[F], F]:
    """A switch, in the one form that all commands take: `--NAME` alone is yes, and `--NAME yes` or `no` decides."""
    return click.option(
        f"--{field.replace('_', '-')}",
        field,
        cls=_Option,
        group=group,
        type=_read_switch,
        metavar="[YES|NO]",
        default=None,
        is_flag=False,
        flag_value="yes",
        help=f"{text} [env {environment_name(field)}; default no]",
    )


def _option(
    field: str,
    text: str,
    metavar: str | None = None,
    *,
    group: str,
    choices: Sequence[str] = (),
    instead: str | None = None,
) -> Callable[[F], F]:
    """The option of a field; without it the environment decides, then the field's default.

    `instead` is said of its default where a command has one of its own, which the environment does not change.
    """
    default = getattr(_DEFAULTS, field)
    notes = [f"env {environment_name(field)}"]
    if default not in (None, ()) and field != "key":
        notes.append(f"default {default}")
    if instead is not None:
        notes = [f"default {instead}, whatever {environment_name(field)} says"]
    return click.option(
        f"--{field.replace('_', '-')}",
        field,
        cls=_Option,
        group=group,
        type=click.Choice(choices) if choices else READERS.get(field, str),
        metavar=metavar,
        default=None,
        help=f"{text} [{'; '.join(notes)}]",
    )


def _surface_keys(
    _context: click.Context, _option: click.Parameter, words: tuple[str, ...]
) -> Mapping[str, tuple[str, ...]] | None:
    try:
        return read_surface_keys(words) or None
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


_SURFACE_KEYS: Final = click.option(
    "--surface-key",
    "surface_keys",
    cls=_Option,
    group=_WHERE,
    multiple=True,
    metavar="NAME=KEY",
    callback=_surface_keys,
    help=f"Key of one surface, in the place of --key; may be repeated. [env {environment_name('surface_keys')}]",
)


def _settings(*, without_model: str, port: str | None, log_level: str | None) -> list[Callable[[F], F]]:
    """The options that `serve` and `exec` share; what they default to differs."""
    return [
        _option(
            "model",
            f"A known model's name, a GenAI model folder, or scripted:FILE; {without_model}.",
            "NAME|PATH|scripted:FILE",
            group=_MODEL,
        ),
        _option(
            "script",
            "TOML or JSON file of answers that are given before the model is asked.",
            "FILE",
            group=_MODEL,
        ),
        _option(
            "home", "Folder of the pulled models; without it the user's data folder.", "FOLDER", group=_MODEL
        ),
        _option("context", "Tokens of prompt and answer together.", "TOKENS", group=_MODEL),
        _option(
            "device",
            "Execution provider of the model, decided by trying.",
            choices=DEVICE_NAMES,
            group=_MODEL,
        ),
        switch("deterministic", "One request at a time: seeds repeat whatever else is asked.", _MODEL),
        _option("port", "Port to listen on; 0 takes a free one.", "PORT", group=_WHERE, instead=port),
        _option("key", "Key that callers must present; without it the well-known one.", "KEY", group=_WHERE),
        _SURFACE_KEYS,
        _option("tenant", "Entra tenant whose tokens are taken.", "GUID|DOMAIN", group=_WHERE),
        _option("token_seconds", "How long tokens that it issues are good for.", "SECONDS", group=_WHERE),
        _option("dialect", "What the root speaks.", choices=list(SURFACES), group=_SURFACES),
        _option("image", "The container behind managed compute.", choices=IMAGES, group=_SURFACES),
        _option(
            "reasoning",
            "Where the reasoning goes; without it as the surface does.",
            choices=REASONING,
            group=_SURFACES,
        ),
        _option("deployments", "Names of deployments; without it any.", "NAME,NAME", group=_SURFACES),
        _option(
            "content_filter",
            "off, default, or a JSON file of words that block or annotate.",
            "FILE",
            group=_SURFACES,
        ),
        _option("faults", "What goes wrong with answers: a TOML or JSON file.", "FILE", group=_SURFACES),
        _option(
            "latency",
            "How fast answers come: a preset of `phi-emulator latency`, a TOML or JSON file, or a line such as "
            '"first=800ms, rate=40/s, jitter=0.2".',
            "PRESET|FILE|LINE",
            group=_SURFACES,
        ),
        switch("help_text", "Append the front door's help text to the model's errors.", _SURFACES),
        switch("extensions", "Take what the hosted model has not: response_format and tools.", _SURFACES),
        switch("loose", "Take any api-version.", _SURFACES),
        _option(
            "requests_per_minute", "Requests a minute of a deployment before 429.", "COUNT", group=_LIMITS
        ),
        _option("tokens_per_minute", "Tokens a minute of a deployment before 429.", "COUNT", group=_LIMITS),
        _option("max_concurrent", "Requests at once of a deployment before 429.", "COUNT", group=_LIMITS),
        _option(
            "max_output_tokens", "Longest answer, as a hosted service may cap it.", "TOKENS", group=_LIMITS
        ),
        _option("queue_size", "Requests that may wait before others get 429.", "COUNT", group=_LIMITS),
        _option("queue_seconds", "How long a request may wait before it gets 429.", "SECONDS", group=_LIMITS),
        _option(
            "request_timeout_ms",
            "How long an answer may take before 408, or its stream's end.",
            "MS",
            group=_LIMITS,
        ),
        _option("max_body_bytes", "Largest request body.", "BYTES", group=_LIMITS),
        _option(
            "max_running", "Requests that share the model's steps; else measured once.", "COUNT", group=_SPEED
        ),
        _option(
            "threads", "Threads that compute a step; else one for each usable core.", "COUNT", group=_SPEED
        ),
        _option("cache_mb", "Memory that the cache of a prepared model may take.", "MEGABYTES", group=_SPEED),
        _option(
            "cache_bits", "Bits of a number in that cache; else 8 in large models.", "8|32", group=_SPEED
        ),
        _option(
            "log_level",
            "Least severe level that is logged.",
            choices=LOG_LEVELS,
            group=_LOG,
            instead=log_level,
        ),
    ]


def serve_options(command: F) -> F:
    """The options of `serve`."""
    return _decorated(
        command,
        [
            *_settings(
                without_model="without it the pulled Phi-4-mini-reasoning if it is here, else the bundled model",
                port=None,
                log_level=None,
            ),
            _option(
                "host", "Address to listen on; one that others reach needs a --key.", "ADDRESS", group=_WHERE
            ),
            _option("drain_seconds", "How long requests may go on after Ctrl-C.", "SECONDS", group=_LOG),
        ],
    )


def exec_options(command: F) -> F:
    """The options of `exec`, which has an emulator of its own."""
    return _decorated(
        command,
        _settings(without_model="without it the bundled model", port="a free one", log_level="warning"),
    )


def _decorated(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command
