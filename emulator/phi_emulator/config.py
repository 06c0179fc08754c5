"""The settings of an emulator, as one table: what each may be, and how it is told.

It must not know command lines or servers. A field is a setting; its option, its variable in the environment, its key in
`phi-emulator.toml`, its place in the schema and its line in the reference are made of it.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from phi_client.contract.dialects import DIALECTS, SERVERLESS
from phi_client.contract.emulator import EMULATOR_HOST, EMULATOR_KEY, EMULATOR_PORT
from phi_client.contract.loopback import is_loopback
from phi_emulator.documents import DocumentError
from phi_emulator.engine.machine.devices import AUTO, DEVICES
from phi_emulator.faults.rules import Rule as FaultRule
from phi_emulator.latency.profile import Profile
from phi_emulator.service.behaviour import Behaviour, spoken_surfaces
from phi_emulator.service.content_filter import ContentFilter, Rule
from phi_emulator.service.entra import DEFAULT_TENANT
from phi_emulator.service.rate_limits import Limits
from phi_emulator.settings.kinds import Choice, FilePath, Number, Switch, Text, Texts, Whole
from phi_emulator.settings.setting import Group, Setting, environment_name, setting, settings_of
from phi_emulator.settings.sources import ConfigError, Sources
from phi_emulator.settings.values import (
    SCRIPTED,
    FaultRules,
    FilterRules,
    Key,
    LatencyProfile,
    ModelName,
    ScriptName,
    SurfaceKeys,
)

__all__ = ["SETTINGS", "ConfigError", "EmulatorConfig", "read_sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorConfig:
    """How an emulator is set up. A setting of which nothing more is to be said than its text has no further words.

    Raises:
        ConfigError: a value can't work.
    """

    host: str = setting(
        EMULATOR_HOST,
        Text("an address, such as 127.0.0.1", r"\S+", "ADDRESS"),
        "Address to listen on; one that others reach needs a --key.",
        Group.WHERE,
        is_of_process=True,
    )
    """Address to listen on. One that other machines can reach requires a `key` of your own."""
    port: int = setting(
        EMULATOR_PORT, Whole(0, 65_535, "PORT"), "Port to listen on; 0 takes a free one.", Group.WHERE
    )
    key: str = setting(
        EMULATOR_KEY, Key(), "Key that callers must present.", Group.WHERE, without="the well-known one"
    )
    surface_keys: Mapping[str, tuple[str, ...]] = setting(
        {}, SurfaceKeys(), "Key of one surface, in the place of --key; may be repeated.", Group.WHERE
    )
    """Keys of single surfaces, by the name of the dialect, in the place of `key`."""
    tenant: str = setting(
        DEFAULT_TENANT,
        Text("a GUID or a domain", r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}", "GUID|DOMAIN"),
        "Entra tenant whose tokens are taken.",
        Group.WHERE,
    )
    token_seconds: int = setting(
        3600, Whole(1, metavar="SECONDS"), "How long tokens that it issues are good for.", Group.WHERE
    )
    model: str | None = setting(
        None,
        ModelName(metavar="NAME|PATH|scripted:FILE"),
        "A known model's name, a GenAI model folder, or scripted:FILE.",
        Group.MODEL,
        without="the bundled model",
    )
    """Name or folder of the model, or `scripted:FILE`; `None` is the bundled one, whatever else is on the machine."""
    script: str | None = setting(
        None,
        ScriptName(),
        "TOML or JSON file of answers that are given before the model is asked, or `traces`.",
        Group.MODEL,
        without="none",
    )
    """TOML or JSON file of answers that are given before the model is asked, `traces` or `nothing`."""
    home: str | None = setting(
        None,
        FilePath("FOLDER"),
        "Folder of the pulled models.",
        Group.MODEL,
        without="the user's data folder",
    )
    device: str = setting(
        AUTO, Choice((AUTO, *DEVICES)), "Execution provider of the model, decided by trying.", Group.MODEL
    )
    context: int | None = setting(
        None,
        Whole(1, metavar="TOKENS"),
        "Tokens of prompt and answer together.",
        Group.MODEL,
        without="the model's own",
    )
    deterministic: bool = setting(
        default=False,
        kind=Switch(),
        text="One request at a time: seeds repeat whatever else is asked.",
        group=Group.MODEL,
    )
    """One request at a time, each from nothing: the same seed and prompt give the same text whatever runs beside."""
    dialect: str = setting(SERVERLESS.name, Choice((*DIALECTS,)), "What the root speaks.", Group.SURFACES)
    """What the root speaks; every dialect is also served under its own path."""
    image: str = setting(
        "newer", Choice(("newer", "older")), "The container behind managed compute.", Group.SURFACES
    )
    reasoning: Literal["content", "reasoning_content"] | None = setting(
        None,
        Choice(("content", "reasoning_content")),
        "Where the reasoning goes.",
        Group.SURFACES,
        without="as the surface does",
    )
    """Where the reasoning goes: into `content` as `<think>`, or a field of its own; `None` is as the surface does."""
    deployments: tuple[str, ...] = setting(
        (), Texts(), "Names of deployments.", Group.SURFACES, without="any"
    )
    """Names of deployments, as `model` on Foundry's surfaces, in a header on managed compute; empty takes any."""
    content_filter: str | Mapping[str, Mapping[str, str]] = setting(
        "off",
        FilterRules(),
        "off, default, or a file of words that block or annotate.",
        Group.SURFACES,
    )
    """`off`, `default` (made-up words such as `phi-filter-violence`), a file of words, or what such a file has."""
    rules: tuple[Rule, ...] = field(init=False, repr=False)
    """What `content_filter` names, read once."""
    faults: str | Sequence[Mapping[str, Any]] | None = setting(
        None,
        FaultRules(),
        "What goes wrong with answers: a TOML or JSON file.",
        Group.SURFACES,
        without="nothing",
    )
    """TOML or JSON file of faults, rules under `faults`, or these rules; `None` is a service without any."""
    fault_rules: tuple[FaultRule, ...] = field(init=False, repr=False)
    """What `faults` names, read once."""
    latency: str | Mapping[str, Any] | None = setting(
        None,
        LatencyProfile(),
        "How fast answers come: a preset of `phi-emulator latency`, a TOML or JSON file, or a line such as "
        '"first=800ms, rate=40/s, jitter=0.2".',
        Group.SURFACES,
        without="as the model",
    )
    """How fast answers come: a preset, a TOML or JSON file, `first=800ms, rate=40/s`, or that as a table."""
    latency_profile: Profile | None = field(init=False, repr=False)
    """What `latency` names, read once."""
    help_text: bool = setting(
        default=False,
        kind=Switch(),
        text="Append the front door's help text to the model's errors.",
        group=Group.SURFACES,
    )
    """Append the front door's help text to the model's errors, which makes them no JSON, as Azure was seen to do."""
    extensions: bool = setting(
        default=False,
        kind=Switch(),
        text="Take what the hosted model has not: response_format and tools.",
        group=Group.SURFACES,
    )
    loose: bool = setting(default=False, kind=Switch(), text="Take any api-version.", group=Group.SURFACES)
    """Take any `api-version`; else those that the surface takes."""
    journal_size: int = setting(
        1000, Whole(0, 100_000), "Exchanges of a scope in the journal; 0 is none.", Group.SURFACES
    )
    """Exchanges of each scope that the journal keeps; 0 keeps none."""
    journal_texts: bool = setting(
        default=False, kind=Switch(), text="Keep texts in the journal.", group=Group.SURFACES
    )
    """Keep in the journal what was asked and answered; without it heads, figures and times."""
    requests_per_minute: int | None = setting(
        None, Whole(1), "Requests a minute of a deployment before 429.", Group.LIMITS, without="no limit"
    )
    tokens_per_minute: int | None = setting(
        None, Whole(1), "Tokens a minute of a deployment before 429.", Group.LIMITS, without="no limit"
    )
    """Tokens, prompt and budget together, that a deployment takes in any 60 seconds before 429."""
    max_concurrent: int | None = setting(
        None, Whole(1), "Requests at once of a deployment before 429.", Group.LIMITS, without="no limit"
    )
    """Requests that a deployment works on at once before 429; managed compute: 2 * its concurrency * its instances."""
    max_output_tokens: int | None = setting(
        None,
        Whole(1, metavar="TOKENS"),
        "Longest answer, as a hosted service may cap it.",
        Group.LIMITS,
        without="what the context holds",
    )
    queue_size: int = setting(64, Whole(0), "Requests that may wait before others get 429.", Group.LIMITS)
    queue_seconds: float | None = setting(
        None,
        Number(is_above=True),
        "How long a request may wait before it gets 429.",
        Group.LIMITS,
        without="no limit",
    )
    request_timeout_ms: int | None = setting(
        None,
        Whole(1, metavar="MS"),
        "How long an answer may take before 408, or its stream's end.",
        Group.LIMITS,
        without="no limit",
    )
    max_body_bytes: int = setting(
        4 * 1024 * 1024, Whole(1, metavar="BYTES"), "Largest request body.", Group.LIMITS
    )
    """The largest body that is read: several times the text that fills the real model's context."""
    virtual_time: bool = setting(
        default=False, kind=Switch(), text="Let time pass only by POST /_emulator/clock.", group=Group.LIMITS
    )
    """Whether time passes only when `POST /_emulator/clock` lets it: for tests whose client is another program."""
    max_running: int | None = setting(
        None,
        Whole(1, 64),
        "Requests that share the model's steps.",
        Group.SPEED,
        without="as many as were measured to be worthwhile",
    )
    """Requests that share the model's steps; `None` takes as many as were measured to be worthwhile on this machine."""
    threads: int | None = setting(
        None, Whole(1), "Threads that compute a step.", Group.SPEED, without="one for each usable core"
    )
    cache_mb: int = setting(
        4096,
        Whole(64, metavar="MEGABYTES"),
        "Memory that the cache of a prepared model may take.",
        Group.SPEED,
    )
    """Megabytes (2**20 bytes) that the cache of a prepared model may take; a longer context is lowered to what fits."""
    cache_bits: int | None = setting(
        None,
        Whole(8, 32, metavar="8|32", only=(8, 32)),
        "Bits of a number in that cache.",
        Group.SPEED,
        without="8 in large models",
    )
    """Bits of a number in the cache of a prepared model, 8 or 32; `None` takes 8 in large models."""
    drain_seconds: float = setting(
        10.0, Number(), "How long requests may go on after Ctrl-C.", Group.LOG, is_of_process=True
    )
    otel: bool | None = setting(
        None,
        Switch(),
        "Send spans to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names.",
        Group.LOG,
        without="yes where that is set",
        is_of_process=False,
    )
    """Spans of the commands; an `Emulator` in Python has `tracer_provider`."""
    log_level: str = setting(
        "info",
        Choice(("debug", "info", "warning", "error")),
        "Least severe level that is logged.",
        Group.LOG,
    )

    def __post_init__(self) -> None:
        for one in SETTINGS.values():
            with _about(one.name):
                # Frozen for everyone else.
                object.__setattr__(self, one.name, one.read(getattr(self, one.name)))
        for loaded, name in (
            ("rules", "content_filter"),
            ("fault_rules", "faults"),
            ("latency_profile", "latency"),
        ):
            with _about(name):
                object.__setattr__(self, loaded, SETTINGS[name].kind.load(getattr(self, name)))
        if self.script is not None and not self.has_model:
            raise ConfigError("the model is a script already: leave one of the two out", "script")
        taken = {self.key}.union(*self.surface_keys.values())
        if not is_loopback(self.host) and EMULATOR_KEY in taken:
            raise ConfigError(
                f"{self.host!r} can be reached from other machines, and the well-known key is public: "
                f"give a key of your own with `--key` or `{environment_name('key')}`",
                "host",
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **given: Any) -> Self:
        """Defaults, over them `PHI_EMULATOR_…` from `environ`, over them what is `given` and not `None`.

        Raises:
            ConfigError: a value can't work.
        """
        return cls.from_sources(read_sources(environ, None, given))

    @classmethod
    def from_file(cls, file: str | Path, **given: Any) -> Self:
        """Defaults, over them what a `phi-emulator.toml` says, over them what is `given` and not `None`.

        Raises:
            ConfigError: the file can't be read, has an unknown key, or a value can't work; file and line are said.
        """
        return cls.from_sources(read_sources({}, Path(file), given))

    @classmethod
    def from_sources(cls, sources: Sources) -> Self:
        """The settings of several sources; see `read_sources`.

        Raises:
            ConfigError: a value can't work; the message says where it is from.
        """
        try:
            return cls(**sources.values)
        except ConfigError as error:
            raise sources.placed(error) from None

    def key_of(self, dialect: str) -> str:
        """A key that opens the surface of `dialect`."""
        return next(iter(self.surface_keys.get(dialect, ())), self.key)

    @property
    def behaviour(self) -> Behaviour:
        """What of this may be changed while the emulator runs."""
        return Behaviour(
            dialects=spoken_surfaces(**self._named("image", "reasoning", "help_text", "extensions")),
            limits=Limits(**self._named("requests_per_minute", "tokens_per_minute", "max_concurrent")),
            content_filter=ContentFilter(self.rules),
            deployments=self.deployments,
            max_output_tokens=self.max_output_tokens,
            answer_seconds=None if self.request_timeout_ms is None else self.request_timeout_ms / 1000,
            loose=self.loose,
            keeps_texts=self.journal_texts,
            faults=self.fault_rules,
            latency=self.latency_profile,
        )

    def _named(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    @property
    def has_model(self) -> bool:
        """Whether a model answers; else only a script does."""
        return not (self.model or "").startswith(SCRIPTED)

    @property
    def script_name(self) -> str | None:
        """The file of the script, if there is one, or what stands in its place."""
        return self.script if self.has_model else (self.model or "").removeprefix(SCRIPTED)

    @property
    def logging_level(self) -> int:
        """`log_level` as the logging module counts it."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


SETTINGS: Final[Mapping[str, Setting]] = settings_of(EmulatorConfig)
"""All settings by name: fields, keys of a file, options, and variables of the environment are made of these."""


def read_sources(environ: Mapping[str, str], file: Path | None, given: Mapping[str, Any]) -> Sources:
    """What a file, the environment and the command line say: later ones win.

    Raises:
        ConfigError: one of them can't be read, or has a value that can't be; the message says where.
    """
    sources = Sources(SETTINGS)
    try:
        if file is not None:
            sources.add_file(file)
        sources.add_environment(environ)
    except DocumentError as error:
        raise ConfigError(error.reason, *error.path, place=error.place) from None
    sources.add_given(given)
    return sources


@contextmanager
def _about(name: str) -> Generator[None]:
    try:
        yield
    except DocumentError as error:
        # What a file of its own has wrong is said with the place there.
        found = ConfigError(str(error), name) if error.place else ConfigError(error.reason, name, *error.path)
        raise found from error
