"""The one place that makes text from elsewhere fit to be shown: on a terminal, in a log, in a banner.

It must not know who wrote the text or who reads it. On a line, what could move the cursor, colour, hide or reorder
what stands around it, or begin a line of its own, is replaced; so is what no encoding holds. A text of many lines
keeps them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["printable", "without_controls"]

_SHOWN: Final = "\N{REPLACEMENT CHARACTER}"
# Controls, formats (bidi and zero-width among them), surrogates, private and unassigned characters; line and paragraph
# separators. A plain space is the one separator that stays as it is.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MOST_MARKS: Final = 4
"""Combining marks on one character: more of them grow into the lines above and below."""


def printable(text: str, longest: int = 2000) -> str:
    """`text` as one line of visible characters, cut at `longest` of them.

    Line breaks and tabs become spaces; what else can't be seen becomes U+FFFD.
    """
    shown: list[str] = []
    marks = 0
    for character in text[: longest + 1]:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if character in "\t\n\r\v\f\x85\u2028\u2029" or category == "Zs":
            shown.append(" ")
        elif category in _HIDDEN:
            shown.append(_SHOWN)
        elif marks <= _MOST_MARKS:
            shown.append(character)
    if len(text) > longest:
        shown[longest:] = ["…"]
    return "".join(shown)


def without_controls(text: str) -> str:
    """`text` for a file or a pipe, which may end on a terminal: all but controls, turns of direction, and surrogates.

    Lines and tabs stay, carriage returns go, the others become U+FFFD.
    """
    return _CONTROLS.sub(lambda found: "" if found[0] == "\r" else _SHOWN, text)
