"""From a model folder and a device's name to the engine that runs it; from a script to the engine that recites it.

Knows which engine fits which build of ONNX Runtime GenAI; imports an engine only when it is to be made.
"""

from __future__ import annotations

import logging
from pathlib import Path

from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.builds import conflicts, has_engine_api, installed_builds
from phi_emulator.engine.machine.calibration import Calibrations, calibrate
from phi_emulator.engine.machine.devices import CPU, Device, on_a_device
from phi_emulator.engine.native.load_errors import load_error
from phi_emulator.engine.options import ModelOptions
from phi_emulator.engine.protocol import Engine
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.models.genai_config import Settings
from phi_emulator.models.graph.prepare import SIDE_BY_SIDE, PreparedModel, prepare_model

__all__ = ["load_engine", "load_scripted"]

logger = logging.getLogger("phi_emulator.engine")


def load_engine(folder: Path, settings: Settings, options: ModelOptions) -> Engine:
    """Load a GenAI model folder on a device, decided by trying. Belongs to the thread that will run the engine.

    `settings` is what the folder says of itself. For the CPU a stock folder is prepared for GenAI's Engine first, if
    that can be done (see `prepare_model`).

    Raises:
        DeviceError: the device that was asked for can't be had.
        ModelLoadError: the folder can't be loaded.
    """
    for conflict in conflicts(installed_builds()):
        logger.warning("%s", conflict)

    def load(device: Device, why: str) -> Engine:
        if not has_engine_api():
            from phi_emulator.engine.native.ort_generator import OrtGeneratorEngine  # noqa: PLC0415 - where it is needed

            return OrtGeneratorEngine(folder, settings, options, device=device, why=why)
        from phi_emulator.engine.native.ort import OrtEngine  # noqa: PLC0415 - older builds can't import it

        if device != CPU:
            return OrtEngine(PreparedModel.unprepared(folder, settings), options, device=device, why=why)
        ready = prepare_model(
            folder,
            settings,
            context_length=options.context_length,
            cache_bytes=options.cache_bytes,
            cache_bits=options.cache_bits,
        )
        try:
            engine = OrtEngine(ready, options, why=why)
        except ModelLoadError:
            if ready.folder == folder:
                raise
            logger.warning("the prepared graph of %s can't be loaded", folder, exc_info=True)
            stock = PreparedModel.unprepared(folder, settings, "its prepared graph can't be loaded")
            engine = OrtEngine(stock, options, why=why)
        kept = options.calibrations
        if kept is not None and options.max_running is None and engine.info.batching == "continuous":
            calibrate(engine, Calibrations(kept))
        return engine

    return on_a_device(options.device, settings, load)


def load_scripted(folder: Path, settings: Settings, options: ModelOptions, *, source: str) -> Engine:
    """An engine that recites alone, with the tokens of the model in `folder`, which is not loaded.

    As much context is served as `options` ask for; without a wish as much as the model has. `source` is where its
    answers are from.

    Raises:
        ModelLoadError: the model's tokens can't be had.
    """
    if not has_engine_api():
        raise ModelLoadError(
            "a script needs the tokenizer of a current onnxruntime-genai: `pip install -U onnxruntime-genai`"
        )
    from phi_emulator.engine.native.ort_tokenizer import load_text  # noqa: PLC0415 - as above

    context = options.context_length or settings["model"]["context_length"]
    try:
        text = load_text(folder, settings, context=context)
    except (RuntimeError, OSError, ValueError, LookupError, TypeError) as error:
        raise load_error(folder, error) from error
    return ScriptedEngine(
        lambda _: "",  # who has nothing to recite is not asked
        encode=text.encoder,
        pieces=text.pieces,
        context_length=context,
        max_running=options.max_running or SIDE_BY_SIDE,
        marks=text.encoder.marks,
        source=source,
        why="no model",
    )
