"""The inner graph of `paged_graph`: one sequence's attention, run for each row of a step.

Knows the names of the index tensors that `paged_graph` makes; knows nothing of the graph around them.

Rows go one after the other through a Scan, because the CPU's attention takes several new tokens on a cache for a single
sequence only; so no row pays for the length of another. The attention is GroupQueryAttention in its shared-cache mode:
it is given no new keys, and reads a cache that holds them already.

A row with a single new token, the usual case, is asked differently: the queries that share a key become so many
positions that all see everything, and keys and values are read once instead of once for each query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from onnx import GraphProto, NodeProto, TensorProto, helper

if TYPE_CHECKING:
    from phi_emulator.models.geometry import Geometry

__all__ = ["row_attention"]

# The tensors that are cut into rows, with what a row of each is.
_ROWS: Final[dict[str, tuple[int, list[int | None]]]] = {
    "read_at": (TensorProto.INT64, [None, None]),
    "row_blocks": (TensorProto.INT64, [1]),
    "row_start_at": (TensorProto.INT64, [1]),
    "row_end_at": (TensorProto.INT64, [1]),
    "row_last_key": (TensorProto.INT32, []),
    "row_length": (TensorProto.INT32, []),
    "row_pads": (TensorProto.INT64, [4]),
    "row_is_single": (TensorProto.BOOL, []),
}


class _Body:
    """A graph under construction whose names begin with `lead`."""

    def __init__(self, lead: str) -> None:
        self.lead = lead
        self.nodes: list[NodeProto] = []

    def add(self, op: str, *inputs: str, to: str, domain: str = "", **attributes: Any) -> str:
        name = f"{self.lead}/{to}"
        self.nodes.append(helper.make_node(op, inputs, [name], f"{name}/{op}", domain=domain, **attributes))
        return name

    def attend(self, query: str, cache: tuple[str, str, str, str], **attributes: Any) -> str:
        """Attention of `query` [1, positions, width] on a cache, which holds the query's own keys already."""
        keys, values, last, length = cache
        none = "/paged/no_new"
        return self.add(
            "GroupQueryAttention",
            query,
            none,
            none,
            keys,
            values,
            last,
            length,
            to="attention",
            domain="com.microsoft",
            do_rotary=0,
            local_window_size=-1,
            **attributes,
        )


def row_attention(
    lead: str, queries: str, keys: str, values: str, *, geometry: Geometry, scale: float
) -> NodeProto:
    """The node that maps `queries` [tokens, width] to [rows, tokens of the widest row, width].

    `keys` and `values` are the pool as [blocks * heads, block * head size].
    """
    element = TensorProto.FLOAT16 if geometry.half_cache else TensorProto.FLOAT
    body = _Body(f"{lead}/row")
    own = {name: f"{lead}/row/{name}" for name in _ROWS}
    blocks = body.add("Slice", own["read_at"], "/paged/[0]", own["row_blocks"], "/paged/[1]", to="blocks")

    def read(pool: str, name: str) -> str:
        gathered = body.add("Gather", pool, blocks, to=f"{name}_blocks", axis=0)
        return body.add("Reshape", gathered, "/paged/read_shape", to=name)

    last = body.add("Unsqueeze", own["row_last_key"], "/paged/[0]", to="last_key")
    cache = (read(keys, "keys"), read(values, "values"), last, own["row_length"])
    query = body.add("Slice", queries, own["row_start_at"], own["row_end_at"], "/paged/[0]", to="query")
    heads = {"scale": scale, "kv_num_heads": geometry.kv_heads}

    several = _Body(f"{lead}/several")
    mixed = several.attend(
        several.add("Unsqueeze", query, "/paged/[0]", to="query"), cache, num_heads=geometry.heads, **heads
    )
    mixed = several.add("Squeeze", mixed, "/paged/[0]", to="mixed")

    single = _Body(f"{lead}/single")
    grouped = single.add("Reshape", query, "/paged/one_by_group", to="by_head")
    grouped = single.add("Transpose", grouped, to="by_group", perm=[1, 0, 2])
    grouped = single.add("Reshape", grouped, "/paged/group_shape", to="query")
    grouped = single.attend(grouped, cache, num_heads=geometry.kv_heads, causal=0, **heads)
    grouped = single.add("Reshape", grouped, "/paged/group_by_one", to="mixed_by_group")
    grouped = single.add("Transpose", grouped, to="mixed_by_head", perm=[1, 0, 2])
    grouped = single.add("Reshape", grouped, "/paged/rows_shape", to="mixed")

    chosen = body.add(
        "If",
        own["row_is_single"],
        to="mixed",
        then_branch=_graph(single, grouped, element),
        else_branch=_graph(several, mixed, element),
    )
    padded = body.add("Pad", chosen, own["row_pads"], to="padded")
    inputs = [helper.make_tensor_value_info(own[name], kind, shape) for name, (kind, shape) in _ROWS.items()]
    graph = _graph(body, padded, element)
    graph.input.extend(inputs)
    return helper.make_node(
        "Scan",
        [f"/paged/{name}" for name in _ROWS],
        [f"{lead}/rows"],
        f"{lead}/rows/Scan",
        body=graph,
        num_scan_inputs=len(_ROWS),
    )


def _graph(body: _Body, output: str, element_type: int) -> GraphProto:
    info = helper.make_tensor_value_info(output, element_type, [None, None])
    return helper.make_graph(body.nodes, body.lead, [], [info])
