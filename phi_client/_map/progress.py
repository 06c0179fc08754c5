"""How far a `map` is, on standard error: one line that is drawn again on a terminal, else a line now and then.

It must not know what is counted beyond what it is told, and must not end the work: where it can't be drawn, it isn't.
"""

import shutil
from collections.abc import Callable
from typing import Final, TextIO

__all__ = ["Progress", "progress_on"]

_REDRAW_S: Final = 0.1
_LINE_S: Final = 10.0
_BAR: Final = 24
_HOUR_S: Final = 3600


class Progress:
    """A bar for `total` items, of which `done` were there before this run began."""

    def __init__(self, total: int, done: int, stream: TextIO, now: Callable[[], float]) -> None:
        self._total = total
        self._first = done
        self._stream = stream
        self._now = now
        self._started = now()
        self._is_terminal = stream.isatty()
        self._drawn_at: float | None = None
        self._width = 0
        self._is_broken = False

    def show(self, done: int, failed: int, tokens: int, *, is_last: bool = False) -> None:
        """Draw, unless it was drawn a moment ago."""
        now = self._now()
        pause_s = _REDRAW_S if self._is_terminal else _LINE_S
        if self._drawn_at is not None and now - self._drawn_at < pause_s and not is_last:
            return
        if self._is_broken:
            return
        self._drawn_at = now
        try:
            self._draw(done, failed, tokens, now, is_last=is_last)
        except Exception:  # noqa: BLE001  # a pipe that nobody reads, a closed console: what else it may be, it is theirs
            self._is_broken = True

    def _draw(self, done: int, failed: int, tokens: int, now: float, *, is_last: bool) -> None:
        text = self._text(done, failed, tokens, now)
        if self._is_terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            # What is left of a longer line before is overwritten.
            self._stream.write("\r" + text.ljust(self._width) + ("\n" if is_last else ""))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def _text(self, done: int, failed: int, tokens: int, now: float) -> str:
        part = done / self._total if self._total else 1.0
        bar = ("#" * int(part * _BAR)).ljust(_BAR, ".")
        rate = (done - self._first) / max(now - self._started, 1e-9)
        left = f", {_clock_time((self._total - done) / rate)} left" if rate and done < self._total else ""
        lost = f", {failed} failed" if failed else ""
        return f"[{bar}] {done}/{self._total} {part:4.0%}, {rate:.1f}/s{left}{lost}, {tokens:,} tokens"


def progress_on(
    stream: TextIO | None, total: int, done: int, now: Callable[[], float], *, wanted: bool | None
) -> Progress | None:
    """A bar on `stream`, where it is `wanted` or, with `None`, where the stream is a terminal."""
    try:
        # There is no standard error where there is no console.
        if stream is None or not (stream.isatty() if wanted is None else wanted):
            return None
        return Progress(total, done, stream, now)
    except Exception:  # noqa: BLE001  # see above
        return None


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if seconds >= _HOUR_S else f"{minutes}:{rest:02}"
