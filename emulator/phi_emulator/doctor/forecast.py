"""What running Phi-4-mini-reasoning on this machine's processor would be like, said before anybody downloads it.

It must not know command lines, nor who asks: `doctor` and the announcement of a download do. Memory and speed of the
machine are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from phi_emulator.engine.machine.context import USEFUL_CONTEXT
from phi_emulator.engine.machine.memory import LOADING, available_bytes
from phi_emulator.models.graph.geometry import BYTE_BITS, head_bytes
from phi_emulator.models.store.catalog import PHI_4_MINI_REASONING

__all__ = ["ANSWER_TOKENS", "REAL_BYTES", "Forecast", "answer_phrase", "duration", "rate_phrase", "span"]

ANSWER_TOKENS: Final = 2000
"""A solution with its reasoning, of middling length."""
REAL_BYTES: Final = PHI_4_MINI_REASONING.variants[0].about_bytes
_GB: Final = 1_000_000_000
# Of Phi-4-mini-reasoning as int4 for the CPU: what of its folder is read for each token (the rest is the embedding, of
# which a token reads one row); and 32 layers of 8 heads of 128 numbers in its cache.
_REAL_READ: Final = 2_400_000_000
_REAL_CACHE_PER_TOKEN: Final = 32 * 8 * head_bytes(128, BYTE_BITS)
_REAL_CONTEXT: Final = 131_072
# How much of what its int4 layers alone would reach a whole model reaches: attention and the small operators take the
# rest. Measured for four layers of Phi-4-mini's shape on two cores: 0.53 to 0.56, and 0.3 to 1.2 on a busy machine.
_SLOWEST, _FASTEST = 0.5, 0.8
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Memory and speed of the real model on this machine's processor, before it was ever here."""

    needed: int
    """Bytes that loading it takes."""
    there: int
    """Bytes of memory that are there."""
    slowest: float | None = None
    fastest: float | None = None
    """Tokens a second; `None` where the processor's speed could not be measured."""
    obstacle: str = ""
    """Why it could not."""

    @classmethod
    def of(cls, speed: Callable[[], float] | None = None, available: Callable[[], int] | None = None) -> Self:
        """Ask for the memory, and let `speed` measure how many bytes of weights a second go through int4 layers."""
        needed, there = int(REAL_BYTES * LOADING), (available or available_bytes)()
        try:
            rate = (speed or _bytes_a_second)() / _REAL_READ
        except (ImportError, RuntimeError, OSError) as error:
            return cls(needed=needed, there=there, obstacle=str(error))
        return cls(needed=needed, there=there, slowest=_SLOWEST * rate, fastest=_FASTEST * rate)

    @property
    def context(self) -> int:
        """Tokens of context that the memory holds beside the model, at most those that it declares."""
        return max(0, min((self.there - self.needed) // _REAL_CACHE_PER_TOKEN, _REAL_CONTEXT))

    @property
    def fits(self) -> bool:
        """Whether it can be loaded with a context that is of use."""
        return self.context >= USEFUL_CONTEXT

    @property
    def memory(self) -> str:
        """The memory in words."""
        text = (
            f"to load it takes {self.needed / _GB:.1f} GB of memory, and {self.there / _GB:.1f} GB are there"
        )
        if self.fits:
            return f"{text}, which holds up to {self.context} tokens of context"
        least = (self.needed + USEFUL_CONTEXT * _REAL_CACHE_PER_TOKEN) / _GB
        return (
            f"{text}: too little, since a context of {USEFUL_CONTEXT:,} tokens takes {least:.1f} GB with it"
        )

    @property
    def speed(self) -> str:
        """The speed in words, and what it means for an answer."""
        if self.slowest is None or self.fastest is None:
            return f"the processor's speed could not be measured ({self.obstacle})"
        rate = span(f"{self.slowest:.2g}", f"{self.fastest:.2g}")
        times = span(duration(ANSWER_TOKENS / self.fastest), duration(ANSWER_TOKENS / self.slowest))
        return f"{rate} tokens a second, so an answer of {ANSWER_TOKENS:,} tokens takes {times}"


def answer_phrase(tokens_a_second: float) -> str:
    """What a measured speed means for an answer."""
    return f"an answer of {ANSWER_TOKENS:,} tokens takes {duration(ANSWER_TOKENS / tokens_a_second)}"


def rate_phrase(number: float) -> str:
    """A number a second, as precisely as it was measured, and without powers of ten."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < _MINUTE_S:
        return f"{max(round(seconds), 1)} s"
    if seconds < 2 * _HOUR_S:
        return f"{round(seconds / _MINUTE_S)} min"
    return f"{seconds / _HOUR_S:.1f} hours"


def span(least: str, most: str) -> str:
    """Two figures, or the one that both are; their unit is said once."""
    if least == most:
        return least
    number, _, unit = least.partition(" ")
    return f"{number if most.endswith(f' {unit}') else least} to {most}"


def _bytes_a_second() -> float:
    from phi_emulator.doctor.int4_speed import bytes_a_second  # noqa: PLC0415 - needs onnx

    return bytes_a_second()
