"""Ctrl-C and SIGTERM for commands that serve until they come. It must not know what is served."""

from __future__ import annotations

import os
import queue
import signal
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Self

from phi_emulator.platforms import ending_signals

__all__ = ["StopSignals"]


class StopSignals:
    """Takes SIGINT and SIGTERM while it is entered: the first is noted, the second ends the process at once."""

    def __init__(self) -> None:
        # Putting into this queue is safe inside a signal handler; setting an event is not.
        self._received: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_stopping = False
        self._restoring = ExitStack()

    def __enter__(self) -> Self:
        for number in ending_signals():
            self._restoring.callback(signal.signal, number, signal.signal(number, self._note))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restoring.close()

    def came(self, *, within_s: float) -> bool:
        """Wait for the first signal."""
        try:
            self._received.get(timeout=within_s)
        except queue.Empty:
            return False
        return True

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._is_stopping:
            # No clean-up: the native engine may be in the middle of a long step.
            os._exit(128 + number)
        self._is_stopping = True
        self._received.put(number)
