"""The marks of reasoning in a text, and what may become a mark when more of the text comes.

It must not know what is done with text: streams hold back with it on both sides of the wire.
"""

from typing import Final

__all__ = ["THINK_CLOSE", "THINK_OPEN", "begun_length"]

THINK_OPEN: Final = "<think>"
THINK_CLOSE: Final = "</think>"


def begun_length(text: str, mark: str) -> int:
    """The length of the longest end of `text` that begins `mark` and is not all of it.

    For marks of a few letters: in a long one that repeats itself it looks at the same letters again and again.
    """
    start = text.find(mark[0], max(len(text) - len(mark) + 1, 0))
    while start >= 0 and not mark.startswith(text[start:]):
        start = text.find(mark[0], start + 1)
    return len(text) - start if start >= 0 else 0
