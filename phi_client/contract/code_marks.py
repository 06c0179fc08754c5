"""What of a text is code, as Markdown marks it, as far as a quoted mark of reasoning has to be told from a real one.

It must not know what is done with the text. It is given to it in pieces, and looked at only once somebody asks.

    fence    lines from one that begins with three or more of ` or ~ to one that is nothing else
    inline   between two backticks in a line
"""

from typing import Final

__all__ = ["CodeMarks"]

_MOST_LINE: Final = 200
"""Of what is kept of a line: enough to tell a fence, and whether anything stands before a mark."""


class CodeMarks:
    """Follows a text. A pair of marks that was opened in code is closed in it: in the same fence, or the same line."""

    __slots__ = ("_fence", "_fences", "_last", "_line", "_pending", "_quotes", "_ticks")

    def __init__(self) -> None:
        self._pending: list[str] = []
        self._line = self._last = ""
        self._ticks = 0
        self._fence = ""
        self._fences = 0
        self._quotes = ""

    def feed(self, text: str) -> None:
        """Take the next piece. Costs next to nothing until something is asked."""
        self._pending.append(text)

    @property
    def begins_line(self) -> bool:
        """Whether nothing but blanks stands before this place in its line."""
        self._look()
        return not self._line.strip()

    @property
    def after_opening_tick(self) -> bool:
        """Whether the last character is a backtick that opens a quotation in its line, and closes none."""
        self._look()
        return self._last == "`" and self._ticks % 2 == 1

    @property
    def fence(self) -> int:
        """The number of the fence in which this place is, from 1; 0 where it is in none."""
        self._look()
        return self._fences if self._fence else 0

    def open_pair(self) -> None:
        """A mark is quoted here; the one that closes it is quoted too."""
        self._quotes = "fence" if self.fence else "line"

    def close_pair(self) -> bool:
        """Whether a quoted mark is still open here, which is closed by this."""
        self._look()
        was_open, self._quotes = bool(self._quotes), ""
        return was_open

    def _look(self) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        self._last = text[-1:] or self._last
        first, *others = text.split("\n")
        self._line = (self._line + first)[:_MOST_LINE]
        self._ticks += first.count("`")
        for line in others:
            self._end_line()
            self._line, self._ticks = line[:_MOST_LINE], line.count("`")

    def _end_line(self) -> None:
        line = self._line.strip()
        if self._quotes == "line":
            self._quotes = ""
        if self._fence:
            if line.startswith(self._fence) and not line.strip(self._fence[0]):
                self._fence = self._quotes = ""
        elif line.startswith(("```", "~~~")):
            run = line[: len(line) - len(line.lstrip(line[0]))]
            self._fence = "" if line[0] in line[len(run) :] else run
            self._fences += bool(self._fence)
