"""How often a broken engine is loaded again, and what is said of why it broke: as a supervisor does with a process.

Knows seconds and exceptions; must not load anything.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from typing import Final

from phi_emulator.engine.errors import EngineError

__all__ = ["MOST_RESTARTS", "WINDOW_S", "Restarts", "trouble_of"]

MOST_RESTARTS: Final = 3
"""In a window; what breaks more often is left broken, for somebody to look at."""
WINDOW_S: Final = 600.0


class Restarts:
    """Counts attempts to load again. `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._recent: deque[float] = deque()
        self.total = 0
        """Attempts so far."""

    def may_try(self) -> bool:
        """Whether one more is within bounds; it is counted then."""
        now = self._clock()
        while self._recent and self._recent[0] <= now - WINDOW_S:
            self._recent.popleft()
        if len(self._recent) >= MOST_RESTARTS:
            return False
        self._recent.append(now)
        self.total += 1
        return True


def trouble_of(error: BaseException) -> str:
    """What broke, in a line without a request's text: of other than our own errors only the kind and the place."""
    if isinstance(error, EngineError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{place}"
