"""How many tokens of a large vocabulary a sampled request chooses among.

GenAI sorts all of them for each token, which takes a model of Phi-4-mini's size a quarter of its time; the likeliest
few thousand are found in a tenth of that. Knows numbers only.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ALL", "SHORTLIST", "shortlist"]

ALL: Final = 0
"""What GenAI takes for the whole vocabulary."""
SHORTLIST: Final = 8192
"""With SmolLM2's 49,152 tokens the others together have 0.001 % of the probability at temperature 0.7, 0.05 % at 1."""
_HOTTEST: Final = 1.0
_WORTHWHILE: Final = 4 * SHORTLIST
"""Tokens of a vocabulary from which on it is faster."""


def shortlist(vocabulary: int, *, temperature: float, top_p: float) -> int:
    """The number for GenAI's `top_k`.

    All beside a `top_p` below 1, because GenAI cuts by `top_p` otherwise where it has both, and all above temperature
    1, where the unlikely ones count.
    """
    fits = vocabulary >= _WORTHWHILE and temperature <= _HOTTEST and top_p >= 1
    return SHORTLIST if fits else ALL
