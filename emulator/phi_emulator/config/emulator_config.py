"""The settings of one emulator, checked, and what is made of them. It must not know command lines or servers."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.loopback import is_loopback
from phi_emulator.config.table import SETTINGS, SettingsTable
from phi_emulator.documents import DocumentError
from phi_emulator.faults.rules import Rule as FaultRule
from phi_emulator.latency.profile import Profile
from phi_emulator.scripts.rules import Script
from phi_emulator.service.behaviour import Behaviour, spoken_surfaces
from phi_emulator.service.content_filter import Rule
from phi_emulator.settings.setting import environment_name
from phi_emulator.settings.sources import ConfigError, Sources
from phi_emulator.settings.values import NOTHING, SCRIPTED

__all__ = ["EmulatorConfig", "read_sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorConfig(SettingsTable):
    """How an emulator is set up: the settings of `SettingsTable`, each by its name.

    Raises:
        ConfigError: a value can't work.
    """

    rules: tuple[Rule, ...] = field(init=False, repr=False)
    """What `content_filter` names, read once."""
    fault_rules: tuple[FaultRule, ...] = field(init=False, repr=False)
    """What `faults` names, read once."""
    latency_profile: Profile | None = field(init=False, repr=False)
    """What `latency` names, read once."""

    def __post_init__(self) -> None:
        for one in SETTINGS.values():
            with _about(one.name):
                # Frozen for everyone else.
                object.__setattr__(self, one.name, one.read(getattr(self, one.name)))
                if one.loaded:
                    object.__setattr__(self, one.loaded, one.kind.load(getattr(self, one.name)))
        if self.script is not None and not self.has_model and self.model != f"{SCRIPTED}{NOTHING}":
            raise ConfigError(
                f"the model is a script already: leave one of the two out, or write `{SCRIPTED}{NOTHING}`",
                "script",
            )
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
        behaviour = Behaviour(
            dialects=spoken_surfaces(
                image=self.image,
                reasoning=self.reasoning,
                help_text=self.help_text,
                extensions=self.extensions,
            ),
            faults=self.fault_rules,
            latency=self.latency_profile,
        )
        for one in SETTINGS.values():
            if one.part is not None:
                behaviour = one.part.put(behaviour, getattr(self, one.loaded or one.name))
        return behaviour

    @property
    def has_model(self) -> bool:
        """Whether a model answers; else only a script does."""
        return not (self.model or "").startswith(SCRIPTED)

    @property
    def script_source(self) -> str | Script | None:
        """The file of the script, if there is one, or what stands in its place, or the script itself."""
        if self.script is None and not self.has_model:
            return (self.model or "").removeprefix(SCRIPTED)
        # A table was read.
        return self.script if isinstance(self.script, str | Script) else None

    @property
    def logging_level(self) -> int:
        """`log_level` as the logging module counts it."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


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
