"""How a request samples, in numbers that the native side can take: the one place where they are brought to 32 bits.

Python's numbers are finer than a 32-bit float: `7e-46` is above 0 here and 0 there, where 0 means something else, a
temperature that is refused or a `top_p` that is switched off. Both native engines read what this makes, and nothing
else. Knows numbers only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from phi_emulator.engine.native.shortlist import shortlist
from phi_emulator.engine.protocol import Sampling

__all__ = ["NativeSampling", "as_float32", "native_sampling"]

_LARGEST: Final = (2 - 2**-23) * 2.0**127
_SMALLEST: Final = 2.0**-149
_COLDEST: Final = 1e-30
"""Scores divided by less are beyond 32 bits, which ends older releases' processes; the likeliest is sure by then."""


@dataclass(frozen=True, slots=True)
class NativeSampling:
    """How the next token is drawn: the likeliest, with no more to say, or by these numbers."""

    is_greedy: bool
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


def native_sampling(sampling: Sampling, vocabulary: int) -> NativeSampling:
    """`sampling` for a model of so many tokens. A temperature that is as good as 0 in 32 bits is 0: greedy."""
    temperature = as_float32(sampling.temperature)
    if temperature < _COLDEST:
        return NativeSampling(is_greedy=True)
    # A nucleus is never empty: its likeliest token is in it, and 0 would keep all.
    top_p = min(max(as_float32(sampling.top_p), _SMALLEST), 1.0)
    return NativeSampling(
        is_greedy=False,
        temperature=temperature,
        top_p=top_p,
        top_k=shortlist(vocabulary, temperature=temperature),
    )


def as_float32(value: float) -> float:
    """The 32-bit float that is nearest; what is too large is the largest that is finite."""
    return float(struct.unpack("f", struct.pack("f", min(max(value, -_LARGEST), _LARGEST)))[0])
