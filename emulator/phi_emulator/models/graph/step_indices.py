"""The index tensors of a step, which all layers share: what is written where in the pool, and what each row reads.

Knows the pool's layout; knows nothing of layers or weights. A row is what is attended at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto

from phi_emulator.models.graph.geometry import Geometry

__all__ = ["MAX_DRAFTS", "Steps", "step_indices", "unravelled"]

MAX_DRAFTS: Final = 7
"""Drafts that the Engine takes behind a sequence's last token."""


class Steps(Protocol):
    """A graph under construction."""

    geometry: Geometry
    nodes: list[NodeProto]
    opset: int

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = ...) -> str: ...
    def step(self, op: str, *inputs: str, to: str, domain: str = "", **attributes: Any) -> str: ...
    def cast(self, tensor: str, element_type: int, *, to: str) -> str: ...
    def write(self, layer: int, name: str, where: str, tensor: str) -> str: ...


def step_indices(graph: Steps) -> None:
    """Add the index tensors to `graph`, before its layers."""
    c, s = graph.constant, graph.step
    size, kv = graph.geometry.block_size, graph.geometry.kv_heads
    zero, one, axis0, axis1 = c("0", 0), c("1", 1), c("[0]", [0]), c("[1]", [1])
    c("[2]", [2])
    last, most = c("[-1]", [-1]), c("[most]", [2**62])
    ends = graph.cast("cumulative_sequence_lengths", TensorProto.INT64, to="cumulative")
    past = graph.cast("past_sequence_lengths", TensorProto.INT64, to="past")
    start = s("Slice", ends, axis0, last, axis0, to="start")
    end = s("Slice", ends, axis1, most, axis0, to="end")
    # Which sequence a token belongs to, and its position there.
    count = s("Squeeze", s("Shape", "input_ids", to="token_shape"), to="token_count")
    tokens = s("Range", zero, count, one, to="tokens")
    tokens_c, end_r = s("Unsqueeze", tokens, axis1, to="tokens_c"), s("Unsqueeze", end, axis0, to="end_r")
    passed = s("GreaterOrEqual", tokens_c, end_r, to="passed")
    passed = graph.cast(passed, TensorProto.INT64, to="passed_count")
    sequence = s("ReduceSum", passed, axis1, to="sequence", keepdims=0)
    offset = s("Sub", tokens, s("Gather", start, sequence, to="own_start"), to="offset")
    position = s("Add", s("Gather", past, sequence, to="own_past"), offset, to="position")
    s("Unsqueeze", position, axis0, to="position_ids")
    # Where keys and values are written: [T, heads, 3], the pool's declared axes, for its place as it is laid out.
    table = graph.cast("block_table", TensorProto.INT64, to="table")
    column = s("Div", position, c("size", size), to="column")
    slot = s("Sub", position, s("Mul", column, "/paged/size", to="column_start"), to="slot")
    sequence_c = s("Unsqueeze", sequence, axis1, to="sequence_c")
    column_c = s("Unsqueeze", column, axis1, to="column_c")
    block = s("GatherND", table, s("Concat", sequence_c, column_c, to="pair", axis=1), to="block")
    pool = s("Shape", "past_key_values.0.key", to="pool_shape")
    pool = s("Slice", pool, axis0, axis1, to="pool_blocks")
    tokens_in_pool = s("Mul", pool, "/paged/size", to="pool_tokens")
    heads = s("Mul", c("heads_r", np.arange(kv).reshape(1, kv)), tokens_in_pool, to="head_starts")
    there = s("Add", s("Mul", block, "/paged/size", to="block_start"), slot, to="there")
    flat = s("Add", s("Unsqueeze", there, axis1, to="there_c"), heads, to="flat")
    unravelled(graph, flat, {"size*kv": size * kv, "kv": kv}, to="write_at")
    length = s("Gather", s("Sub", end, start, to="length"), sequence, to="own_length")
    _rows(
        graph, table=table, tokens=tokens, sequence=sequence, position=position, offset=offset, length=length
    )


def _rows(
    graph: Steps, *, table: str, tokens: str, sequence: str, position: str, offset: str, length: str
) -> None:
    """Cut the step into rows: what is attended at once, and has its logits computed for its last token.

    A sequence with few tokens, drafts behind the last one, gets a row for each: so every draft has its logits, and
    they are, to the last bit, those of a step without drafts. A longer one, a piece of a prompt, is a row as a
    whole: the head is the widest layer of all.
    """
    c, s = graph.constant, graph.step
    is_short = s("LessOrEqual", length, c("drafted", MAX_DRAFTS + 1), to="is_short")
    begins = s("Or", is_short, s("Equal", offset, "/paged/0", to="is_first"), to="begins")
    start = s("Squeeze", s("NonZero", begins, to="begins_at"), "/paged/[0]", to="row_start")
    count = s("Unsqueeze", "/paged/token_count", "/paged/[0]", to="token_count_r")
    others = s("Slice", start, "/paged/[1]", "/paged/[most]", "/paged/[0]", to="other_rows")
    end = s("Concat", others, count, to="row_end", axis=0)
    last = s("Sub", end, "/paged/1", to="last_token")
    begun = s("CumSum", graph.cast(begins, TensorProto.INT64, to="begins_1"), "/paged/0", to="begun")
    row = s("Sub", begun, "/paged/1", to="row")
    _row_indices(
        graph,
        table=s("Gather", table, s("Gather", sequence, start, to="row_sequence"), to="row_table"),
        row=row,
        offset=s("Sub", tokens, s("Gather", start, row, to="own_row_start"), to="row_offset"),
        start=start,
        end=end,
        length=s("Sub", end, start, to="row_tokens"),
    )
    s("Add", s("Gather", position, last, to="last_position"), "/paged/1", to="row_total")


def _row_indices(
    graph: Steps, *, table: str, row: str, offset: str, start: str, end: str, length: str
) -> None:
    """What each row's attention is told, whatever the cache; see `FloatCache` and `ByteCache`."""
    c, s = graph.constant, graph.step
    kv = graph.geometry.kv_heads
    zero, axis0, axis1 = "/paged/0", "/paged/[0]", "/paged/[1]"
    # Where keys and values are read: [B, heads, blocks] into the pool seen as [heads * blocks, block * head size]. A
    # block more than the longest row fills, for a cache that wants room. Table entries behind a row's end are negative.
    first = s("Slice", table, axis0, axis1, axis1, to="table_first")
    longer = s("Max", s("Concat", table, first, to="table_more", axis=1), zero, to="read_table")
    heads = s("Mul", c("heads", np.arange(kv).reshape(1, kv, 1)), "/paged/pool_blocks", to="read_heads")
    s("Add", s("Unsqueeze", longer, axis1, to="read_blocks"), heads, to="read_at")
    # Its tokens, and its padding to the row with most of them.
    s("Unsqueeze", start, axis1, to="row_start_at")
    s("Unsqueeze", end, axis1, to="row_end_at")
    widest = s("ReduceMax", length, to="widest", keepdims=0)
    missing = s("Unsqueeze", s("Sub", widest, length, to="missing"), axis1, to="missing_c")
    nothing = s("Mul", missing, zero, to="missing_0")
    s("Concat", nothing, nothing, missing, nothing, to="row_pads", axis=1)
    s("Add", s("Mul", row, widest, to="row_at"), offset, to="unpad_at")


def unravelled(graph: Steps, flat: str, strides: Mapping[str, int], *, to: str) -> str:
    """The places `flat` as one index for each axis, behind one another along a new last axis.

    `strides` are those of all axes but the last, whose index is what remains; their keys name them.
    """
    c, s = graph.constant, graph.step
    parts: list[str] = []
    rest = flat
    for number, (name, stride) in enumerate(strides.items()):
        index = s("Div", rest, c(name, stride), to=f"{to}_{number}")
        parts.append(index)
        rest = s(
            "Sub",
            rest,
            s("Mul", index, f"/paged/{name}", to=f"{to}_{number}_start"),
            to=f"{to}_{number}_rest",
        )
    parts = [s("Unsqueeze", part, "/paged/[2]", to=f"{part[7:]}_w") for part in (*parts, rest)]
    return s("Concat", *parts, to=to, axis=2)
