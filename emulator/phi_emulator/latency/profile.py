"""A profile of latency as a value: when the first token comes, how fast the others follow, how unevenly.

It must not know the forms in which one is written, nor who waits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Final

__all__ = ["MOST_CHUNK", "MOST_JITTER", "MOST_S", "Profile"]

MOST_S: Final = 3600.0
"""The longest wait that a profile may have, in seconds."""
MOST_JITTER: Final = 10.0
MOST_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """When the tokens of an answer come, in seconds after the request.

    The first comes after `first_s` and `prompt_s` for each token of the prompt, each further one `gap_s` after the one
    before. With a `chunk` of n tokens they come n at a time, as often as they would fill it.
    """

    first_s: float = 0.0
    prompt_s: float = 0.0
    gap_s: float = 0.0
    jitter: float = 0.0
    """How uneven the gaps are: their standard deviation as a part of `gap_s`. They are distributed log-normally, around
    a mean of `gap_s`."""
    first_jitter: float = 0.0
    """The same of the time until the first token."""
    chunk: int = 1
    """Tokens that come together."""
    seed: int = 0
    """Of the jitter: the same one gives the same times to the n-th answer."""
    name: str = ""
    """Of the preset that it is, or was made of."""
    source: str = ""
    """Where its figures are from."""

    def first_after(self, prompt_tokens: int) -> float:
        """Seconds until the first token, without jitter."""
        return self.first_s + self.prompt_s * prompt_tokens

    def due_times(self, prompt_tokens: int, number: int) -> Iterator[float]:
        """When each token of the n-th answer is due, in seconds after its request; without an end, never backwards.

        The same profile, prompt and number give the same times, on every machine.
        """
        draw = random.Random(f"latency {self.seed} {number}")  # noqa: S311 - a test's chance, not a secret
        due = self.first_after(prompt_tokens) * _uneven(draw, self.first_jitter)
        while True:
            for _ in range(self.chunk):
                yield due
            due += self.gap_s * self.chunk * _uneven(draw, self.jitter)


def _uneven(draw: random.Random, jitter: float) -> float:
    """A factor around 1, with that standard deviation."""
    # One draw in any case: the gaps are the same whatever the first token's jitter.
    normal = draw.gauss(0.0, 1.0)
    if not jitter:
        return 1.0
    variance = log(1.0 + jitter * jitter)
    return exp(normal * sqrt(variance) - variance / 2)
