"""How much of a prompt is read at a time: large chunks are quicker, small ones let others' answers go on meanwhile.

Knows tokens; must not know the native engine. That reads a prompt in chunks of one size, so while others run a prompt
is begun in small parts, each as long as what is read already and a little more: a part leaves its blocks in the prefix
cache, from where the next one takes them, and costs no more than a chunk of its size would.

    alone ──► the whole, in the Engine's chunks ──others join──► part, part, … ──alone, or little is left──► the rest
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from phi_emulator.engine.protocol import Sampling

__all__ = ["OF_A_PART", "PART", "KnownPrefixes", "Reading", "chunk_of"]

PART: Final = 16
"""Tokens of a prompt that are read in a step beside others: a block of the cache, which is all or nothing."""
OF_A_PART: Final = Sampling(1, temperature=0)
"""A part gives a token as well, which nobody wants."""


class Reading:
    """How far a prompt is read, which takes steps of `chunk` tokens unless parts are begun."""

    def __init__(self, prompt: Sequence[int], chunk: int, prefixes: KnownPrefixes) -> None:
        self.tokens = list(prompt)
        """Of the prompt, then of the answer."""
        self.length = len(prompt)
        self.part = 0
        """Where the part ends that is being read; 0 for the rest of the prompt."""
        self._chunk = chunk
        self._prefixes = prefixes
        self._known = self._read = prefixes.known(prompt)
        self._is_between = False  # the part is read, and nothing is begun
        self._cached: int | None = None  # before parts were read, which come from the cache as well

    def begin_next(self, *, alone: bool) -> int | None:
        """Where to end what is begun before the next step; `None` leaves what is being read."""
        in_parts = not alone and self._chunk > PART and self.length - self._read > PART
        if self._is_between or (in_parts and not self.part):
            self._is_between = False
            self.part = self._read + PART if in_parts else 0
            begun = self.part or self.length
        else:
            begun = None
        if not self.part:
            self._read += self._chunk
        return begun

    @property
    def is_cut(self) -> bool:
        """Whether the first part takes the place of the whole, of which something is read."""
        return self._cached is None and self.part > self._known + PART

    def note_cut(self, cached: int) -> None:
        """The whole was given up, of which `cached` tokens were in the cache."""
        self._cached = cached

    def note_part(self, usage: Any, *, has_ended: bool) -> None:
        """Something came of a part; `usage` is the Engine's, once it has ended."""
        if has_ended:
            self._cached = self.cached_of(usage.cached_prompt_tokens)
            self._read, self._is_between = self.part, True

    def cached_of(self, told: int) -> int:
        """What the cache had of the prompt before, where the Engine tells `told` of what was begun last."""
        return int(told) if self._cached is None else self._cached

    def add(self, token: int) -> None:
        """The prompt is read, and the answer has another token."""
        if len(self.tokens) == self.length:
            self._prefixes.note(self.tokens)
        self.tokens.append(token)

    def close(self, *, is_read: bool) -> None:
        """Nothing more is read; `is_read` tells whether the whole prompt was."""
        if is_read:  # but the answer's last token was never given to the model
            self._prefixes.note(self.tokens[: max(self.length, len(self.tokens) - 1)])


class KnownPrefixes:
    """What the Engine's prefix cache is likely to hold, which it doesn't tell before it has read a prompt.

    Where that is wrong, a step reads more or less than it should; the text is the same. It knows `most` blocks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def note(self, tokens: Sequence[int]) -> None:
        """All of these were read."""
        if not self._most:
            return
        for block in _blocks(tokens):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)

    def known(self, tokens: Sequence[int]) -> int:
        """How many tokens were read before, from the first on; the last one never counts, since it is read anew."""
        known = 0
        for block in _blocks(tokens[:-1] if self._most else ()):
            if block not in self._blocks:
                break
            known += PART
        return known


def chunk_of(settings: Mapping[str, Any], pool: Mapping[str, Any] | None) -> int:
    """Tokens of a prompt that the Engine reads in a step; 0 where parts would not be found in its cache."""
    has_parts = pool is not None and pool.get("prefix_caching", True) and pool["block_size"] == PART
    return int(settings["search"].get("chunk_size", 0)) if has_parts else 0


def _blocks(tokens: Sequence[int]) -> Iterator[int]:
    """A number for each whole block, which stands for all tokens from the first on."""
    before = 0
    for start in range(0, len(tokens) - PART + 1, PART):
        before = hash((before, *tokens[start : start + PART]))
        yield before
