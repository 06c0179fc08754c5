"""What the worker keeps of each sequence, and what it tells of all of them.

Knows the engine protocol and text machines; must not know threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from phi_emulator.engine.protocol import EndReason, Sampling, Step
from phi_emulator.engine.serving.generation import Generation
from phi_emulator.engine.serving.text import TextMachine

__all__ = ["Counts", "SequenceState", "WorkerStatus"]


class WorkerStatus(NamedTuple):
    """How the engine is, and how busy."""

    is_broken: bool
    """It answers nothing any more."""
    running: int
    waiting: int
    is_reloading: bool = False
    """It broke and is being loaded again; requests wait meanwhile."""
    reloads: int = 0
    """How often it was loaded again."""
    trouble: str = ""
    """Why it broke last."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the requests so far, and how many tokens they took."""

    ended: int = 0
    cancelled: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    """Prompt tokens that were not computed, because a request before had begun with them."""
    completion_tokens: int = 0
    drafted_tokens: int = 0
    """Tokens that were proposed to be checked several at a time."""
    accepted_tokens: int = 0
    """Those of them that the model gave as well: steps that were saved."""
    steps: int = 0
    """Steps that the model has begun: tokens of answers, or chunks of prompts, of all that run together."""


@dataclass(slots=True)
class SequenceState:
    """What is known of a sequence that was taken in and has not ended."""

    generation: Generation
    prompt: Sequence[int]
    sampling: Sampling
    machines: Sequence[TextMachine]
    since: float
    is_running: bool = field(default=False)
    completion_tokens: int = field(default=0)
    drafted_tokens: int = field(default=0)
    accepted_tokens: int = field(default=0)

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
