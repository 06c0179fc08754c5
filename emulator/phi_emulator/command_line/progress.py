"""Shows how far a long piece of work is: a bar on a terminal, plain lines elsewhere.

It must not know what the work is.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Never, TextIO

from phi_emulator.doctor.forecast import duration
from phi_emulator.models.store.store import human_size

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Bars", "Lines", "show_progress"]

_STEPS: Final = 10
"""Lines for a long stage, where there is no terminal."""
_LONG: Final = 50_000_000
_MEASURED_S: Final = 5.0
"""After so long, the pace so far says how long the rest takes."""
_MEGABIT: Final = 125_000


class Lines:
    """Writes a line when a stage begins, how long the rest takes once that shows, and one at each tenth of a long one.

    `clock` tells seconds.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._text, self._total, self._done, self._told = "", 0, 0, 0
        self._begun, self._done_before = 0.0, 0
        self._forecast_is_due = False

    def begin(self, text: str, total: int, done: int = 0) -> None:
        """As `models.pull.Progress` says."""
        self._text, self._total, self._done = text, total, done
        self._told = self._step()
        self._begun, self._done_before, self._forecast_is_due = self._clock(), done, total >= _LONG
        went_on = f", {human_size(done)} of it are here" if done else ""
        print(f"{text} ({human_size(total)}{went_on})", file=self._out, flush=True)

    def advance(self, count: int) -> None:
        """As `models.pull.Progress` says."""
        self._done += count
        if self._forecast_is_due:
            self._foretell()
        if self._step() > self._told and self._total >= _LONG:
            print(f"  {self._text}: {100 * self._done // self._total} %", file=self._out, flush=True)
        self._told = self._step()

    def _foretell(self) -> None:
        """Say how long the rest takes, by the pace of the first seconds."""
        passed = self._clock() - self._begun
        came = self._done - self._done_before
        if passed < _MEASURED_S or came <= 0:
            return
        self._forecast_is_due = False
        pace = came / passed
        left = duration((self._total - self._done) / pace)
        said = f"  {self._text}: {pace / _MEGABIT:,.0f} Mbit/s so far, at which the rest takes {left}"
        print(said, file=self._out, flush=True)

    def _step(self) -> int:
        return self._done * _STEPS // self._total if self._total else 0


class Bars:
    """Moves a bar for each stage, with speed and time left."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._bar: tqdm[Never] | None = None

    def begin(self, text: str, total: int, done: int = 0) -> None:
        """As `models.pull.Progress` says."""
        from tqdm import tqdm  # noqa: PLC0415 - a terminal alone needs it

        self.close()
        width, height = shutil.get_terminal_size()  # tqdm shows nothing where a terminal gives its size as 0
        self._bar = tqdm(
            desc=text,
            total=total,
            initial=done,
            unit="B",
            unit_scale=True,
            file=self._out,
            ncols=width,
            nrows=height,
        )

    def advance(self, count: int) -> None:
        """As `models.pull.Progress` says."""
        if self._bar is not None:
            self._bar.update(count)

    def close(self) -> None:
        """End the bar's line."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def show_progress(out: TextIO) -> Generator[Lines | Bars]:
    """What hears of the progress, while the work goes on."""
    if not out.isatty():
        yield Lines(out)
        return
    bars = Bars(out)
    try:
        yield bars
    finally:
        bars.close()
