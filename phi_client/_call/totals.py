"""Adding up what was used, and what that costs.

It must not know what is added up, nor where prices come from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from phi_client.contract.answers import Usage

__all__ = ["Price", "Prices", "add_usage", "cost_of"]

_TOKENS_PER_PRICE: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a million tokens, in any currency: of the prompt's, and of the completion's with its reasoning."""

    prompt: float
    completion: float


Prices = Price | Mapping[str, Price]
"""One price for all, or prices by the name of the model as answers give it."""


def add_usage(parts: Iterable[Usage | None]) -> Usage | None:
    """The sum of what is known; `None` when nothing is, as a detail is that one of them does not tell."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return Usage(
        prompt_tokens=sum(part.prompt_tokens for part in known),
        completion_tokens=sum(part.completion_tokens for part in known),
        total_tokens=sum(part.total_tokens for part in known),
        reasoning_tokens=_sum_of_all([part.reasoning_tokens for part in known]),
        cached_tokens=_sum_of_all([part.cached_tokens for part in known]),
    )


def cost_of(usage: Usage | None, model: str | None, prices: Prices | None) -> float | None:
    """What `usage` costs; `None` when the usage or the model's price is not known."""
    price = prices.get(model or "") if isinstance(prices, Mapping) else prices
    if usage is None or price is None:
        return None
    total = usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion
    return total / _TOKENS_PER_PRICE


def _sum_of_all(counts: list[int | None]) -> int | None:
    """The sum; `None` when one of them was not told."""
    told = [count for count in counts if count is not None]
    return sum(told) if len(told) == len(counts) else None
