"""What could keep the emulator, or a client of Azure on this machine, from working, looked at in one go.

It must not know command lines, and must not change anything. Each check gives findings, and none of them keeps the next
from being made. What may end a process (a native library) or is the client's business (an Azure endpoint) runs in a
process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from phi_emulator.config import EmulatorConfig
from phi_emulator.doctor.forecast import REAL_BYTES, Forecast, answer_phrase, rate_phrase
from phi_emulator.doctor.trial import Trial, TrialError, try_model
from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.builds import ENGINES, RUNTIMES, Build, conflicts, installed_builds
from phi_emulator.engine.machine.context import check_use, fitting_tokens
from phi_emulator.engine.machine.devices import AUTO, CPU, DEVICES
from phi_emulator.engine.machine.memory import LOADING, available_bytes, check_memory, needed_bytes
from phi_emulator.engine.machine.processors import usable_processors
from phi_emulator.models import PHI_4_MINI_REASONING, ModelFolder, Store, StoreError, resolve_model
from phi_emulator.models.genai_config import Settings
from phi_emulator.models.graph.geometry import usual_bits

__all__ = ["Doctor", "Finding"]

Status = Literal["ok", "note", "warning", "failure"]

_GB: Final = 1_000_000_000
_AZURE_LIMIT_S: Final = 180.0
_MOSTLY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    status: Status
    subject: str
    text: str
    """What was found, and what to do."""


class Doctor:
    """Looks at everything that `config` would use. What it asks of the machine are its arguments, for tests.

    `pulled_to` is where models are kept. `environ` says which endpoint of Azure is configured.
    """

    def __init__(
        self,
        config: EmulatorConfig,
        environ: Mapping[str, str],
        *,
        pulled_to: Path,
        builds: Callable[[], list[Build]] = installed_builds,
        available: Callable[[], int] = available_bytes,
        free_disk: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        trial: Callable[..., Trial] = try_model,
        speed: Callable[[], float] | None = None,
    ) -> None:
        self._config = config
        self._environ = environ
        self._pulled_to = pulled_to
        self._builds = builds
        self._available = available
        self._free_disk = free_disk
        self._trial = trial
        self._speed = speed
        self._was_measured = False

    def findings(self) -> Iterator[Finding]:
        """Look at one thing after the other; the trial of the model takes seconds to minutes."""
        fewer = usable_processors()
        usable = "" if fewer is None else f", {fewer} of them for this process"
        yield Finding(
            "note",
            "machine",
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors{usable}, "
            f"Python {platform.python_version()}",
        )
        yield from self.packages()
        yield self.disk()
        try:
            found = resolve_model(
                self._config.model if self._config.has_model else None, Store(self._pulled_to)
            )
        except StoreError as error:
            yield Finding("failure", "model", str(error))
        else:
            if not self._config.has_model:
                yield Finding(
                    "note", "model", "a script answers, no model; the bundled one is looked at here"
                )
            where = f"{found.name} in {str(found.folder)!r}"
            if found.is_verified:
                yield Finding("ok", "model", where)
            else:
                yield Finding("note", "model", f"{where}: imported, not verified")
            yield self.memory(found)
            yield from self.device(found)
            self._was_measured = self._was_measured and found.name == PHI_4_MINI_REASONING.name
        if not self._was_measured:  # what was measured need not be forecast
            yield self.forecast()
        yield from self.azure()

    def packages(self) -> Iterator[Finding]:
        """The builds of the native engine, and whether they overwrite each other."""
        builds = self._builds()
        problems = conflicts(builds)
        for problem in problems:
            yield Finding("failure", "packages", problem)
        if not any(build.name in ENGINES for build in builds):
            yield Finding("warning", "packages", "onnxruntime-genai was not installed as a package")
        elif not problems:
            known = [build for build in builds if build.name in (*ENGINES, *RUNTIMES)]
            yield Finding("ok", "packages", ", ".join(map(str, known)))

    def disk(self) -> Finding:
        """Whether Phi-4-mini-reasoning could be stored."""
        where = next(path for path in (self._pulled_to, *self._pulled_to.parents) if path.exists())
        free = self._free_disk(where)
        text = f"{free / _GB:.1f} GB are free in {str(where)!r}"
        if free < REAL_BYTES:
            need = f"Phi-4-mini-reasoning takes {REAL_BYTES / _GB:.1f} GB"
            return Finding("warning", "disk", f"{text}, and {need}: free some before you get it")
        return Finding("ok", "disk", text)

    def memory(self, found: ModelFolder) -> Finding:
        """Whether the model fits."""
        there = self._available()
        try:
            settings = found.settings
            bits = self._config.cache_bits or _prepared_bits(settings)
            weights, a_token = needed_bytes(found.folder, settings, bits)
            asked = self._config.context
            check_memory(found.folder, settings, asked or 1, available=self._available, cache_bits=bits)
            if asked is None and weights > _GB and a_token:
                fits = fitting_tokens(there, weights, a_token)
                check_use(fits, settings["model"]["context_length"], there, weights, a_token)
        except ModelLoadError as error:
            return Finding("failure", "memory", str(error))
        except (OSError, ValueError, LookupError, TypeError) as error:
            return Finding("failure", "memory", f"the model's genai_config.json can't be read: {error}")
        return Finding(
            "ok",
            "memory",
            f"{there / _GB:.1f} GB are there; {found.name} takes about {LOADING * weights / _GB:.2f} GB to load and "
            f"{a_token / 1_000_000:.3f} MB for each token of context",
        )

    def device(self, found: ModelFolder) -> Iterator[Finding]:
        """Let the model say something, and say where that ran."""
        try:
            trial = self._trial(
                found.folder,
                model=found.name,
                device=self._config.device,
                context_length=self._config.context,
            )
        except TrialError as error:
            yield Finding("failure", "device", str(error))
            return
        yield _where_it_ran(trial, self._config.device)
        for note in trial.notes:
            yield Finding("note", "device", note)
        if trial.tokens_a_second:
            self._was_measured = True
            yield Finding(
                "ok",
                "speed",
                f"{found.name}: {rate_phrase(trial.tokens_a_second)} tokens a second alone, so "
                f"{answer_phrase(trial.tokens_a_second)}; first token after {trial.first_token_s:.2f} s "
                f"({trial.prompt_tokens} tokens of prompt), loaded in {trial.load_s:.1f} s",
            )
        else:
            yield Finding("note", "speed", f"{found.name} said too little to measure its speed")

    def forecast(self) -> Finding:
        """How Phi-4-mini-reasoning would run on this processor."""
        expected = Forecast.of(self._speed, self._available)
        subject = "Phi-4-mini-reasoning on this machine's CPU"
        return Finding(
            "note" if expected.fits else "warning",
            "forecast",
            f"{subject}: {expected.speed}, while it is as busy as now; {expected.memory}",
        )

    def azure(self) -> Iterator[Finding]:
        """What the client finds about the endpoint that is configured for it."""
        if not self._environ.get("PHI_ENDPOINT", "").strip():
            yield Finding("note", "azure", "no endpoint is configured (`PHI_ENDPOINT`), so none was asked")
            return
        environ = dict(self._environ) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "phi_client", "--json"],
                capture_output=True,
                env=environ,
                timeout=_AZURE_LIMIT_S,
                check=False,
                encoding="utf-8",
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            yield Finding("failure", "azure", f"the endpoint did not answer within {_AZURE_LIMIT_S:g} s")
            return
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        for line in lines:
            said = json.loads(line)
            yield Finding(said["status"], f"azure {said['subject']}", said["text"])
        if not lines:
            yield Finding(
                "failure", "azure", f"the check ended with status {done.returncode} and said nothing"
            )


def _prepared_bits(settings: Settings) -> int | None:
    """Bits of a number in the cache of the prepared graph that the CPU would run; `None` where none is prepared."""
    decoder = settings["model"]["decoder"]
    if "engine" in settings or decoder.get("session_options", {}).get("provider_options"):
        return None
    return usual_bits(decoder["num_hidden_layers"], decoder["num_key_value_heads"], decoder["head_size"])


def _where_it_ran(trial: Trial, wanted: str) -> Finding:
    """The profile's word against the name that was asked for."""
    ran = ", ".join(f"{share:.0%} on {name}" for name, share in trial.ran.items())
    said = f"{trial.execution_provider} ({trial.why}); by ONNX Runtime's profile the time was spent: {ran or 'nowhere'}"
    if not trial.ran:
        return Finding("warning", "device", said)
    share = trial.ran.get(trial.execution_provider, 0.0)
    if share < _MOSTLY:
        return Finding(
            "failure",
            "device",
            f"{said}. Take a folder that was made for this device; on the CPU ran {', '.join(trial.on_the_cpu[:8])}",
        )
    if wanted not in (AUTO, CPU.name) and trial.execution_provider != DEVICES[wanted].execution_provider:
        return Finding("failure", "device", f"{wanted} was asked for, and it is {said}")
    if trial.execution_provider != CPU.execution_provider and trial.on_the_cpu:
        return Finding("note", "device", f"{said}. On the CPU ran {', '.join(trial.on_the_cpu[:8])}")
    return Finding("ok", "device", said)
