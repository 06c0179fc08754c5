"""Stop strings over text that arrives in pieces, as a pure machine.

Knows text only. Text that could still become a stop string is held back, so a partial one is never shown:

    feed("ab"), stop "bcd"    shows "a"   holds "b"
    feed("ce")                shows "bce" holds ""
    feed("bcdx")              shows ""    stopped: the stop string and what follows are dropped
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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

    So the cut is where it would be letter by letter, whatever the pieces. A piece takes time with its own length, and
    not with the length of the stop strings nor with how many there are.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        # Those that begin alike stand side by side.
        self._stops = sorted({stop for stop in stops if stop})
        self._root = self._begun = _Begun(0, 0, len(self._stops))
        self._held = ""
        self.stopped = False
        self.matched = ""
        """The stop string that ended the text."""

    def feed(self, text: str) -> str:
        """Take the next piece; return what may be shown now."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        all_of_it = self._held + text
        for place, letter in enumerate(text, len(self._held) + 1):
            self._begun = self._after(letter)
            if self._begun.complete:
                self.stopped, self.matched, self._held = True, self._begun.complete, ""
                return all_of_it[: place - len(self.matched)]
        cut = len(all_of_it) - self._begun.length
        self._held = all_of_it[cut:]
        return all_of_it[:cut]

    def flush(self) -> str:
        """The text ended without a stop string: return what was held back."""
        shown, self._held = self._held, ""
        return shown

    def _after(self, letter: str) -> _Begun:
        """What is begun after one more letter: the longest that goes on, or begins, with it."""
        made: list[_Begun] = []
        longest, before = None, self._begun
        while True:
            if letter not in before.longer:
                before.longer[letter] = found = self._longer(before, letter)
                is_new = found is not None
            else:
                found, is_new = before.longer[letter], False
            if found is not None:
                longest = longest or found
                if made:
                    made[-1].shorter = found
                if not is_new:
                    break
                made.append(found)
            if before.shorter is None:
                if made:
                    made[-1].shorter = self._root
                break
            before = before.shorter
        for one in reversed(made):
            if not one.complete and one.shorter is not None:
                one.complete = one.shorter.complete
        return longest or self._root

    def _longer(self, begun: _Begun, letter: str) -> _Begun | None:
        """The same beginning with one more letter, if a stop string has it."""

        def next_letter(stop: str) -> str:
            return stop[begun.length : begun.length + 1]

        first = bisect_left(self._stops, letter, begun.first, begun.end, key=next_letter)
        end = bisect_right(self._stops, letter, first, begun.end, key=next_letter)
        return None if first == end else _Begun(begun.length + 1, first, end, self._stops[first])


class _Begun:
    """A beginning that the stop strings from `first` up to `end` share; made once a text comes to it."""

    __slots__ = ("complete", "end", "first", "length", "longer", "shorter")

    def __init__(self, length: int, first: int, end: int, foremost: str = "") -> None:
        self.length, self.first, self.end = length, first, end
        self.complete = foremost if len(foremost) == length else ""
        """The longest stop string that ends here."""
        self.longer: dict[str, _Begun | None] = {}
        self.shorter: _Begun | None = None
        """The longest beginning that this one ends with; none of nothing."""
