"""A text that comes in pieces, as lines that a terminal can show: harmless, with mathematics read, wrapped at words.

It must not write to anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wcwidth import wcswidth, wcwidth

from phi_emulator.chat.mathematics import BLOCKS, read_mathematics
from phi_emulator.models.printable import printable

__all__ = ["Flow", "wrapped"]

_FENCE: Final = re.compile(r"\s{0,3}(```|~~~)")
_LONGEST_LINE: Final = 4000
"""Letters of a line that is not ended, after which what came of it is shown as a line."""
_LONGEST_BLOCK: Final = 3000
"""Letters of a formula over several lines, after which it is taken for none."""
_WORDS: Final = re.compile(r"\S+|\s+")


class Flow:
    """What comes of one text. With `is_ascii`, mathematics is read into the signs of ASCII alone."""

    def __init__(self, *, is_ascii: bool = False) -> None:
        self._is_ascii = is_ascii
        self._open = ""
        """The line that is not ended, as it came."""
        self._block = ""
        """Lines of a formula that is not ended."""
        self._is_code = False

    def feed(self, piece: str) -> list[str]:
        """Take a piece; the lines that are complete with it, each one line of text of any width."""
        *ended, self._open = (self._open + piece).split("\n")
        lines = [line for text in ended for line in self._take(text)]
        while len(self._open) > _LONGEST_LINE:
            cut = self._open.rfind(" ", _LONGEST_LINE // 2, _LONGEST_LINE)
            cut = cut if cut > 0 else _LONGEST_LINE
            lines += self._take(self._open[:cut])
            self._open = self._open[cut:].removeprefix(" ")
        return lines

    @property
    def pending(self) -> list[str]:
        """What came after the last complete line, as it stands."""
        text = self._block + self._open
        return [self._shown(line) for line in text.split("\n")] if text else []

    def finish(self) -> list[str]:
        """The rest."""
        lines = self._take(self._open) if self._open else []
        if self._block:
            lines += [self._shown(line) for line in self._block.removesuffix("\n").split("\n")]
        self._open = self._block = ""
        return lines

    def _take(self, line: str) -> list[str]:
        """A whole line, which may be a part of a formula."""
        line = line.removesuffix("\r")
        if not self._block and _FENCE.match(line):
            self._is_code = not self._is_code
            return [printable(line, _LONGEST_LINE)]
        if self._is_code:
            return [printable(line, _LONGEST_LINE)]
        text = self._block + line
        if not _is_open(text):
            self._block = ""
            return [self._shown(text)]
        self._block = text + "\n"
        if len(self._block) <= _LONGEST_BLOCK:
            return []
        lines = [self._shown(part) for part in text.split("\n")]
        self._block = ""
        return lines

    def _shown(self, text: str) -> str:
        read = text if self._is_code else read_mathematics(text, is_ascii=self._is_ascii)
        return printable(read, 2 * _LONGEST_LINE)


def _is_open(text: str) -> bool:
    r"""Whether a formula began in the text that goes over several lines, as `\[` and `$$` do, and did not end."""
    for begin, end in BLOCKS.items():
        if begin == end:
            if text.count(begin) % 2:
                return True
        elif text.rfind(begin) > text.rfind(end):
            return True
    return False


def wrapped(line: str, width: int) -> Iterator[str]:
    """The rows of a line in `width` columns, broken between words, and inside of one that is wider than that.

    A character may be two columns wide, and none where it stands on another. What begins a line is kept before its
    further rows: blanks.
    """
    width = max(width, 2)
    indent = line[: len(line) - len(line.lstrip(" "))][: width // 2]
    row, taken = "", 0
    for word in _WORDS.findall(line):
        size = _columns(word)
        if taken + size <= width:
            row, taken = row + word, taken + size
            continue
        if word.isspace():
            continue
        if row.strip():
            yield row.rstrip()
            row, taken = indent, len(indent)
        if taken + size <= width:
            row, taken = row + word, taken + size
            continue
        for character in word:
            columns = _columns(character)
            if taken + columns > width:
                yield row
                row, taken = "", 0
            row, taken = row + character, taken + columns
    yield row.rstrip()


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    size = wcswidth(text)
    return size if size >= 0 else sum(max(wcwidth(character), 0) for character in text)
