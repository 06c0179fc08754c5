"""Attention over a cache of 32-bit numbers, for `paged_graph`: the stock graph's own, sequence by sequence.

Knows the names of the index tensors that `step_indices` makes; knows nothing of the graph around them.

Rows go one after the other through a Scan, because the CPU's attention takes several new tokens on a cache for a single
sequence only; so no row pays for the length of another. The attention is GroupQueryAttention in its shared-cache mode:
it is given no new keys, and reads a cache that holds them already.

A row with a single new token, the usual case, is asked differently: the queries that share a key become so many
positions that all see everything, and keys and values are read once instead of once for each query.

Whatever its declared axes, a pool is laid out as [heads, blocks, block size, head size]. So one Gather yields [heads,
length, head size] without a transpose, and where a sequence's blocks follow one another, as the Engine gives them out
at first, it reads memory from front to back.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnx import NodeProto, TensorProto

from phi_emulator.models.graph.inner_graphs import Body, Inputs
from phi_emulator.models.graph.step_indices import Steps

__all__ = ["FloatCache"]

# The tensors that are cut into rows, with what a row of each is.
_ROWS: Final[Inputs] = {
    "read_at": (TensorProto.INT64, [None, None]),
    "row_blocks": (TensorProto.INT64, [1]),
    "row_start_at": (TensorProto.INT64, [1]),
    "row_end_at": (TensorProto.INT64, [1]),
    "row_last_key": (TensorProto.INT32, []),
    "row_length": (TensorProto.INT32, []),
    "row_pads": (TensorProto.INT64, [4]),
    "row_is_single": (TensorProto.BOOL, []),
}


class FloatCache:
    """Writes keys and values as they are, and reads them with GroupQueryAttention."""

    element: Final[int] = TensorProto.FLOAT

    def __init__(self, graph: Steps) -> None:
        self._graph = graph
        g = graph.geometry
        self.widths = {"key": g.head_size, "value": g.head_size}

    def prepare(self) -> None:
        """Add what all layers share, behind `step_indices`."""
        c, s, g = self._graph.constant, self._graph.step, self._graph.geometry
        group = g.heads // g.kv_heads
        # A row takes a block more than it fills, whatever stands there, because the attention takes a cache that is no
        # longer than the new tokens for an empty one.
        total, length = "/paged/row_total", "/paged/row_tokens"
        up = s("Add", total, c("size*2-1", 2 * g.block_size - 1), to="total_up")
        s("Unsqueeze", s("Div", up, "/paged/size", to="filled"), "/paged/[1]", to="row_blocks")
        last = s("Sub", total, "/paged/1", to="total-1")
        self._graph.cast(last, TensorProto.INT32, to="row_last_key")
        beyond = s("Add", total, "/paged/1", to="total+1")
        self._graph.cast(beyond, TensorProto.INT32, to="row_length")
        long_enough = s("Greater", total, c("group", group), to="is_long")
        s("And", s("Equal", length, "/paged/1", to="is_one"), long_enough, to="row_is_single")
        c("pool_view", [-1, g.block_size * g.head_size])
        c("kv_shape", [-1, g.kv_heads, g.head_size])
        c("read_shape", [1, g.kv_heads, -1, g.head_size])
        c("one_by_group", [g.kv_heads, group, g.head_size])
        c("group_by_one", [group, g.kv_heads, g.head_size])
        c("group_shape", [1, group, g.kv_heads * g.head_size])
        c("no_new", np.zeros((1, 0, g.kv_heads * g.head_size)), np.float32)

    def attend(self, layer: int, query: str, key: str, value: str, *, scale: float) -> str:
        """Write `key` and `value`, then mix values for `query`; all are [tokens, width].

        The mixtures are [rows, tokens of the widest row, width].
        """
        pools = [self._written(layer, name, tensor) for name, tensor in (("key", key), ("value", value))]
        rows = self._rows(f"/paged/layers.{layer}", query, pools, scale)
        self._graph.nodes.append(rows)
        return str(rows.output[0])

    def _written(self, layer: int, name: str, tensor: str) -> str:
        lead, s = f"layers.{layer}/{name}", self._graph.step
        heads = s("Reshape", tensor, "/paged/kv_shape", to=f"{lead}_heads")
        present = self._graph.write(layer, name, "/paged/write_at", heads)
        return s("Reshape", present, "/paged/pool_view", to=f"{lead}_view")

    def _rows(self, lead: str, queries: str, pools: list[str], scale: float) -> NodeProto:
        g = self._graph.geometry
        body = Body(f"{lead}/row", _ROWS)
        own = body.own
        blocks = body.add("Slice", own["read_at"], "/paged/[0]", own["row_blocks"], "/paged/[1]", to="blocks")
        ends = [body.add("Unsqueeze", own["row_last_key"], "/paged/[0]", to="last_key"), own["row_length"]]
        query = body.add("Slice", queries, own["row_start_at"], own["row_end_at"], "/paged/[0]", to="query")
        heads: dict[str, Any] = {"scale": scale, "kv_num_heads": g.kv_heads}

        several = Body(f"{lead}/several")
        mixed = several.add("Unsqueeze", query, "/paged/[0]", to="query")
        mixed = _attention(
            several, mixed, [*_read(several, pools, blocks), *ends], num_heads=g.heads, **heads
        )
        mixed = several.add("Squeeze", mixed, "/paged/[0]", to="mixed")

        single = Body(f"{lead}/single")
        grouped = single.add("Reshape", query, "/paged/one_by_group", to="by_head")
        grouped = single.add("Transpose", grouped, to="by_group", perm=[1, 0, 2])
        grouped = single.add("Reshape", grouped, "/paged/group_shape", to="query")
        cache = [*_read(single, pools, blocks), *ends]
        grouped = _attention(single, grouped, cache, num_heads=g.kv_heads, causal=0, **heads)
        grouped = single.add("Reshape", grouped, "/paged/group_by_one", to="mixed_by_group")
        grouped = single.add("Transpose", grouped, to="mixed_by_head", perm=[1, 0, 2])
        grouped = single.add("Reshape", grouped, "/paged/rows_shape", to="mixed")

        chosen = body.add(
            "If",
            own["row_is_single"],
            to="mixed",
            then_branch=single.graph(grouped, self.element, 2),
            else_branch=several.graph(mixed, self.element, 2),
        )
        padded = body.add("Pad", chosen, own["row_pads"], to="padded")
        return body.scan([f"/paged/{name}" for name in _ROWS], padded, self.element, 2, to=f"{lead}/rows")


def _read(body: Body, pools: list[str], blocks: str) -> list[str]:
    """Keys and values of `blocks` [heads, blocks], as [1, heads, length, head size]."""
    parts = zip(pools, ("keys", "values"), strict=True)
    gathered = [(body.add("Gather", pool, blocks, to=f"{name}_blocks", axis=0), name) for pool, name in parts]
    return [body.add("Reshape", tensor, "/paged/read_shape", to=name) for tensor, name in gathered]


def _attention(body: Body, query: str, cache: list[str], **attributes: Any) -> str:
    """Attention of `query` [1, positions, width] on a cache, which holds the query's own keys already.

    `cache` is keys and values [1, heads, room, head size], the last key that is read, and their number.
    """
    return body.add(
        "GroupQueryAttention",
        query,
        "/paged/no_new",
        "/paged/no_new",
        *cache,
        to="attention",
        domain="com.microsoft",
        do_rotary=0,
        local_window_size=-1,
        **attributes,
    )
