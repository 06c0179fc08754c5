"""How many sequences a machine runs side by side to any gain, measured on the model itself and kept for the next start.

Knows the engine protocol and a folder for what was measured; knows nothing of queues. On a CPU the weights are read
once for all sequences of a step, so a second one costs little, until the arithmetic takes longer than the reading.
Where that is differs between processors and models.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, Protocol

from phi_emulator.engine.errors import EngineError, EngineFailedError, ModelLoadError
from phi_emulator.engine.machine.processors import usable_processors
from phi_emulator.engine.protocol import Engine, Message, Sampling

__all__ = ["AdjustableEngine", "Calibrations", "calibrate", "machine", "measure_rates", "worthwhile"]

logger = logging.getLogger("phi_emulator.engine")

_SIZES: Final = (1, 4, 8)
FEWEST: Final = 4
"""Never fewer, whatever they gain: one long answer must not hold up all others."""
_GAIN: Final = 1.15
"""How many times the tokens twice the sequences must give: for less, each would be half as fast for nothing."""
_SECONDS: Final = 0.6
_STEPS: Final = 8
_TRIVIAL_S: Final = 0.002
"""A step below this is over before its tokens are sent: the engine is not what limits."""
_NO_END: Final = 64
_SMALLEST: Final = 2 * _NO_END
"""Tokens of context below which nothing is measured: there is no answer whose speed would matter."""


class AdjustableEngine(Engine, Protocol):
    """An engine that can be told to run fewer side by side than it could."""

    def run_at_most(self, sequences: int, rates: Mapping[int, float] | None = None) -> None:
        """Let no more run side by side, because of `rates` that were measured."""
        ...


def calibrate(engine: AdjustableEngine, kept: Calibrations) -> None:
    """Let as many run side by side as are worthwhile here: as was measured before, else as is measured now.

    Raises:
        ModelLoadError: the engine breaks in its first steps.
    """
    info = engine.info
    if info.max_running <= FEWEST or info.context_length < _SMALLEST:
        return
    rates = kept.find(info.fingerprint, info.threads)
    if rates is None:
        began = time.perf_counter()
        try:
            rates = measure_rates(engine)
        except EngineFailedError as error:
            raise ModelLoadError(f"it was loaded, and can't take a step: {error}") from error
        except EngineError as error:
            logger.warning("how many to run side by side can't be measured: %s", error)
            return
        if not rates:
            return
        logger.info("calibrated in %.1f s", time.perf_counter() - began)
        kept.keep(info.fingerprint, info.threads, rates)
    engine.run_at_most(worthwhile(rates, info.max_running), rates)


def measure_rates(engine: Engine, clock: Callable[[], float] = time.perf_counter) -> dict[int, float]:
    """Tokens a second of all together, by how many run; empty where a step takes so little that it doesn't matter.

    Takes two seconds at most, and beyond them two steps for each size. Belongs to the engine's thread.
    """
    group = _Group(engine, clock)
    rates: dict[int, float] = {}
    try:
        for size in _SIZES:
            if size > engine.info.max_running:
                break
            taken = group.seconds_of_steps(size)
            if not taken or (size == 1 and min(taken) < _TRIVIAL_S):
                return {}
            # The best, not the mean: what other programs take from a step says nothing about this one.
            rates[size] = size / min(taken)
    finally:
        group.release()
    return rates


class _Group:
    """Sequences that run side by side for nothing but the time they take."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine, self._clock = engine, clock
        # Of one token, because the arithmetic of longer prompts would have to be waited for.
        self._prompt = engine.encode([Message("user", "1")])[:1]
        self._numbers = count(-1, -1)  # nobody else's
        self._running: set[int] = set()

    def seconds_of_steps(self, size: int) -> list[float]:
        """How long steps take in which each of so many sequences gets a token."""
        while len(self._running) < size:
            self._join()
        self._step()  # takes in those who joined, and whatever a first step costs
        until, taken = self._clock() + _SECONDS, list[float]()
        for _ in range(_STEPS):
            took = self._step()
            taken += [] if took is None else [took]
            if self._clock() >= until:
                break
        return taken

    def release(self) -> None:
        """Free all places."""
        for number in self._running:
            self._engine.release(number)

    def _join(self) -> None:
        number = next(self._numbers)
        self._engine.open(number, self._prompt, Sampling(max_tokens=_NO_END, seed=0))
        self._running.add(number)

    def _step(self) -> float | None:
        """The seconds of a step, if each sequence got a token. One that ended is replaced."""
        began = self._clock()
        steps = list(self._engine.step())
        took = self._clock() - began
        for step in steps:
            if step.end is not None:
                self._engine.release(step.sequence)
                self._running.discard(step.sequence)
                self._join()
        return took if sum(step.token is not None for step in steps) == len(self._running) else None


def worthwhile(rates: Mapping[int, float], most: int) -> int:
    """How many to run side by side, of `most` that the engine can; all of them where nothing was measured."""
    chosen: int | None = None
    for size in sorted(size for size in rates if size >= FEWEST):
        if chosen is None or rates[size] >= rates[chosen] * _GAIN:
            chosen = size
    return most if chosen is None else min(chosen, most)


def machine() -> dict[str, object]:
    """What a measurement holds for, beside the model."""
    name = platform.processor()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line for line in lines if line.startswith("model name"))
    return {
        "processor": name,
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "usable": usable_processors(),
    }


class Calibrations:
    """What was measured on this machine, a file for each model. What can't be read or written is measured anew."""

    def __init__(self, folder: Path, of_machine: Mapping[str, object] | None = None) -> None:
        self._folder = folder
        self._machine = dict(machine() if of_machine is None else of_machine)

    def find(self, fingerprint: str, threads: int | None) -> dict[int, float] | None:
        """The rates of a model, if they were measured here."""
        try:
            kept = json.loads(self._path(fingerprint, threads).read_text(encoding="utf-8"))
            rates = {int(size): float(rate) for size, rate in kept["tokens_a_second"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        return rates if all(size > 0 and rate > 0 for size, rate in rates.items()) else None

    def keep(self, fingerprint: str, threads: int | None, rates: Mapping[int, float]) -> None:
        """Write down what was measured."""
        path = self._path(fingerprint, threads)
        content = {"model": fingerprint, "threads": threads, **self._machine, "tokens_a_second": dict(rates)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
                json.dump(content, file, indent=1)
            Path(file.name).replace(path)
        except OSError as error:
            logger.debug("the calibration can't be kept: %s", error)

    def _path(self, fingerprint: str, threads: int | None) -> Path:
        known = json.dumps([fingerprint, threads, self._machine], sort_keys=True)
        key = hashlib.blake2b(known.encode(), digest_size=8).hexdigest()
        return self._folder / f"{key}.json"
