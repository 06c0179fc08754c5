"""Stop strings over text that arrives in pieces, as a pure machine.

Knows text only. Text that could still become a stop string is held back, so a partial one is never shown:

    feed("ab"), stop "bcd"    shows "a"   holds "b"
    feed("ce")                shows "bce" holds ""
    feed("bcdx")              shows ""    stopped: the stop string and what follows are dropped
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["StopStrings", "TextMachine"]


class TextMachine(Protocol):
    """What a text goes through piece by piece, and what may end it."""

    @property
    def stopped(self) -> bool:
        """Whether the text has ended here; nothing more is shown."""
        ...

    def feed(self, text: str) -> str:
        """Take the next piece; return what may be shown now."""
        ...

    def flush(self) -> str:
        """There is no more: return what was held back."""
        ...


class StopStrings:
    """Cuts a text before the first stop string that appears in it."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max(map(len, self._stops), default=0)
        self._starts = frozenset(stop[:length] for stop in self._stops for length in range(1, len(stop)))
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Take the next piece; return what may be shown now."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = self._possible_start()
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def flush(self) -> str:
        """The text ended without a stop string: return what was held back."""
        shown, self._held = self._held, ""
        return shown

    def _possible_start(self) -> int:
        """Length of the longest end of the held text that begins some stop string."""
        for length in range(min(self._longest - 1, len(self._held)), 0, -1):
            if self._held[-length:] in self._starts:
                return length
        return 0
