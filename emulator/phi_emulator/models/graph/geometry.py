"""The shape of a model, as its configuration tells it and as the graph's rewriting needs it.

Plain data: it must not know ONNX, which takes a moment to import and is needed once in a model's life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any, Final

__all__ = [
    "BYTE_BITS",
    "CODES",
    "FLOAT_BITS",
    "SHORT_POSITIONS",
    "Geometry",
    "NotConvertibleError",
    "block_step",
    "cached_layers",
    "head_bytes",
    "short_positions",
    "usual_bits",
]

FLOAT_BITS: Final = 32
"""Bits of a number in a cache that holds keys and values as the model makes them."""
BYTE_BITS: Final = 8
"""Bits of a number in a cache that holds them rounded."""
_BYTES_FROM: Final = 64 * 1024
"""Bytes of a token in 32 bits from which on a cache is kept in 8: there memory and speed count more than digits."""
CODES: Final = 2
"""Bytes for each token and head that a cache of 8 bits holds besides keys and values: the sizes of their steps."""

SHORT_POSITIONS: Final = "phi_emulator.short_positions"
"""The entry among a prepared folder's session options that says how far the shorter of two rotary tables reaches."""


class NotConvertibleError(Exception):
    """The model has parts that the rewrite doesn't know; the message names the first."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a model, and of the pool that its rewritten graph works on."""

    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context_length: int
    """Positions that are served. With long RoPE both rotary tables are, where the shorter doesn't reach them all."""
    block_size: int
    """Tokens in a block."""
    cache_bits: int = FLOAT_BITS
    """Bits that a number takes in the cache: 32, or 8."""

    @property
    def token_bytes(self) -> int:
        """Bytes that a token takes in the cache."""
        return self.layers * self.kv_heads * head_bytes(self.head_size, self.cache_bits)

    def whole_blocks(self, blocks: int) -> int:
        """The largest number of blocks, of at most `blocks`, that a pool can have."""
        step = block_step(self.kv_heads, self.head_size, self.cache_bits)
        return blocks // step * step


def short_positions(decoder: Mapping[str, Any]) -> int | None:
    """How far the shorter rotary table reaches, where both are served; `decoder` is of a folder's configuration."""
    entry = decoder.get("session_options", {}).get(SHORT_POSITIONS)
    return None if entry is None else int(entry)


def cached_layers(decoder: Mapping[str, Any]) -> int:
    """The layers that keep keys and values; beside two rotary tables one remembers which is whose, and takes little."""
    return int(decoder["num_hidden_layers"]) - (short_positions(decoder) is not None)


def usual_bits(layers: int, kv_heads: int, head_size: int) -> int:
    """The bits that a cache has unless others are asked for."""
    large = layers * kv_heads * head_bytes(head_size, FLOAT_BITS) >= _BYTES_FROM
    return BYTE_BITS if large else FLOAT_BITS


def head_bytes(head_size: int, cache_bits: int) -> int:
    """Bytes of a token's key and value for one head."""
    return 2 * head_size * cache_bits // 8 + (CODES if cache_bits == BYTE_BITS else 0)


def block_step(kv_heads: int, head_size: int, cache_bits: int = BYTE_BITS) -> int:
    """What the number of blocks in a pool must divide by.

    A pool of bytes is read in rows of a block's keys for one head, though the steps' sizes stand behind the keys.
    """
    return head_size // gcd(head_size, CODES * kv_heads) if cache_bits == BYTE_BITS else 1
