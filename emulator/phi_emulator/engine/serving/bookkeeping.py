"""What the worker keeps of each sequence, who runs and who waits of them, and what became of the others.

Knows the engine protocol, the scheduler and text machines; must not know threads, clocks or an engine.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from phi_emulator.engine.errors import QueueFullError
from phi_emulator.engine.protocol import EndReason, EngineInfo, Sampling, Step
from phi_emulator.engine.serving.generation import Generation, Outcome, Progress, Times
from phi_emulator.engine.serving.scheduler import Scheduler
from phi_emulator.engine.serving.source import Counts
from phi_emulator.engine.serving.text import TextMachine

__all__ = ["Books", "SequenceState"]


@dataclass(slots=True)
class SequenceState:
    """What is known of a sequence that was taken in and has not ended."""

    generation: Generation
    prompt: Sequence[int]
    sampling: Sampling
    machines: Sequence[TextMachine]
    received: float
    queued: float
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    def __post_init__(self) -> None:
        self.progress.queued = self.queued
        self.progress.prompt_tokens = len(self.prompt)

    @property
    def progress(self) -> Progress:
        """How far it has come; whoever waits for it may look."""
        return self.generation.progress

    @property
    def is_running(self) -> bool:
        """Whether it has its place beside the others."""
        return self.progress.admitted is not None

    @property
    def most_tokens(self) -> int:
        """What it may grow to, prompt included."""
        return len(self.prompt) + self.sampling.max_tokens

    def tokens(self, cached: int) -> dict[str, int]:
        """What it took, as fields of `Counts`."""
        return {
            "prompt_tokens": len(self.prompt),
            "cached_prompt_tokens": cached,
            "completion_tokens": self.progress.completion_tokens,
            "drafted_tokens": self.drafted_tokens,
            "accepted_tokens": self.accepted_tokens,
        }

    def outcome(self, reason: EndReason, cached: int, now: float) -> Outcome:
        """How it has ended; it was running."""
        progress = self.progress
        progress.ended, progress.cached_prompt_tokens = now, cached
        admitted = now if progress.admitted is None else progress.admitted
        times = Times(self.received, self.queued, admitted, progress.first_token, now)
        return Outcome(reason, len(self.prompt), progress.completion_tokens, cached, times)

    def show(self, step: Step) -> tuple[str, EndReason | None]:
        """What its text machines make of a step, and how the text ended if it did."""
        text, end = step.text, step.end
        for machine in self.machines:
            text = machine.feed(text)
            if machine.stopped:
                end = EndReason.STOP
            if end is not None:
                text += machine.flush()
        return text, end


class Books:
    """All sequences that were taken in and have not ended; `begin` comes first. Its user has a lock around it."""

    def __init__(self, queue_size: int) -> None:
        self.counts = Counts()
        self._queue_size = queue_size
        self._sequences: dict[int, SequenceState] = {}
        self._scheduler: Scheduler

    def begin(self, info: EngineInfo) -> list[SequenceState]:
        """Let those that wait wait for this engine; return those that don't fit it, which are struck."""
        self._scheduler = Scheduler(info, self._queue_size)
        unfit = [n for n, state in self._sequences.items() if state.most_tokens > info.context_length]
        struck = [self._sequences.pop(number) for number in unfit]
        for number, state in self._sequences.items():
            self._scheduler.submit(number, state.most_tokens)
        return struck

    def __len__(self) -> int:
        return len(self._sequences)

    @property
    def states(self) -> list[SequenceState]:
        """All of them, in the order in which they came."""
        return [*self._sequences.values()]

    @property
    def running(self) -> int:
        """How many have a place beside each other."""
        return self._scheduler.running

    @property
    def waiting(self) -> int:
        """How many have none yet."""
        return self._scheduler.waiting

    @property
    def retry_after_s(self) -> int:
        """When to ask again."""
        return self._scheduler.retry_after_s

    def take_in(self, sequence: int, state: SequenceState) -> None:
        """Add one.

        Raises:
            QueueFullError: it could not start now and the queue has no place left.
        """
        try:
            self._scheduler.submit(sequence, state.most_tokens)
        except QueueFullError:
            self.count(refused=1)
            raise
        self._sequences[sequence] = state

    def find(self, sequence: int) -> SequenceState | None:
        """One that has not ended."""
        return self._sequences.get(sequence)

    def admit(self) -> list[tuple[int, SequenceState]]:
        """Those that have a place from now on, and are to be marked as admitted."""
        return [(sequence, self._sequences[sequence]) for sequence in self._scheduler.admit()]

    def forget(self, sequence: int, **counted: int) -> SequenceState | None:
        """Strike one, running or waiting, and count what became of it."""
        self.count(**counted)
        self._scheduler.finish(sequence)
        return self._sequences.pop(sequence, None)

    def count(self, **more: int) -> None:
        """Add to the counts."""
        self.counts = replace(
            self.counts, **{name: getattr(self.counts, name) + n for name, n in more.items()}
        )

    def late(self, latest: float) -> Collection[int]:
        """Those that have waited since `latest` or longer."""
        return [n for n, state in self._sequences.items() if not state.is_running and state.queued <= latest]

    def strike(self, *, running_only: bool) -> list[SequenceState]:
        """Strike all, or all that run."""
        struck = [n for n, state in self._sequences.items() if state.is_running or not running_only]
        return [state for number in struck if (state := self.forget(number)) is not None]
