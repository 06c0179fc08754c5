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
    """Cuts a text before the stop string that is complete first; of several, before the longest.

    So the cut is where it would be letter by letter, whatever the pieces. A piece takes time with its own length and
    not with that of the stop strings.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._seekers = [_Seeker(stop) for stop in dict.fromkeys(stops) if stop]
        self._held = ""
        self.stopped = False
        self.matched = ""
        """The stop string that ended the text."""

    def feed(self, text: str) -> str:
        """Take the next piece; return what may be shown now."""
        if self.stopped:
            return ""
        if not self._seekers:
            return text
        found = [
            (end, -len(seeker.stop), seeker.stop) for seeker in self._seekers if (end := seeker.feed(text))
        ]
        all_of_it = self._held + text
        if found:
            end, _, self.matched = min(found)
            self.stopped, cut = True, len(self._held) + end - len(self.matched)
            self._held = ""
            return all_of_it[:cut]
        cut = len(all_of_it) - max(seeker.begun for seeker in self._seekers)
        self._held = all_of_it[cut:]
        return all_of_it[:cut]

    def flush(self) -> str:
        """The text ended without a stop string: return what was held back."""
        shown, self._held = self._held, ""
        return shown


class _Seeker:
    """Looks for one string in a text that comes in pieces, and never looks at a letter twice (Knuth, Morris, Pratt)."""

    __slots__ = ("_borders", "begun", "stop")

    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.begun = 0
        """How long an end of the text begins the string."""
        # The longest proper end of the string's first n letters that begins it, for each n that was come to.
        self._borders = [0, 0]

    def feed(self, text: str) -> int:
        """Where in `text` the string is complete for the first time; 0 if it isn't."""
        place, stop = 0, self.stop
        while place < len(text):
            if not self.begun:
                place = text.find(stop[0], place)
                if place < 0:
                    return 0
            while self.begun and text[place] != stop[self.begun]:
                self.begun = self._borders[self.begun]
            if text[place] == stop[self.begun]:
                self._advance()
                if self.begun == len(stop):
                    return place + 1
            place += 1
        return 0

    def _advance(self) -> None:
        self.begun += 1
        if self.begun == len(self._borders):
            border, letter = self._borders[-1], self.stop[self.begun - 1]
            while border and self.stop[border] != letter:
                border = self._borders[border]
            self._borders.append(border + (self.stop[border] == letter))
