"""The shape of a model, as its configuration tells it and as the graph's rewriting needs it.

Plain data: it must not know ONNX, which takes a moment to import and is needed once in a model's life.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Geometry", "NotConvertibleError"]


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
    """Positions that are served. With long RoPE it decides which of the two rotary tables holds for all of them."""
    block_size: int
    """Tokens in a block."""
    half_cache: bool
    """Keep keys and values in 16 bits, else in 32."""
    segment_blocks: int = 32
    """Blocks of a long sequence that are read at a time: so many that they stay in the processor's cache meanwhile."""
    long_from: int = 4096
    """Tokens from which on a sequence is long. Below, pieces cost more than they save."""
    in_order: bool = True
    """Read the blocks of a long sequence in the order of the pool, not as they were given out. Memory is then read from
    front to back, but the last digits depend on where the blocks lie."""

    @property
    def has_long(self) -> bool:
        """Whether sequences can grow long."""
        return self.context_length > self.long_from

    @property
    def token_bytes(self) -> int:
        """Bytes that a token takes in the cache."""
        return 2 * self.layers * self.kv_heads * self.head_size * (2 if self.half_cache else 4)
