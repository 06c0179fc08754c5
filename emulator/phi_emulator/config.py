"""The settings of an emulator: defaults, then the environment, then what was asked for by name.

It must not know command lines or servers; each option of `phi-emulator` is a field here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, Self

from phi_client.contract.dialects import DIALECTS, SERVERLESS
from phi_client.contract.emulator import EMULATOR_HOST, EMULATOR_KEY, EMULATOR_PORT
from phi_emulator.service.content_filter import DEFAULT_RULES, Rule, RulesError, read_rules
from phi_emulator.web.guard import is_loopback

__all__ = ["IMAGES", "LOG_LEVELS", "ConfigError", "EmulatorConfig", "environment_name"]

_MAX_PORT: Final = 65_535
IMAGES: Final = ("newer", "older")
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
    model: str | None = None
    """Name or folder of the model; `None` is the bundled one, whatever else is on the machine."""
    home: str | None = None
    """Folder of the pulled models; `None` is the user's data folder."""
    dialect: str = SERVERLESS.name
    """What the root speaks; every dialect is also served under its own path."""
    queue_size: int = 64
    """Requests that may wait; further ones are answered with 429."""
    context: int | None = None
    """Tokens of prompt and answer together; `None` leaves it to the model."""
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
    """`off`, `default` (made-up words such as `phi-filter-violence`), or a JSON file of words; refuses prompts only."""
    deployments: tuple[str, ...] = ()
    """Names that Foundry's surfaces know as `model`; empty takes any."""
    help_text: bool = False
    """Append the front door's help text to the model's errors, which makes them no JSON, as Azure was seen to do."""
    loose: bool = False
    """Take any `api-version`; else those that the surface takes."""
    request_timeout_ms: int | None = None
    """How long a whole answer may take before 408, as managed compute's setting; `None` is no limit."""
    drain_seconds: float = 10.0
    """How long running requests may go on once the emulator is asked to stop."""
    max_body_bytes: int = 4 * 1024 * 1024
    """The largest body that is read: several times the text that fills the real model's context."""
    log_level: str = "info"
    """Least severe level that is logged."""

    def __post_init__(self) -> None:
        _require(bool(self.host), "host", self.host, "give an address, such as 127.0.0.1")
        _require(0 <= self.port <= _MAX_PORT, "port", self.port, f"give 0 to {_MAX_PORT}")
        if not self.key or not self.key.isascii() or not self.key.isprintable() or " " in self.key:
            raise ConfigError("`key` must be printable ASCII without spaces, because it travels in a header")
        _require(self.dialect in DIALECTS, "dialect", self.dialect, f"give one of {', '.join(DIALECTS)}")
        _require(self.queue_size >= 0, "queue_size", self.queue_size, "give 0 or more")
        _require(self.image in IMAGES, "image", self.image, f"give one of {', '.join(IMAGES)}")
        places = ("content", "reasoning_content")
        _require(
            self.reasoning in (None, *places), "reasoning", self.reasoning, f"give one of {', '.join(places)}"
        )
        for name in ("requests_per_minute", "tokens_per_minute", "max_concurrent"):
            count = getattr(self, name)
            _require(count is None or count > 0, name, count, "give a number above 0, or leave it out")
        _ = self.rules
        limit = self.request_timeout_ms
        _require(limit is None or limit > 0, "request_timeout_ms", limit, "give a number of milliseconds")
        _require(self.context is None or self.context > 0, "context", self.context, "give a number of tokens")
        _require(0 <= self.drain_seconds < math.inf, "drain_seconds", self.drain_seconds, "give 0 or more")
        _require(self.max_body_bytes > 0, "max_body_bytes", self.max_body_bytes, "give a number of bytes")
        _require(
            self.log_level in LOG_LEVELS, "log_level", self.log_level, f"give one of {', '.join(LOG_LEVELS)}"
        )
        if not is_loopback(self.host) and self.key == EMULATOR_KEY:
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
            name = environment_name(setting.name)
            text = environ.get(name)
            if text:
                values[setting.name] = _read(name, text, _READERS.get(setting.name, str))
        values |= {name: value for name, value in given.items() if value is not None}
        return cls(**values)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of `content_filter`.

        Raises:
            ConfigError: its file can't be used.
        """
        if self.content_filter in ("off", "default"):
            return DEFAULT_RULES if self.content_filter == "default" else ()
        try:
            return read_rules(Path(self.content_filter))
        except RulesError as error:
            raise ConfigError(f"`content_filter` must be off, default or a file of rules: {error}") from error

    @property
    def logging_level(self) -> int:
        """`log_level` as the logging module counts it."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


def _truth(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.strip().lower() not in words:
        raise ValueError(text)
    return words[text.strip().lower()]


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "loose": _truth,
    "help_text": _truth,
    "deployments": lambda text: tuple(text.replace(",", " ").split()),
    "request_timeout_ms": int,
    "requests_per_minute": int,
    "tokens_per_minute": int,
    "max_concurrent": int,
    "port": int,
    "queue_size": int,
    "context": int,
    "drain_seconds": float,
    "max_body_bytes": int,
}


def _read(name: str, text: str, reader: Callable[[str], object]) -> object:
    try:
        return reader(text)
    except ValueError:
        kind = "yes or no" if reader is _truth else "a number"
        raise ConfigError(f"`{name}` {text!r} is not {kind}") from None


def _require(holds: bool, name: str, value: object, remedy: str) -> None:  # noqa: FBT001 - it is a condition
    if not holds:
        raise ConfigError(f"`{name}` {value!r} can't be used: {remedy}")
