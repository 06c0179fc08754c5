"""From a model folder and a device's name to the engine that runs it.

Knows which engine fits which build of ONNX Runtime GenAI; imports an engine only when it is to be made.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from phi_emulator.engine.base import Engine
from phi_emulator.engine.builds import conflicts, has_engine_api, installed_builds
from phi_emulator.engine.devices import AUTO, Device, on_a_device
from phi_emulator.engine.load_errors import load_error

__all__ = ["load_engine"]

logger = logging.getLogger("phi_emulator.engine")


def load_engine(
    folder: Path,
    *,
    model: str,
    context_length: int | None = None,
    device: str = AUTO,
    profile: Path | None = None,
) -> Engine:
    """Load a GenAI model folder on a device, decided by trying. Belongs to the thread that will run the engine.

    With `profile`, ONNX Runtime writes there what ran where; it costs time.

    Raises:
        DeviceError: the device that was asked for can't be had.
        ModelLoadError: the folder can't be loaded.
    """
    try:
        settings = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise load_error(folder, error) from error
    for conflict in conflicts(installed_builds()):
        logger.warning("%s", conflict)
    make = _engine_class()

    def load(device: Device, why: str) -> Engine:
        return make(
            folder, model=model, context_length=context_length, device=device, why=why, profile=profile
        )

    return on_a_device(device, settings, load)


def _engine_class() -> Callable[..., Engine]:
    if has_engine_api():
        from phi_emulator.engine.ort import OrtEngine  # noqa: PLC0415 - older builds can't import it

        return OrtEngine
    from phi_emulator.engine.ort_generator import OrtGeneratorEngine  # noqa: PLC0415 - as above

    return OrtGeneratorEngine
