"""The settings of an emulator: defaults, then the environment, then what was asked for by name.

It must not know command lines or servers; each option of `phi-emulator` is a field here.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

from phi_client.contract.dialects import DIALECTS, SERVERLESS
from phi_client.contract.emulator import EMULATOR_HOST, EMULATOR_KEY, EMULATOR_PORT
from phi_client.contract.loopback import is_loopback
from phi_client.contract.service import MANAGED_COMPUTE_OLDER, SURFACES, Surface
from phi_client.contract.tokens import is_token
from phi_emulator.engine.machine.devices import AUTO, DEVICES
from phi_emulator.faults.rules import Rule as FaultRule
from phi_emulator.latency.profile import Profile
from phi_emulator.service.behaviour import Behaviour
from phi_emulator.service.content_filter import DEFAULT_RULES, ContentFilter, Rule, RulesError, read_rules
from phi_emulator.service.entra import DEFAULT_TENANT
from phi_emulator.service.rate_limits import Limits

__all__ = [
    "DEVICE_NAMES",
    "IMAGES",
    "LOG_LEVELS",
    "READERS",
    "REASONING",
    "ConfigError",
    "EmulatorConfig",
    "environment_name",
    "read_surface_keys",
    "yes_or_no",
]

_MAX_PORT: Final = 65_535
_LEAST_CACHE_MB: Final = 64
_CACHE_BITS: Final = (8, 32)
_MOST_RUNNING: Final = 64
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
_SCRIPTED: Final = "scripted:"
_YES: Final = ("yes", "y", "true", "on", "1")
_NO: Final = ("no", "n", "false", "off", "0")
DEVICE_NAMES: Final = (AUTO, *DEVICES)
IMAGES: Final = ("newer", "older")
REASONING: Final = ("content", "reasoning_content")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class ConfigError(ValueError):
    """A setting can't work; the message says which and what to write instead."""


def environment_name(field_name: str) -> str:
    """The environment variable of a field."""
    return f"PHI_EMULATOR_{field_name.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorConfig:
    """How an emulator is set up.

    Raises:
        ConfigError: a value can't work.
    """

    host: str = EMULATOR_HOST
    """Address to listen on. One that other machines can reach requires a `key` of your own."""
    port: int = EMULATOR_PORT
    """0 takes a free port."""
    key: str = field(default=EMULATOR_KEY, repr=False)
    """What callers must present. The default is public."""
    surface_keys: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, tuple[str, ...]], repr=False
    )
    """Keys of single surfaces, by the name of the dialect, in the place of `key`."""
    tenant: str = DEFAULT_TENANT
    """The Entra tenant whose tokens are taken."""
    token_seconds: int = 3600
    """How long the tokens that the emulator issues are good for."""
    model: str | None = None
    """Name or folder of the model, or `scripted:FILE`; `None` is the bundled one, whatever else is on the machine."""
    script: str | None = None
    """TOML or JSON file of answers that are given before the model is asked."""
    home: str | None = None
    """Folder of the pulled models; `None` is the user's data folder."""
    device: str = AUTO
    """The execution provider that runs the model: `auto`, `cpu`, `cuda`, `directml`, …; decided by trying."""
    dialect: str = SERVERLESS.name
    """What the root speaks; every dialect is also served under its own path."""
    queue_size: int = 64
    """Requests that may wait; further ones are answered with 429."""
    queue_seconds: float | None = None
    """How long a request may wait before it is answered with 429; `None` is no limit."""
    deterministic: bool = False
    """One request at a time, each from nothing: the same seed and prompt give the same text whatever runs beside."""
    context: int | None = None
    """Tokens of prompt and answer together; `None` leaves it to the model."""
    max_running: int | None = None
    """Requests that share the model's steps; `None` takes as many as were measured to be worthwhile on this machine."""
    threads: int | None = None
    """Threads that compute a step on the CPU; `None` is one for each core that the process may use."""
    cache_mb: int = 4096
    """Megabytes (2**20 bytes) that the cache of a prepared model may take; a longer context is lowered to what fits."""
    cache_bits: int | None = None
    """Bits of a number in the cache of a prepared model, 8 or 32; `None` takes 8 in large models."""
    max_output_tokens: int | None = None
    """The longest answer in tokens, as a hosted service may cap it; `None` is what the context holds."""
    image: str = "newer"
    """The container behind managed compute: `newer` or `older`; they differ in routes, defaults and `/score`."""
    reasoning: Literal["content", "reasoning_content"] | None = None
    """Where the reasoning goes: into `content` as `<think>`, or a field of its own; `None` is as the surface does."""
    requests_per_minute: int | None = None
    """Requests that a deployment takes in any 60 seconds before 429; `None` is no limit."""
    tokens_per_minute: int | None = None
    """Tokens, prompt and budget together, that a deployment takes in any 60 seconds before 429."""
    max_concurrent: int | None = None
    """Requests that a deployment works on at once before 429; managed compute: 2 * its concurrency * its instances."""
    content_filter: str = "off"
    """`off`, `default` (made-up words such as `phi-filter-violence`), or a JSON file of words."""
    rules: tuple[Rule, ...] = field(init=False, repr=False)
    """What `content_filter` names, read once."""
    faults: str | None = None
    """TOML or JSON file of faults, rules under `faults`; `None` is a service without any."""
    fault_rules: tuple[FaultRule, ...] = field(init=False, repr=False)
    """What `faults` names, read once."""
    latency: str | None = None
    """How fast answers come: a preset, a TOML or JSON file, or `first=800ms, rate=40/s`; `None` is as the model."""
    latency_profile: Profile | None = field(init=False, repr=False)
    """What `latency` names, read once."""
    deployments: tuple[str, ...] = ()
    """Names of deployments, as `model` on Foundry's surfaces, in a header on managed compute; empty takes any."""
    help_text: bool = False
    """Append the front door's help text to the model's errors, which makes them no JSON, as Azure was seen to do."""
    extensions: bool = False
    """Take what the hosted model has not: answers in a form (`response_format`) and tools."""
    loose: bool = False
    """Take any `api-version`; else those that the surface takes."""
    request_timeout_ms: int | None = None
    """How long an answer may take before 408, or before its stream is broken off; `None` is no limit."""
    drain_seconds: float = 10.0
    """How long running requests may go on once the emulator is asked to stop."""
    max_body_bytes: int = 4 * 1024 * 1024
    """The largest body that is read: several times the text that fills the real model's context."""
    log_level: str = "info"
    """Least severe level that is logged."""

    def __post_init__(self) -> None:
        _require(bool(self.host), "host", self.host, "give an address, such as 127.0.0.1")
        _require(0 <= self.port <= _MAX_PORT, "port", self.port, f"give 0 to {_MAX_PORT}")
        _check_key("key", self.key)
        for name, keys in self.surface_keys.items():
            _require(name in DIALECTS, "surface_keys", name, f"give one of {', '.join(DIALECTS)}")
            for key in keys:
                _check_key("surface_keys", key)
        has_tenant = _TENANT.fullmatch(self.tenant) is not None
        _require(has_tenant, "tenant", self.tenant, "give a GUID or a domain")
        _require(self.token_seconds > 0, "token_seconds", self.token_seconds, "give a number of seconds")
        _require(self.dialect in DIALECTS, "dialect", self.dialect, f"give one of {', '.join(DIALECTS)}")
        devices = f"give one of {', '.join(DEVICE_NAMES)}"
        _require(self.device in DEVICE_NAMES, "device", self.device, devices)
        _require(self.queue_size >= 0, "queue_size", self.queue_size, "give 0 or more")
        _require(
            self.cache_mb >= _LEAST_CACHE_MB, "cache_mb", self.cache_mb, f"give {_LEAST_CACHE_MB} or more"
        )
        wait = self.queue_seconds
        _require(wait is None or wait > 0, "queue_seconds", wait, "give a number of seconds above 0")
        _require(self.image in IMAGES, "image", self.image, f"give one of {', '.join(IMAGES)}")
        places = f"give one of {', '.join(REASONING)}"
        _require(self.reasoning in (None, *REASONING), "reasoning", self.reasoning, places)
        _require(
            self.model != _SCRIPTED,
            "model",
            self.model,
            "name the script's file, as in scripted:answers.toml",
        )
        both = self.script if not self.has_model else None
        _require(both is None, "script", both, "the model is a script already: leave one of the two out")
        for name in (
            "requests_per_minute",
            "tokens_per_minute",
            "max_concurrent",
            "max_output_tokens",
            "threads",
        ):
            count = getattr(self, name)
            _require(count is None or count > 0, name, count, "give a number above 0, or leave it out")
        object.__setattr__(self, "rules", _rules(self.content_filter))  # frozen for everyone else
        object.__setattr__(self, "fault_rules", _fault_rules(self.faults))
        object.__setattr__(self, "latency_profile", _latency_profile(self.latency))
        running = self.max_running
        fits = running is None or 0 < running <= _MOST_RUNNING
        _require(fits, "max_running", running, f"give 1 to {_MOST_RUNNING}, or leave it out")
        bits = self.cache_bits
        _require(bits in (None, *_CACHE_BITS), "cache_bits", bits, "give 8 or 32, or leave it out")
        limit = self.request_timeout_ms
        _require(limit is None or limit > 0, "request_timeout_ms", limit, "give a number of milliseconds")
        _require(self.context is None or self.context > 0, "context", self.context, "give a number of tokens")
        _require(0 <= self.drain_seconds < math.inf, "drain_seconds", self.drain_seconds, "give 0 or more")
        _require(self.max_body_bytes > 0, "max_body_bytes", self.max_body_bytes, "give a number of bytes")
        _require(
            self.log_level in LOG_LEVELS, "log_level", self.log_level, f"give one of {', '.join(LOG_LEVELS)}"
        )
        taken = {self.key}.union(*self.surface_keys.values())
        if not is_loopback(self.host) and EMULATOR_KEY in taken:
            raise ConfigError(
                f"`host` {self.host!r} can be reached from other machines, and the well-known key is public: "
                f"give a key of your own with `--key` or `{environment_name('key')}`"
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **given: Any) -> Self:
        """Defaults, over them `PHI_EMULATOR_…` from `environ`, over them what is `given` and not `None`.

        Raises:
            ConfigError: a value can't work.
        """
        values: dict[str, Any] = {}
        for setting in fields(cls):
            if not setting.init:
                continue
            name = environment_name(setting.name)
            text = environ.get(name)
            if text:
                values[setting.name] = _read(name, text, READERS.get(setting.name, str))
        values |= {name: value for name, value in given.items() if value is not None}
        return cls(**values)

    def key_of(self, dialect: str) -> str:
        """A key that opens the surface of `dialect`."""
        return next(iter(self.surface_keys.get(dialect, ())), self.key)

    @property
    def behaviour(self) -> Behaviour:
        """What of this may be changed while the emulator runs."""
        return Behaviour(
            dialects=self._dialects,
            limits=Limits(
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
                max_concurrent=self.max_concurrent,
            ),
            content_filter=ContentFilter(self.rules),
            deployments=self.deployments,
            max_output_tokens=self.max_output_tokens,
            answer_seconds=None if self.request_timeout_ms is None else self.request_timeout_ms / 1000,
            loose=self.loose,
            faults=self.fault_rules,
            latency=self.latency_profile,
        )

    @property
    def _dialects(self) -> Mapping[str, Surface]:
        """The dialects as this emulator speaks them."""
        spoken = dict(SURFACES)
        if self.image == "older":
            spoken[MANAGED_COMPUTE_OLDER.name] = MANAGED_COMPUTE_OLDER
        return {name: self._spoken(dialect) for name, dialect in spoken.items()}

    def _spoken(self, dialect: Surface) -> Surface:
        has_help_text = dialect.has_help_text or self.help_text
        dialect = replace(dialect, has_help_text=has_help_text, has_extensions=self.extensions)
        if self.reasoning is None:
            return dialect
        # In one place, whatever the api-version.
        known = dialect.versions
        fixed = None if known is None else replace(known, with_reasoning_field=())
        return replace(dialect, reasoning_in=self.reasoning, versions=fixed)

    @property
    def has_model(self) -> bool:
        """Whether a model answers; else only a script does."""
        return not (self.model or "").startswith(_SCRIPTED)

    @property
    def script_name(self) -> str | None:
        """The file of the script, if there is one, or what stands in its place."""
        return self.script if self.has_model else (self.model or "").removeprefix(_SCRIPTED)

    @property
    def logging_level(self) -> int:
        """`log_level` as the logging module counts it."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


def read_surface_keys(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The keys in words such as `serverless=KEY`; a surface may be named several times.

    Raises:
        ConfigError: a word has no such form. It is not repeated, because it may be a key.
    """
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, separator, key = word.partition("=")
        if not separator or name not in DIALECTS:
            surfaces = ", ".join(DIALECTS)
            raise ConfigError(f"`surface_keys` takes words such as `serverless=KEY`; surfaces are {surfaces}")
        found[name] = (*found.get(name, ()), key)
    return found


def _rules(content_filter: str) -> tuple[Rule, ...]:
    if content_filter in ("off", "default"):
        return DEFAULT_RULES if content_filter == "default" else ()
    try:
        return read_rules(Path(content_filter))
    except RulesError as error:
        raise ConfigError(f"`content_filter` must be off, default or a file of rules: {error}") from error


def _fault_rules(path: str | None) -> tuple[FaultRule, ...]:
    if path is None:
        return ()
    from phi_emulator.faults.reading import read_file  # noqa: PLC0415 - most emulators have none

    try:
        return read_file(Path(path))
    except ValueError as error:
        raise ConfigError(f"`faults` can't be used: {error}") from error


def _latency_profile(named: str | None) -> Profile | None:
    if named is None:
        return None
    from phi_emulator.latency.reading import read_setting  # noqa: PLC0415 - most emulators have none

    try:
        return read_setting(named)
    except ValueError as error:
        raise ConfigError(f"`latency` can't be used: {error}") from error


def yes_or_no(text: str) -> bool:
    """True for yes, false for no, and what else is said for them."""
    word = text.strip().lower()
    if word not in (*_YES, *_NO):
        raise ValueError(text)
    return word in _YES


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas or spaces."""
    return tuple(text.replace(",", " ").split())


READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "extensions": yes_or_no,
    "loose": yes_or_no,
    "deterministic": yes_or_no,
    "help_text": yes_or_no,
    "deployments": names,
    "surface_keys": lambda text: read_surface_keys(text.split()),
    "token_seconds": int,
    "request_timeout_ms": int,
    "requests_per_minute": int,
    "tokens_per_minute": int,
    "max_output_tokens": int,
    "max_concurrent": int,
    "port": int,
    "queue_size": int,
    "queue_seconds": float,
    "context": int,
    "cache_mb": int,
    "cache_bits": int,
    "max_running": int,
    "threads": int,
    "drain_seconds": float,
    "max_body_bytes": int,
}
"""How the text of a field is read, in the environment and on the command line; a field without one is text."""


def _read(name: str, text: str, reader: Callable[[str], object]) -> object:
    try:
        return reader(text)
    except ConfigError:
        raise
    except ValueError:
        kind = "yes or no" if reader is yes_or_no else "a number"
        raise ConfigError(f"`{name}` {text!r} is not {kind}") from None


def _check_key(name: str, key: str) -> None:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"`{name}` must be printable ASCII without spaces, because it travels in a header")
    if is_token(key):
        raise ConfigError(f"`{name}` has the form of a signed token, and would be taken for one")


def _require(holds: bool, name: str, value: object, remedy: str) -> None:  # noqa: FBT001 - it is a condition
    if not holds:
        raise ConfigError(f"`{name}` {value!r} can't be used: {remedy}")
