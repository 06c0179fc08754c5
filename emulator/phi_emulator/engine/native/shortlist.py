"""How many tokens of a vocabulary a sampled request chooses among.

GenAI cuts by `top_p` exactly only beside a `top_k`: without one it takes all tokens that it hasn't sorted for as likely
as the least that it has, and keeps many beyond the nucleus. So a request always has one. That of a cool request is a
few thousand, for to sort all 200,064 tokens of Phi-4-mini takes a sixth of a step. Knows numbers only.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SHORTLIST", "shortlist"]

SHORTLIST: Final = 8192
"""With SmolLM2's 49,152 tokens the others together have 0.001 % of the probability at temperature 0.7, 0.07 % at 1."""
_HOTTEST: Final = 1.0


def shortlist(vocabulary: int, *, temperature: float) -> int:
    """The number for GenAI's `top_k`: all above temperature 1, where the unlikely ones count."""
    return min(vocabulary, SHORTLIST) if temperature <= _HOTTEST else vocabulary
