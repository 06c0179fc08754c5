"""What is kept of an interrupted `map`, and how to go on: said last, below the traceback.

It must not know a `map`. The words are a note of the interruption, which Python prints under it. `asyncio.run` turns
Ctrl-C into another exception, above which that note scrolls away: so when a program ends by an exception soon after
words were added, and these are not the last to be printed, they are repeated at its exit. Ctrl-C while the caller has
an item in hand reaches no `map` at all: what was open then, or left in the moment before, has its words said there too.
"""

import atexit
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final

__all__ = ["add_last_words", "begin", "end", "unsaid"]

_RECENT_S: Final = 60.0
_LEFT_S: Final = 5.0
_MOST: Final = 8
"""Interruptions that are remembered; a server that cancels a `map` now and then must not keep them all."""

_added: Final[deque[tuple[float, str]]] = deque(maxlen=_MOST)
_left: Final[deque[tuple[float, str]]] = deque(maxlen=_MOST)
_open: Final[list[Callable[[], str]]] = []


def add_last_words(error: BaseException, words: str) -> None:
    """Let `words` be the last that is read of `error`."""
    error.add_note(words)
    _added.append((time.monotonic(), words))
    _repeat_at_exit()


def begin(words: Callable[[], str]) -> None:
    """Have `words` asked for when the program is interrupted before their `end`."""
    _open.append(words)
    _repeat_at_exit()


def end(words: Callable[[], str], *, is_left: bool) -> None:
    """What `words` are about is over; they may still be of use where it `is_left` unfinished."""
    with suppress(ValueError):
        _open.remove(words)
        if is_left:
            _left.extend((time.monotonic(), said) for said in _asked(words))


def unsaid(end: BaseException | None, now: float) -> list[str]:
    """The words to repeat in a program that ends by `end`."""
    notes: list[str] = getattr(end, "__notes__", [])
    words = [said for at, said in _added if now - at <= _RECENT_S]
    if isinstance(end, KeyboardInterrupt):
        others = [said for at, said in _left if now - at <= _LEFT_S]
        others += [said for one in _open for said in _asked(one)]
        words += [said for said in others if said not in words]
    return [] if end is None or (notes and notes[-1] in words) else words


def _asked(words: Callable[[], str]) -> list[str]:
    """The words, if they can be had: they are read from a file."""
    with suppress(OSError, ValueError):
        return [words()]
    return []


@cache
def _repeat_at_exit() -> None:
    atexit.register(_repeat)


def _repeat() -> None:
    for words in unsaid(getattr(sys, "last_value", None), time.monotonic()):
        print(words, file=sys.stderr)
