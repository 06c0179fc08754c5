"""Shows how far a long piece of work is: a bar on a terminal, plain lines elsewhere.

It must not know what the work is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from phi_emulator.models.store import human_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["show_progress"]

_LINES: Final = 10
"""Lines for a stage, where there is no terminal."""
_WORTH_LINES: Final = 50_000_000


class _Lines:
    """Writes a line when a stage begins, and at each tenth of a large one."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._text, self._total, self._done, self._told = "", 0, 0, 0

    def begin(self, text: str, total: int) -> None:
        self._text, self._total, self._done, self._told = text, total, 0, 0
        print(f"{text} ({human_size(total)})", file=self._out, flush=True)

    def advance(self, count: int) -> None:
        self._done += count
        reached = self._done * _LINES // self._total if self._total else 0
        if reached > self._told and self._total >= _WORTH_LINES:
            print(f"  {self._text}: {100 * self._done // self._total} %", file=self._out, flush=True)
        self._told = reached


class _Bar:
    """Moves a bar with speed and time left."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, text: str, total: int) -> None:
        self._task = self._bars.add_task(text, total=total)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, count)


@contextmanager
def show_progress(out: TextIO) -> Iterator[_Lines | _Bar]:
    """What hears of the progress, while the work goes on."""
    if not out.isatty():
        yield _Lines(out)
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and a terminal alone needs it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=out)) as bars:
        yield _Bar(bars)
