"""Answers that are known before: an engine that says what a function says, and any engine that recites."""

from phi_emulator.engine.scripted.engine import ScriptedEngine
from phi_emulator.engine.scripted.reciting import Reciting

__all__ = ["Reciting", "ScriptedEngine"]
