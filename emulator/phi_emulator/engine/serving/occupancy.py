"""What the sequences that run take of the cache, counted from their prompts and tokens. It must not know an engine.

A block holds the keys and values of so many tokens that follow one another from the first one on. Two sequences share
one where all tokens up to its end are the same, which are those of their prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from phi_emulator.engine.protocol import EngineInfo
from phi_emulator.engine.serving.bookkeeping import SequenceState
from phi_emulator.engine.serving.source import EngineView, InPlay

__all__ = ["view_of"]


def view_of(states: Sequence[SequenceState], info: EngineInfo) -> EngineView:
    """Who runs and who waits of these, and what they take."""
    size = max(info.block_size, 1)
    running = [one for one in states if one.is_running]
    waiting = [one for one in states if not one.is_running]
    # Where a block is one token there are none: each has a cache of its own.
    begun = [_prompt_blocks(one.prompt, size) if size > 1 else [] for one in running]
    counted = Counter(block for blocks in begun for block in blocks)
    in_play: list[InPlay] = []
    own = 0
    for state, blocks in zip(running, begun, strict=True):
        tokens = len(state.prompt) + state.progress.completion_tokens
        taken = -(-tokens // size)
        own += taken - len(blocks)
        shared = sum(counted[block] > 1 for block in blocks)
        in_play.append(InPlay(state.progress, state.sampling.max_tokens, taken, shared))
    in_play += [InPlay(one.progress, one.sampling.max_tokens, 0, 0) for one in waiting]
    return EngineView(
        tuple(in_play),
        block_tokens=size,
        blocks=info.num_blocks,
        blocks_in_use=own + len(counted),
        blocks_shared=sum(count > 1 for count in counted.values()),
    )


def _prompt_blocks(prompt: Sequence[int], size: int) -> list[int]:
    """A number for each block that a prompt fills, which stands for all tokens up to its end."""
    return list(_chained(prompt, size))


def _chained(prompt: Sequence[int], size: int) -> Iterator[int]:
    before = 0
    for end in range(size, len(prompt) + 1, size):
        before = hash((before, *prompt[end - size : end]))
        yield before
