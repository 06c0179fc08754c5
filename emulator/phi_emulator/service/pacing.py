"""Holds an answer's tokens back until its profile of latency lets them go, and notes where the model came too late.

It must not know who listens. Times are counted from the request: a token that is late makes none after it later.

    the model's tokens ──► due already? ──yes──► on
                                └──no──► kept until then; what comes meanwhile waits in the generation
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_emulator.engine.serving.generation import Generation
from phi_emulator.latency.language import write_line
from phi_emulator.latency.profile import Profile

__all__ = ["LATE_S", "Lateness", "Pace"]

LATE_S: Final = 0.010
"""From here on a token counts as late: two of the ticks by which the engine's thread hands tokens over."""


@dataclass(slots=True)
class Lateness:
    """By how much an answer didn't keep its profile: the model was slower, or the machine too busy.

    What a client holds up that doesn't read is not counted.
    """

    tokens: int = 0
    """Tokens that went out; a whole answer counts as one."""
    late_tokens: int = 0
    """Those of them that were late by `LATE_S` or more."""
    most_s: float = 0.0
    """By how much the latest of them was late; 0 where none was."""

    @property
    def told(self) -> str:
        """It in a few words; empty where nothing was late."""
        if not self.late_tokens:
            return ""
        late = f"{self.most_s * 1000:.0f} ms"
        if self.tokens == 1:
            return f"late by {late}"
        return f"{self.late_tokens} of {self.tokens} tokens late, by {late} at most"

    def note(self, late_s: float) -> None:
        """Count one."""
        self.tokens += 1
        if late_s >= LATE_S:
            self.late_tokens += 1
            self.most_s = max(self.most_s, late_s)


class Pace:
    """The pace of one answer, the n-th with its profile; for one iteration.

    `begun` tells when the request came in, by `clock`; a fault that holds the answer may move it.
    """

    def __init__(
        self,
        profile: Profile,
        number: int,
        *,
        begun: Callable[[], float],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.profile = profile
        self.number = number
        self.lateness = Lateness()
        """What is known so far."""
        self.held_s = 0.0
        """How long it has held tokens back so far."""
        self._begun = begun
        self._clock = clock

    @property
    def told(self) -> str:
        """The profile, which answer it is, and by how much it is late, in a few words."""
        named = self.profile.name or write_line(self.profile)
        return "; ".join(filter(None, (named, f"answer {self.number}", self.lateness.told)))

    async def texts(
        self, generation: Generation, prompt_tokens: int, *, whole: bool
    ) -> AsyncIterator[list[str]]:
        """The texts of an answer, all that are due at a time; of one that is sent `whole` as they come.

        It ends when the last token is due.

        Raises:
            EngineError: as the generation.
        """
        schedule = _Schedule(self.profile.due_times(prompt_tokens, self.number))
        taken = -inf
        async for pieces in generation.batches():
            if whole:
                yield [piece.text for piece in pieces]
                continue
            ready: list[str] = []
            for piece in pieces:
                due = schedule.of(piece.tokens)
                if ready and self._begun() + due > (handed := self._clock.now()):
                    yield ready
                    taken, ready = max(taken, self._taken(handed)), []
                await self._until(due)
                self.lateness.note(self._clock.now() - max(self._begun() + due, taken))
                ready.append(piece.text)
            handed = self._clock.now()
            yield ready
            taken = max(taken, self._taken(handed))
        outcome = generation.outcome
        due = schedule.of(outcome.completion_tokens if outcome else 0)
        await self._until(due)
        if whole:
            self.lateness.note(self._clock.now() - self._begun() - due)

    def _taken(self, handed: float) -> float:
        """Until when whoever listens took nothing more; long ago where what was handed over was taken at once."""
        now = self._clock.now()
        return now if now - handed >= LATE_S else -inf

    async def _until(self, due: float) -> None:
        """Wait for a time after the beginning."""
        # As a difference of two times of one clock: what is added to it comes to just that time, without rounding.
        while (left := self._begun() + due - (now := self._clock.now())) > 0:
            await self._clock.sleep_async(left)
            self.held_s += self._clock.now() - now


class _Schedule:
    """When the n-th token is due; to be asked for no earlier one than before."""

    def __init__(self, due_times: Iterator[float]) -> None:
        self._due_times = due_times
        self._due, self._tokens = next(due_times), 1

    def of(self, tokens: int) -> float:
        while self._tokens < tokens:
            self._due, self._tokens = next(self._due_times), self._tokens + 1
        return self._due
