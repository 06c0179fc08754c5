"""A local emulator that answers Azure's contract for Phi-4-mini-reasoning from a real int4 model.

It must not import the server or the engine by itself: `phi-emulator` has to say what to install where they are missing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phi_emulator.config import EmulatorConfig
    from phi_emulator.emulator import Emulator, EmulatorError

__all__ = ["Emulator", "EmulatorConfig", "EmulatorError"]

_HOMES = {
    "Emulator": "phi_emulator.emulator",
    "EmulatorConfig": "phi_emulator.config",
    "EmulatorError": "phi_emulator.emulator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - costs nothing until a name is used

    return getattr(import_module(_HOMES[name]), name)
