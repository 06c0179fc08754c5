"""Long RoPE: both rotary tables in one graph, and which of them turns a sequence.

Knows `step_indices`' tensors and the pool; knows nothing of layers, weights or who decides.

The two tables stand one behind the other, and a sequence of the longer one has its positions moved behind the shorter.
Whoever begins a sequence decides for all of it: an id beyond the vocabulary, `id + vocabulary`, at its head asks for
the longer table. So prefixes of the two are different to whoever compares ids, and none is taken for the other's.

Later steps don't see the head any more. It is remembered where the sequence's own blocks lead back to: in a layer of
the pool that nothing else uses, with a number for each token and head, at the first place of the first block.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto

from phi_emulator.models.graph.geometry import NotConvertibleError
from phi_emulator.models.graph.inner_graphs import constants_of
from phi_emulator.models.graph.step_indices import Steps

__all__ = ["MARK_WIDTH", "joined_tables", "mark_sequences"]

MARK_WIDTH: Final = 1
"""Numbers for each token and head in the layer that remembers."""

Table = np.ndarray[Any, Any]


def joined_tables(maker: onnx.NodeProto, context_length: int) -> tuple[list[Table], int | None]:
    """The tables, cosine and sine, that serve `context_length` positions, out of the operator that chooses them.

    With them the positions that the shorter of two reaches; `None` where it reaches all, and stands alone.

    Raises:
        NotConvertibleError: it doesn't choose between constants.
    """
    branches = [a.g for a in maker.attribute if a.type == onnx.AttributeProto.GRAPH]
    pairs = [constants_of(branch) for branch in branches]
    usable = sorted((pair for pair in pairs if pair is not None), key=lambda pair: len(pair[0]))
    if maker.op_type != "If" or len(usable) != 2:  # noqa: PLR2004
        raise NotConvertibleError(f"its rotary tables come from {maker.op_type!r}")
    short, long = usable
    if len(short[0]) >= context_length:
        return [np.ascontiguousarray(table[:context_length]) for table in short], None
    if len(long[0]) < context_length:
        raise NotConvertibleError(f"its rotary tables end before {context_length} tokens")
    joined = [np.concatenate([one, other[:context_length]]) for one, other in zip(short, long, strict=True)]
    return joined, len(short[0])


def mark_sequences(graph: Steps, short_positions: int, element: int) -> str:
    """Add what finds each sequence's table and remembers it, behind `step_indices`; where the tables are read.

    The ids without marks are `/paged/ids`. `element` is what the pool consists of.
    """
    c, s = graph.constant, graph.step
    vocabulary, layer = c("vocabulary", graph.geometry.vocabulary), graph.geometry.layers
    s("Mod", "input_ids", vocabulary, to="ids")
    head = s("Gather", "input_ids", "/paged/start", to="head")
    asks = graph.cast(s("GreaterOrEqual", head, vocabulary, to="asks"), TensorProto.INT64, to="asks_1")
    blocks = s("Slice", "/paged/table", "/paged/[0]", "/paged/[1]", "/paged/[1]", to="first_block")
    place = s("Pad", blocks, c("to_place", [0, 0, 0, 3]), to="mark_at")
    held = s("GatherND", f"past_key_values.{layer}.key", place, to="held")
    # Where nothing was remembered yet any number is found, and is not looked at.
    held = graph.cast(graph.cast(held, TensorProto.BOOL, to="held_any"), TensorProto.INT64, to="held_1")
    begins = s("Equal", "/paged/past", "/paged/0", to="sequence_begins")
    is_behind = s("Where", begins, asks, held, to="is_behind")
    mark = graph.cast(is_behind, element, to="mark")
    for name in ("key", "value"):
        graph.write(layer, name, place, mark)
    behind = s("Mul", is_behind, c("short_positions", short_positions), to="behind")
    behind = s("Gather", behind, "/paged/sequence", to="own_behind")
    return s("Unsqueeze", s("Add", "/paged/position", behind, to="turned"), "/paged/[0]", to="turned_ids")
