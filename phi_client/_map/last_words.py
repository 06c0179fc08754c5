"""What is kept of an interrupted `map`, and how to go on: said last, below the traceback.

It must not know a `map`. The words are a note of the interruption, which Python prints under it. `asyncio.run` turns
Ctrl-C into another exception, above which that note scrolls away: so when a program ends by an exception soon after
words were added, and these are not the last to be printed, they are repeated at its exit.
"""

import atexit
import sys
import time
from collections import deque
from functools import cache
from typing import Final

__all__ = ["add_last_words", "unsaid"]

_RECENT_S: Final = 60.0
_MOST: Final = 8
"""Interruptions that are remembered; a server that cancels a `map` now and then must not keep them all."""

_added: Final[deque[tuple[float, str]]] = deque(maxlen=_MOST)


def add_last_words(error: BaseException, words: str) -> None:
    """Let `words` be the last that is read of `error`."""
    error.add_note(words)
    _added.append((time.monotonic(), words))
    _repeat_at_exit()


def unsaid(end: BaseException | None, now: float) -> list[str]:
    """The words to repeat in a program that ends by `end`."""
    notes: list[str] = getattr(end, "__notes__", [])
    words = [said for at, said in _added if now - at <= _RECENT_S]
    return [] if end is None or (notes and notes[-1] in words) else words


@cache
def _repeat_at_exit() -> None:
    atexit.register(_repeat)


def _repeat() -> None:
    for words in unsaid(getattr(sys, "last_value", None), time.monotonic()):
        print(words, file=sys.stderr)
