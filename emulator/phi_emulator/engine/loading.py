"""From a model folder and a device's name to the engine that runs it.

Knows which engine fits which build of ONNX Runtime GenAI; imports an engine only when it is to be made.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.builds import conflicts, has_engine_api, installed_builds
from phi_emulator.engine.machine.calibration import Calibrations, calibrate
from phi_emulator.engine.machine.devices import AUTO, CPU, Device, on_a_device
from phi_emulator.engine.native.load_errors import check_name, load_error
from phi_emulator.engine.protocol import Engine
from phi_emulator.models.graph.prepare import PreparedModel, prepare_model

__all__ = ["load_engine"]

T = TypeVar("T", bound=Engine)

logger = logging.getLogger("phi_emulator.engine")


def load_engine(
    folder: Path,
    *,
    model: str,
    context_length: int | None = None,
    device: str = AUTO,
    profile: Path | None = None,
    cache_bytes: int | None = None,
    cache_bits: int | None = None,
    deterministic: bool = False,
    max_running: int | None = None,
    threads: int | None = None,
    calibrations: Path | None = None,
) -> Engine:
    """Load a GenAI model folder on a device, decided by trying. Belongs to the thread that will run the engine.

    For the CPU a stock folder is prepared for GenAI's Engine first, if that can be done: `cache_bytes` is what its
    cache may take, `cache_bits` what a number in it takes (see `prepare_model`). A `deterministic` engine answers one
    request at a time. With `profile`, ONNX Runtime writes there what ran where; it costs time. `max_running` and
    `threads` are as in `OrtEngine`; without `max_running`, and with a folder for `calibrations`, how many run side by
    side is measured once, and kept there.

    Raises:
        DeviceError: the device that was asked for can't be had.
        ModelLoadError: the folder can't be loaded.
    """
    check_name(folder)
    try:
        settings = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise load_error(folder, error) from error
    for conflict in conflicts(installed_builds()):
        logger.warning("%s", conflict)

    def load(device: Device, why: str) -> Engine:
        given: dict[str, Any] = {
            "model": model, "context_length": context_length, "device": device, "why": why, "profile": profile,
        }  # fmt: skip
        if not has_engine_api():
            from phi_emulator.engine.native.ort_generator import OrtGeneratorEngine  # noqa: PLC0415 - where it is needed

            return OrtGeneratorEngine(folder, **given)
        from phi_emulator.engine.native.ort import OrtEngine  # noqa: PLC0415 - older builds can't import it

        def make(where: Path, **origin: Any) -> OrtEngine:
            sizes: dict[str, Any] = {"max_running": max_running, "threads": threads}
            return OrtEngine(where, deterministic=deterministic, **sizes, **given, **origin)

        if device != CPU:
            return make(folder)
        sizes = {} if cache_bytes is None else {"cache_bytes": cache_bytes}
        ready = prepare_model(folder, context_length=context_length, cache_bits=cache_bits, **sizes)
        engine = _load_prepared(folder, ready, make)
        if calibrations is not None and max_running is None and engine.info.batching == "continuous":
            calibrate(engine, Calibrations(calibrations))
        return engine

    return on_a_device(device, settings, load)


def _load_prepared(folder: Path, ready: PreparedModel, make: Callable[..., T]) -> T:
    """The engine on a prepared graph; on the stock one where there is none, or it can't be loaded."""
    try:
        return make(ready.folder, source=folder, obstacle=ready.obstacle, cache_bits=ready.cache_bits)
    except ModelLoadError:
        if ready.folder == folder:
            raise
        logger.warning("the prepared graph of %s can't be loaded", folder, exc_info=True)
        return make(folder, obstacle="its prepared graph can't be loaded")
