"""The script of an emulator's settings, read. It must not know who answers by it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from phi_emulator.config.emulator_config import EmulatorConfig
from phi_emulator.scripts.errors import ScriptError
from phi_emulator.scripts.rules import Script
from phi_emulator.settings.values import NOTHING, SCRIPTED, TRACES

if TYPE_CHECKING:
    from phi_emulator.scripts.file import ScriptFile

__all__ = ["open_script"]


def open_script(config: EmulatorConfig) -> tuple[ScriptFile | None, Script | None]:
    """The file of the script that `config` names, to be followed, and what it holds; or the script that it has.

    Raises:
        ScriptError: it can't be read, is no script, or needs a model where none is loaded.
    """
    source = config.script_source
    if source is None or source == NOTHING:
        return None, None
    from phi_emulator.scripts.file import ScriptFile, of_traces  # noqa: PLC0415 - most emulators have none

    if source == TRACES:
        return None, of_traces()
    file = ScriptFile(Path(source).expanduser()) if isinstance(source, str) else None
    script = source if isinstance(source, Script) else file.read() if file is not None else None
    needed_by = script.model_needed_by if script is not None and not config.has_model else None
    if needed_by is not None:
        name = "" if file is None else f"{source}: "
        raise ScriptError(
            f"{name}{needed_by} needs a model, and none is loaded: "
            f"use `--script FILE` in the place of `--model {SCRIPTED}FILE`"
        )
    return file, script
