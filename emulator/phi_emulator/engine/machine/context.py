"""How many tokens of context are served, where a folder declares more than this machine's memory holds.

Knows sizes; must not know how a model is run. A cache that outgrows the memory gets the process killed by Linux without
a word, so what is served is decided before the model is loaded, and said.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Final, NamedTuple

from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.memory import LOADING, available_bytes, needed_bytes
from phi_emulator.models.genai_config import PoolSettings, Settings, pool_of
from phi_emulator.models.graph.geometry import block_step

__all__ = [
    "DEFAULT_CONTEXT",
    "USEFUL_CONTEXT",
    "ContextPlan",
    "check_use",
    "fitting_tokens",
    "lowered",
    "plan_context",
    "plan_pool",
]

DEFAULT_CONTEXT: Final = 8192
"""What is served of a larger context unless the user asks for more: at 256 KB a token, the real model's 131,072 would
take 34 GB."""
USEFUL_CONTEXT: Final = 2048
"""The least that is served because of too little memory: a short prompt, and the reasoning of a simple problem with its
answer. Below it nearly every answer would be cut off in its thoughts. Whoever asks for less gets it."""
_SHARE: Final = 0.8
"""How much of what is then left may become cache; activations and other programs take the rest."""
_SMALL: Final = 1_000_000_000
"""Below this no memory is asked about, as `check_memory` does it."""


_BLOCK: Final = 256
"""Tokens in a block, where a folder doesn't say; the model builder's own default."""


class ContextPlan(NamedTuple):
    """The context that is served, and the cache behind it."""

    served: int
    """Tokens of prompt and answer together, for one request."""
    tokens: int
    """Tokens that all running requests may hold together."""
    notes: tuple[str, ...]
    """What the user should read."""


def plan_context(
    folder: Path,
    settings: Settings,
    wanted: int | None,
    *,
    max_running: int,
    available: Callable[[], int] | None = None,
) -> ContextPlan:
    """Decide for a folder whose cache grows with its requests; `settings` is its `genai_config.json`.

    What the user wants is taken as it is: whether it can fit is `check_memory`'s to refuse.
    """
    declared = settings["model"]["context_length"]
    weights, a_token = needed_bytes(folder, settings)
    served, why = min(declared, wanted or DEFAULT_CONTEXT), "set --context"
    held = 2 * served
    if weights + a_token * held > _SMALL:
        there = (available or available_bytes)()
        fits = max(fitting_tokens(there, weights, a_token), 1) if a_token else held
        if wanted is None:
            check_use(fits, served, there, weights, a_token)
        if wanted is None and fits < served:
            served, why = fits, "more does not fit into this machine's memory"
        held = max(served, min(fits, max_running * served))
    return ContextPlan(served, held, lowered(declared, served, why))


def plan_pool(
    folder: Path,
    settings: Settings,
    wanted: int | None,
    *,
    max_running: int,
    available: Callable[[], int] | None = None,
    in_memory: bool = False,
    cache_bits: int | None = None,
) -> tuple[ContextPlan, PoolSettings]:
    """Decide for a folder whose cache is a pool of blocks; the plan, and the pool with its size.

    `cache_bits` are those of a number in the pool, where they are known. With `in_memory` the pool lies in this
    machine's memory, and not on a card, and is made no larger than what fits.

    The model builder leaves out the size of CUDA's pool, and GenAI then fills the card. What is not known can't be
    shared among requests, so such a pool gets the size that another folder's requests would be given.
    """
    declared = settings["model"]["context_length"]
    pool = copy(pool_of(settings))
    if pool is None:
        raise ValueError("the folder has no pool")
    if pool.get("num_blocks"):
        tokens, why = pool["num_blocks"] * pool["block_size"], "the folder's cache holds no more"
        weights, a_token = needed_bytes(folder, settings, cache_bits)
        if in_memory and weights + a_token * tokens > _SMALL:
            there = (available or available_bytes)()
            step = _block_step(settings, cache_bits)
            fits = fitting_tokens(there, weights, a_token)
            blocks = max(fits // pool["block_size"] // step, 1) * step
            check_use(blocks * pool["block_size"], min(declared, wanted or declared), there, weights, a_token)
            if blocks < pool["num_blocks"]:
                pool["num_blocks"] = blocks
                tokens, why = blocks * pool["block_size"], "more does not fit into this machine's memory"
        served = min(declared, wanted or declared, tokens)
        why = "set --context" if served < tokens else why
        return ContextPlan(served, tokens, lowered(declared, served, why)), pool
    plan = plan_context(
        folder, {**settings, "engine": {}}, wanted, max_running=max_running, available=available
    )
    pool.setdefault("block_size", _BLOCK)
    pool["num_blocks"] = -(-plan.tokens // pool["block_size"])
    return plan, pool


def fitting_tokens(there: int, weights: int, a_token: int) -> int:
    """Tokens of context that memory of so many bytes holds beside a model that is being loaded."""
    return int((there - LOADING * weights) * _SHARE) // a_token


def check_use(fits: int, served: int, there: int, weights: int, a_token: int) -> None:
    """Refuse a context that memory makes smaller than is of use.

    Raises:
        ModelLoadError: with the figures.
    """
    least = min(served, USEFUL_CONTEXT)
    if fits >= least:
        return
    needed = LOADING * weights + a_token * least / _SHARE
    raise ModelLoadError(
        f"to load the model takes {LOADING * weights / 1e9:.1f} GB of memory, and with a context of {least:,} tokens "
        f"{needed / 1e9:.1f} GB; {there / 1e9:.1f} GB are there: end other programs, or take a smaller model"
    )


def _block_step(settings: Settings, cache_bits: int | None) -> int:
    """What the number of a pool's blocks must divide by."""
    if cache_bits is None:
        return 1
    decoder = settings["model"]["decoder"]
    return block_step(decoder["num_key_value_heads"], decoder["head_size"], cache_bits)


def lowered(declared: int, served: int, why: str) -> tuple[str, ...]:
    """What is said of a context that is not served whole."""
    if served == declared:
        return ()
    return (f"{served} of the model's {declared} tokens of context are served ({why})",)
