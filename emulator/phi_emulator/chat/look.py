"""How things of a talk look in the columns that there are: thoughts, a result in its frame, a status line.

It must not write to anything. With an encoding that has no lines and roots, it is all ASCII.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wcwidth import wcswidth

from phi_emulator.chat.flow import Flow, wrapped
from phi_emulator.chat.mathematics import read_mathematics
from phi_emulator.models.printable import printable

__all__ = ["Look", "Rows"]

Rows = Sequence[tuple[str, str]]
"""Each a style and one row of text."""

_LONGEST: Final = 100_000


class Look:
    """Draws for a terminal with this encoding."""

    def __init__(self, encoding: str) -> None:
        self.is_ascii = not _has_signs(encoding)
        self.arrow = "> " if self.is_ascii else "▸ "
        self.dot = ", " if self.is_ascii else " · "
        self._gutter = "| " if self.is_ascii else "│ "
        self._frame = "+-+|++" if self.is_ascii else "┌─┐│└┘"

    def flow(self) -> Flow:
        """For a text that comes in pieces."""
        return Flow(is_ascii=self.is_ascii)

    def plain(self, style: str, lines: Sequence[str], columns: int) -> Rows:
        """Lines as rows."""
        return [
            (style, row) for line in lines for row in wrapped(printable(line, _LONGEST), max(columns - 1, 2))
        ]

    def thoughts(self, lines: Sequence[str], columns: int) -> Rows:
        """Lines of thoughts, dimmed and with a line before them."""
        width = columns - 1 - len(self._gutter)
        return [("class:thoughts", self._gutter + row) for line in lines for row in wrapped(line, width)]

    def result(self, boxed: str, columns: int) -> Rows:
        """What a box holds, in a frame of its own."""
        return [("class:box", row) for row in self._framed(boxed, columns - 5)]

    def _framed(self, boxed: str, width: int) -> Iterator[str]:
        # An answer is a formula where it has one in it; `snake_case` is none.
        read = read_mathematics(
            f"\\({boxed}\\)" if "\\" in boxed or "^" in boxed else boxed, is_ascii=self.is_ascii
        )
        rows = [*wrapped(printable(read.removeprefix("\\(").removesuffix("\\)")), width)]
        size = max(_columns(row) for row in rows)
        left, bar, right, side, low_left, low_right = (*self._frame,)
        yield left + bar * (size + 2) + right
        for row in rows:
            yield f"{side} {row}{' ' * (size - _columns(row))} {side}"
        yield low_left + bar * (size + 2) + low_right

    def status(self, parts: Sequence[str], columns: int) -> str:
        """As many of the parts as there is room for, from the first on."""
        line = ""
        for part in map(printable, parts):
            longer = f"{line}{self.dot}{part}" if line else part
            if line and _columns(longer) > columns - 2:
                break
            line = longer
        return f" {line} "


def _columns(text: str) -> int:
    return max(wcswidth(text), 0)


def _has_signs(encoding: str) -> bool:
    try:
        "│▸┌─·…×√²".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
