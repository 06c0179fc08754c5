"""The index tensors of long sequences: in which order and in which pieces `row_attention` reads their blocks.

Knows the names of the index tensors that `paged_graph` makes for all sequences; knows nothing of the attention.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper

from phi_emulator.models.geometry import Geometry

__all__ = ["in_order", "segments"]


class Steps(Protocol):
    """A graph under construction."""

    geometry: Geometry
    nodes: list[NodeProto]

    def constant(self, name: str, value: npt.ArrayLike) -> str: ...
    def step(self, op: str, *inputs: str, to: str, **attributes: Any) -> str: ...
    def cast(self, tensor: str, element_type: int, *, to: str) -> str: ...


def in_order(graph: Steps, table: str, past: str) -> str:
    """`table` with the full blocks of long rows in the pool's order, so that they are read from front to back.

    Attention doesn't ask in which order keys stand that all queries see; those of this step keep theirs.
    """
    c, s = graph.constant, graph.step
    columns = s("Slice", s("Shape", table, to="table_shape"), "/paged/[1]", "/paged/[2]", to="table_columns")
    column = s("Range", "/paged/0", s("Squeeze", columns, to="column_count"), "/paged/1", to="columns")
    full = s("Div", past, "/paged/size", to="full")
    is_long = s("GreaterOrEqual", past, c("long_from", graph.geometry.long_from), to="is_ordered")
    full = s("Where", is_long, full, "/paged/0", to="full_ordered")
    is_full = s("Less", column, s("Unsqueeze", full, "/paged/[1]", to="full_c"), to="is_full")
    behind = s("Add", column, c("behind", 2**40), to="behind_all")
    key = s("Where", is_full, table, behind, to="order_key")
    names = ("/paged/order_keys", "/paged/order")
    graph.nodes.append(
        helper.make_node("TopK", [key, columns], names, name="/paged/TopK", axis=1, largest=0, sorted=1)
    )
    return s("GatherElements", table, names[1], to="table_in_order", axis=1)


def segments(graph: Steps, total: str) -> None:
    """The pieces that a long row is read in: [B, segments, 1], of which a row has `row_segments`.

    The last is longer by what remains, so none is too short for the attention.
    """
    c, s = graph.constant, graph.step
    axis1, axis2, blocks = "/paged/[1]", "/paged/[2]", graph.geometry.segment_blocks
    size = c("segment", blocks * graph.geometry.block_size)
    count = s("Div", total, size, to="segment_count")
    s("GreaterOrEqual", total, c("long_total", graph.geometry.long_from), to="row_is_long")
    count = s("Unsqueeze", s("Max", count, "/paged/1", to="segment_some"), axis1, to="row_segments")
    most = s("ReduceMax", count, to="segment_most", keepdims=0)
    each = s("Range", "/paged/0", most, "/paged/1", to="segment_each")
    last = s("Equal", each, s("Sub", count, "/paged/1", to="segment_last"), to="segment_is_last")
    begin = s("Mul", each, c("segment_blocks", blocks), to="segment_begin")
    until = s("Add", begin, "/paged/segment_blocks", to="segment_next")
    until = s("Where", last, "/paged/[most]", until, to="segment_until")
    passed = s("Mul", each, size, to="segment_passed")
    rest = s("Sub", s("Unsqueeze", total, axis1, to="total_c"), passed, to="segment_rest")
    length = s("Where", last, rest, size, to="segment_length")
    begin = s("Expand", begin, s("Shape", length, to="segment_shape"), to="segment_begins")
    s("Unsqueeze", begin, axis2, to="row_segment_begin")
    s("Unsqueeze", until, axis2, to="row_segment_until")
    length = s("Unsqueeze", length, axis2, to="segment_lengths")
    graph.cast(
        s("Sub", length, "/paged/1", to="segment_length-1"), TensorProto.INT32, to="row_segment_last_key"
    )
    graph.cast(length, TensorProto.INT32, to="row_segment_length")
