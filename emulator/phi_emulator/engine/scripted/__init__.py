"""An engine that answers what a function or a file says, in the place of a model. Must not be taken for one."""

from phi_emulator.engine.scripted.engine import ScriptedEngine
from phi_emulator.engine.scripted.script import Script, ScriptError, read_script

__all__ = ["Script", "ScriptError", "ScriptedEngine", "read_script"]
