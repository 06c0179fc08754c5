"""Who runs and who waits. Pure bookkeeping: it never touches a model, a thread or a clock.

    submit ──► waiting (FIFO, bounded) ──admit──► running ──finish──► gone
                  └───────────────cancel─────────────┴──────────────► gone

The native engine neither preempts nor evicts: two running sequences that together outgrow its cache would block each
other for ever. So a sequence is admitted only when the blocks for its prompt and for the longest answer it may give are
free, and they stay reserved until it ends. The first in the queue is never overtaken, so a long request can't starve.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from phi_emulator.engine.errors import QueueFullError
from phi_emulator.engine.protocol import EngineInfo

__all__ = ["Scheduler"]


@dataclass(frozen=True, slots=True)
class _Entry:
    sequence: int
    blocks: int


class Scheduler:
    """Admits sequences in their order, as far as places and cache blocks go."""

    def __init__(self, info: EngineInfo, queue_size: int) -> None:
        self._max_running = info.max_running
        self._block_size = info.block_size
        self._free_blocks = info.num_blocks
        self._queue_size = queue_size
        self._waiting: deque[_Entry] = deque()
        self._running: dict[int, _Entry] = {}
        self._admitted: list[int] = []  # running by the books, not yet handed to the engine

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    def submit(self, sequence: int, tokens: int) -> None:
        """Take in a sequence that may grow to `tokens` tokens, prompt included.

        Raises:
            QueueFullError: it could not start now and the queue has no place left.
        """
        entry = _Entry(sequence, -(-tokens // self._block_size))
        if not self._waiting and self._fits(entry):
            self._run(entry)
        elif len(self._waiting) < self._queue_size:
            self._waiting.append(entry)
        else:
            raise QueueFullError(len(self._waiting), self.retry_after_s)

    @property
    def retry_after_s(self) -> int:
        """When to ask again. Without a measured rate, a second for each request ahead is an order of magnitude."""
        return max(1, len(self._waiting) + len(self._running))

    def admit(self) -> list[int]:
        """Move as many sequences as fit from waiting to running; return all that are new there, in order."""
        while self._waiting and self._fits(self._waiting[0]):
            self._run(self._waiting.popleft())
        admitted, self._admitted = self._admitted, []
        return admitted

    def finish(self, sequence: int) -> None:
        """Forget a sequence, running or waiting; one that is not known is no error."""
        entry = self._running.pop(sequence, None)
        if entry is not None:
            self._free_blocks += entry.blocks
            self._admitted = [s for s in self._admitted if s != sequence]
        else:
            self._waiting = deque(e for e in self._waiting if e.sequence != sequence)

    def _run(self, entry: _Entry) -> None:
        self._running[entry.sequence] = entry
        self._free_blocks -= entry.blocks
        self._admitted.append(entry.sequence)

    def _fits(self, entry: _Entry) -> bool:
        return len(self._running) < self._max_running and entry.blocks <= self._free_blocks
