"""The settings of an emulator, as one table: what each may be, and how it is told.

It must not know command lines, servers or where a value came from. A field is a setting; its option, its variable in
the environment, its key in `phi-emulator.toml`, its place in the schema and its line in the reference are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from phi_client.contract.dialects import DIALECTS, SERVERLESS
from phi_client.contract.emulator import EMULATOR_HOST, EMULATOR_KEY, EMULATOR_PORT
from phi_emulator.engine.machine.devices import AUTO, DEVICES
from phi_emulator.scripts.rules import Script
from phi_emulator.service.entra import DEFAULT_TENANT
from phi_emulator.settings.kinds import Choice, FilePath, Number, Switch, Text, Texts, Whole
from phi_emulator.settings.parts import content_filter as content_filter_part
from phi_emulator.settings.parts import limit, milliseconds_of, part_of
from phi_emulator.settings.setting import Group, Setting, setting, settings_of
from phi_emulator.settings.values import (
    EndpointUrl,
    FaultRules,
    FilterRules,
    Key,
    LatencyProfile,
    ModelName,
    ScriptRules,
    SurfaceKeys,
)

__all__ = ["SETTINGS", "SettingsTable"]

_SERVE: Final = ("serve",)
"""About an emulator that is a process of its own."""
_ALL: Final = ("serve", "exec", "record", "replay")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsTable:
    """All settings. One of which nothing more is to be said than its text has no further words."""

    host: str = setting(
        EMULATOR_HOST,
        Text("an address, such as 127.0.0.1", r"\S+", "ADDRESS"),
        "Address to listen on; one that others reach needs a --key.",
        Group.WHERE,
        commands=_SERVE,
    )
    """Address to listen on. One that other machines can reach requires a `key` of your own."""
    port: int = setting(
        EMULATOR_PORT,
        Whole(0, 65_535, "PORT"),
        "Port to listen on; 0 takes a free one.",
        Group.WHERE,
        commands=_ALL,
    )
    key: str = setting(
        EMULATOR_KEY,
        Key(),
        "Key that callers must present.",
        Group.WHERE,
        without="the well-known one",
        commands=_ALL,
    )
    surface_keys: Mapping[str, tuple[str, ...]] = setting(
        {},
        SurfaceKeys(),
        "Key of one surface, in the place of --key; may be repeated.",
        Group.WHERE,
        flag="--surface-key",
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
    script: str | Mapping[str, Any] | Script | None = setting(  # noqa: RUF009 - a field, as the others
        None,
        ScriptRules(),
        "TOML or JSON file of answers that are given before the model is asked, or `traces`.",
        Group.MODEL,
        without="none",
    )
    """Answers that are given before the model is asked: a TOML or JSON file, which is followed while the emulator runs,
    what such a file holds, `traces` or `nothing`. Beside `model = "scripted:nothing"` no model is loaded."""
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
    dialect: str = setting(
        SERVERLESS.name,
        Choice((*DIALECTS,)),
        "What the root speaks.",
        Group.SURFACES,
        commands=("serve", "exec", "replay"),
    )
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
        (),
        Texts(),
        "Names of deployments.",
        Group.SURFACES,
        without="any",
        part=part_of("deployments"),
    )
    """Names of deployments, as `model` on Foundry's surfaces, in a header on managed compute; empty takes any."""
    content_filter: str | Mapping[str, Mapping[str, str]] = setting(
        "off",
        FilterRules(),
        "off, default, or a file of words that block or annotate.",
        Group.SURFACES,
        part=content_filter_part(),
        loaded="rules",
    )
    """`off`, `default` (made-up words such as `phi-filter-violence`), a file of words, or what such a file has."""
    faults: str | Sequence[Mapping[str, Any]] | None = setting(
        None,
        FaultRules(),
        "What goes wrong with answers: a TOML or JSON file.",
        Group.SURFACES,
        without="nothing",
        loaded="fault_rules",
    )
    """TOML or JSON file of faults, rules under `faults`, or these rules; `None` is a service without any."""
    latency: str | Mapping[str, Any] | None = setting(
        None,
        LatencyProfile(),
        "How fast answers come: a preset of `phi-emulator latency`, a TOML or JSON file, or a line such as "
        '"first=800ms, rate=40/s, jitter=0.2".',
        Group.SURFACES,
        without="as the model",
        loaded="latency_profile",
    )
    """How fast answers come: a preset, a TOML or JSON file, `first=800ms, rate=40/s`, or that as a table."""
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
    loose: bool = setting(
        default=False,
        kind=Switch(),
        text="Take any api-version.",
        group=Group.SURFACES,
        part=part_of("loose"),
    )
    """Take any `api-version`; else those that the surface takes."""
    journal_size: int = setting(
        1000, Whole(0, 100_000), "Exchanges of a scope in the journal; 0 is none.", Group.SURFACES
    )
    """Exchanges of each scope that the journal keeps; 0 keeps none."""
    journal_texts: bool = setting(
        default=False,
        kind=Switch(),
        text="Keep texts in the journal.",
        group=Group.SURFACES,
        part=part_of("keeps_texts"),
    )
    """Keep in the journal what was asked and answered; without it heads, figures and times."""
    requests_per_minute: int | None = setting(
        None,
        Whole(1),
        "Requests a minute of a deployment before 429.",
        Group.LIMITS,
        without="no limit",
        part=limit("requests_per_minute"),
    )
    tokens_per_minute: int | None = setting(
        None,
        Whole(1),
        "Tokens a minute of a deployment before 429.",
        Group.LIMITS,
        without="no limit",
        part=limit("tokens_per_minute"),
    )
    """Tokens, prompt and budget together, that a deployment takes in any 60 seconds before 429."""
    max_concurrent: int | None = setting(
        None,
        Whole(1),
        "Requests at once of a deployment before 429.",
        Group.LIMITS,
        without="no limit",
        part=limit("max_concurrent"),
    )
    """Requests that a deployment works on at once before 429; managed compute: 2 * its concurrency * its instances."""
    max_output_tokens: int | None = setting(
        None,
        Whole(1, metavar="TOKENS"),
        "Longest answer, as a hosted service may cap it.",
        Group.LIMITS,
        without="what the context holds",
        part=part_of("max_output_tokens"),
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
        part=milliseconds_of("answer_seconds"),
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
        None,
        Whole(1),
        "Threads that compute a step.",
        Group.SPEED,
        without="one for each usable core, and one alone for a model of a few megabytes",
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
        10.0, Number(), "How long requests may go on after Ctrl-C.", Group.LOG, commands=_SERVE
    )
    otel: bool | None = setting(
        None,
        Switch(),
        "Send spans to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names.",
        Group.LOG,
        without="yes where that is set",
    )
    """Spans of the commands; an `Emulator` in Python has `tracer_provider`."""
    log_level: str = setting(
        "info",
        Choice(("debug", "info", "warning", "error")),
        "Least severe level that is logged.",
        Group.LOG,
    )
    record_to: str | None = setting(
        None,
        EndpointUrl(),
        "The endpoint to forward to, as a client takes it.",
        Group.RECORDINGS,
        commands=("record",),
        flag="--to",
    )
    """The endpoint to which `record` forwards what is asked, as a client takes it. Its key is no setting."""
    record_dialect: str | None = setting(
        None,
        Choice((*DIALECTS,)),
        "What it speaks.",
        Group.RECORDINGS,
        without="as its URL says",
        commands=("record",),
        flag="--dialect",
    )
    record_entra: bool = setting(
        default=False,
        kind=Switch(),
        text="Ask it with your Entra ID sign-in, in the place of the key in PHI_API_KEY.",
        group=Group.RECORDINGS,
        commands=("record",),
        flag="--entra",
    )
    """Ask the endpoint of `record` with your Entra ID sign-in, in the place of the key in `PHI_API_KEY`."""
    replay_speed: float = setting(
        1.0,
        Number(metavar="N"),
        "How much faster than it was recorded; 0 waits for nothing.",
        Group.RECORDINGS,
        commands=("replay",),
        flag="--speed",
    )
    replay_after_last: Literal["repeat", "fail"] = setting(
        "repeat",
        Choice(("repeat", "fail")),
        "What a request gets that is made more often than it was recorded: the last answer again, or an error.",
        Group.RECORDINGS,
        commands=("replay",),
        flag="--after-last",
    )


SETTINGS: Final[Mapping[str, Setting]] = settings_of(SettingsTable)
"""All settings by name: fields, keys of a file, options, and variables of the environment are made of these."""
