"""Grammars that wait to be checked on the thread that owns the engine.

Knows futures; knows neither threads nor locks: the worker guards it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from phi_emulator.engine.base import Engine, EngineError

__all__ = ["Check", "Checks", "run_checks"]

Check = tuple[str, Future[None]]


class Checks:
    """What waits, in the order in which it came."""

    def __init__(self) -> None:
        self._waiting: list[Check] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, grammar: str) -> Future[None]:
        """Have a grammar checked; the future has the error if it can't be followed."""
        checked: Future[None] = Future()
        self._waiting.append((grammar, checked))
        return checked

    def take(self) -> Sequence[Check]:
        """All that waits, which waits no longer."""
        taken, self._waiting = self._waiting, []
        return taken

    def fail(self, error: EngineError) -> None:
        """Refuse all that waits."""
        for _, checked in self.take():
            if checked.set_running_or_notify_cancel():
                checked.set_exception(error)


def run_checks(engine: Engine, checks: Sequence[Check]) -> None:
    """Check each on the engine; on the engine's thread."""
    for grammar, checked in checks:
        if not checked.set_running_or_notify_cancel():
            continue  # whoever asked has left
        try:
            engine.check_guidance(grammar)
        except Exception as error:  # noqa: BLE001 - it is for whoever asked
            checked.set_exception(error)
        else:
            checked.set_result(None)
