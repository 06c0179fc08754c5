"""How much is measured, and how long that takes at a model's pace. It must not know how it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

__all__ = ["DEFAULTS", "Pace", "Sizes", "choose_sizes", "estimate_s"]

_SLOW_S: Final = 0.05
"""Seconds for a token from which on less is measured of each thing, unless more is asked for."""
_TOGETHER: Final = 1.5
"""How many times the tokens of one several give together, roughly."""
_SHORT_PROMPT, _MIDDLE_PROMPT, _REQUEST_PROMPT = 16, 64, 10


class Pace(NamedTuple):
    """What a look at a model showed, in seconds."""

    prompt_token_s: float
    token_s: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    rounds: int = 3
    """So many times, of which the best or the middle counts."""
    tokens: int = 128
    """The longest answer."""
    newcomer: int = 500
    """Tokens of a long prompt."""
    requests: int = 1000
    """Short requests in all."""
    hang_ups: int = 200
    """Callers that hang up."""
    repeats: int = 100
    """Runs with one seed, of a deterministic emulator."""
    request_tokens: int = 8
    """The longest answer to a short request."""


DEFAULTS: Final = Sizes()
_OF_A_SLOW_MODEL: Final = Sizes(rounds=2, tokens=32, request_tokens=2)


def choose_sizes(pace: Pace, room: int, wanted: Mapping[str, int]) -> Sizes:
    """Sizes for a model of that pace and a context of `room` tokens; those that are `wanted` are taken as they are."""
    sizes = replace(_OF_A_SLOW_MODEL if pace.token_s >= _SLOW_S else DEFAULTS, **wanted)
    return replace(sizes, newcomer=min(sizes.newcomer, room // 2), tokens=min(sizes.tokens, room // 4))


def estimate_s(sizes: Sizes, pace: Pace) -> float:
    """Seconds that the measuring takes, roughly: for telling whether to wait for it."""
    cold = sizes.newcomer * pace.prompt_token_s
    answer = sizes.tokens * pace.token_s
    sides = sum(
        2 * number * (_SHORT_PROMPT * pace.prompt_token_s + answer / (_TOGETHER if number > 1 else 1))
        for number in (1, 2, 4, 8)
    )
    joining = answer / _TOGETHER + 3 * cold
    turns = 2 * cold + 5 * _MIDDLE_PROMPT * pace.prompt_token_s
    watched = 4 * (_MIDDLE_PROMPT * pace.prompt_token_s + answer / _TOGETHER)
    a_request = (_REQUEST_PROMPT * pace.prompt_token_s + sizes.request_tokens * pace.token_s) / _TOGETHER
    a_hang_up = _SHORT_PROMPT * pace.prompt_token_s + pace.token_s
    return (
        sizes.rounds * (sides + joining + turns + watched)
        + sizes.requests * a_request
        + sizes.hang_ups * a_hang_up
    )
