"""The inner graph of `paged_graph`: one sequence's attention, run for each row of a step.

Knows the names of the index tensors that `paged_graph` makes; knows nothing of the graph around them.

Rows go one after the other through a Scan, because the CPU's attention takes several new tokens on a cache for a single
sequence only; so no row pays for the length of another. The attention is GroupQueryAttention in its shared-cache mode:
it is given no new keys, and reads a cache that holds them already.

A row with a single new token, the usual case, is asked differently: the queries that share a key become so many
positions that all see everything, and keys and values are read once instead of once for each query.

A long row of that kind is read in segments, which stay in the processor's own cache between being gathered and being
attended to. Each yields its mixture of values and the size of its softmax, and by these sizes the mixtures are mixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper

if TYPE_CHECKING:
    from phi_emulator.models.geometry import Geometry

__all__ = ["row_attention"]

_Inputs = Mapping[str, tuple[int, list[int | None]]]

# The tensors that are cut into rows, with what a row of each is.
_ROWS: Final[_Inputs] = {
    "read_at": (TensorProto.INT64, [None, None]),
    "row_blocks": (TensorProto.INT64, [1]),
    "row_start_at": (TensorProto.INT64, [1]),
    "row_end_at": (TensorProto.INT64, [1]),
    "row_last_key": (TensorProto.INT32, []),
    "row_length": (TensorProto.INT32, []),
    "row_pads": (TensorProto.INT64, [4]),
    "row_is_single": (TensorProto.BOOL, []),
}
# Those of a graph whose rows can grow long.
_SEGMENTS: Final[_Inputs] = {
    "segment_begin": (TensorProto.INT64, [1]),
    "segment_until": (TensorProto.INT64, [1]),
    "segment_last_key": (TensorProto.INT32, [1]),
    "segment_length": (TensorProto.INT32, [1]),
}
_LONG_ROWS: Final[_Inputs] = {
    "row_is_long": (TensorProto.BOOL, []),
    "row_segments": (TensorProto.INT64, [1]),
    **{f"row_{name}": (kind, [None, *shape]) for name, (kind, shape) in _SEGMENTS.items()},
}


class _Body:
    """A graph under construction whose names begin with `lead`."""

    def __init__(self, lead: str) -> None:
        self.lead = lead
        self.nodes: list[NodeProto] = []

    def add(self, op: str, *inputs: str, to: str, **attributes: Any) -> str:
        name = f"{self.lead}/{to}"
        self.nodes.append(helper.make_node(op, inputs, [name], f"{name}/{op}", **attributes))
        return name

    def cast(self, tensor: str, element: int, *, to: str) -> str:
        name = f"{self.lead}/{to}"
        self.nodes.append(helper.make_node("Cast", [tensor], [name], f"{name}/Cast", to=element))
        return name

    def attend(self, query: str, cache: Sequence[str], *, scores: str = "", **attributes: Any) -> str:
        """Attention of `query` [1, positions, width] on a cache, which holds the query's own keys already.

        `cache` is keys and values [1, heads, room, head size], the last key that is read, and their number. `scores`
        names what is made before the softmax: [1, heads, positions, keys].
        """
        name, none = f"{self.lead}/attention", "/paged/no_new"
        keys, values, last, length = cache
        if scores:
            attributes["qk_output"] = 1
        self.nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                [query, none, none, keys, values, last, length],
                [name, "", "", scores] if scores else [name],
                f"{name}/GroupQueryAttention",
                domain="com.microsoft",
                do_rotary=0,
                local_window_size=-1,
                **attributes,
            )
        )
        return name

    def read(self, pools: tuple[str, str], blocks: str) -> list[str]:
        """Keys and values of `blocks` [heads, blocks], as [1, heads, length, head size]."""
        return [
            self.add(
                "Reshape",
                self.add("Gather", pool, blocks, to=f"{name}_blocks", axis=0),
                "/paged/read_shape",
                to=name,
            )
            for pool, name in zip(pools, ("keys", "values"), strict=True)
        ]


def row_attention(
    lead: str, queries: str, keys: str, values: str, *, geometry: Geometry, scale: float
) -> NodeProto:
    """The node that maps `queries` [tokens, width] to [rows, tokens of the widest row, width].

    `keys` and `values` are the pool as [heads * blocks, block * head size].
    """
    element = TensorProto.FLOAT16 if geometry.half_cache else TensorProto.FLOAT
    rows = {**_ROWS, **(_LONG_ROWS if geometry.has_long else {})}
    body = _Body(f"{lead}/row")
    own = _names(body.lead, rows)
    pools = (keys, values)
    blocks = body.add("Slice", own["read_at"], "/paged/[0]", own["row_blocks"], "/paged/[1]", to="blocks")
    ends = (body.add("Unsqueeze", own["row_last_key"], "/paged/[0]", to="last_key"), own["row_length"])
    query = body.add("Slice", queries, own["row_start_at"], own["row_end_at"], "/paged/[0]", to="query")
    heads: dict[str, Any] = {"scale": scale, "kv_num_heads": geometry.kv_heads}
    shared: dict[str, Any] = {**heads, "num_heads": geometry.kv_heads, "causal": 0}

    several = _Body(f"{lead}/several")
    mixed = several.attend(
        several.add("Unsqueeze", query, "/paged/[0]", to="query"),
        [*several.read(pools, blocks), *ends],
        num_heads=geometry.heads,
        **heads,
    )
    mixed = several.add("Squeeze", mixed, "/paged/[0]", to="mixed")

    single = _Body(f"{lead}/single")
    grouped = single.add("Reshape", query, "/paged/one_by_group", to="by_head")
    grouped = single.add("Transpose", grouped, to="by_group", perm=[1, 0, 2])
    grouped = single.add("Reshape", grouped, "/paged/group_shape", to="query")
    if geometry.has_long:
        short, long = _Body(f"{lead}/short"), _Body(f"{lead}/long")
        at_once = short.attend(grouped, [*short.read(pools, blocks), *ends], **shared)
        in_segments = _in_segments(long, grouped, pools, blocks, own, element, shared)
        grouped = single.add(
            "If",
            own["row_is_long"],
            to="attention",
            then_branch=_graph(long, [_info(in_segments, element, 3)]),
            else_branch=_graph(short, [_info(at_once, element, 3)]),
        )
    else:
        grouped = single.attend(grouped, [*single.read(pools, blocks), *ends], **shared)
    grouped = single.add("Reshape", grouped, "/paged/group_by_one", to="mixed_by_group")
    grouped = single.add("Transpose", grouped, to="mixed_by_head", perm=[1, 0, 2])
    grouped = single.add("Reshape", grouped, "/paged/rows_shape", to="mixed")

    chosen = body.add(
        "If",
        own["row_is_single"],
        to="mixed",
        then_branch=_graph(single, [_info(grouped, element, 2)]),
        else_branch=_graph(several, [_info(mixed, element, 2)]),
    )
    padded = body.add("Pad", chosen, own["row_pads"], to="padded")
    return helper.make_node(
        "Scan",
        [f"/paged/{name}" for name in rows],
        [f"{lead}/rows"],
        f"{lead}/rows/Scan",
        body=_graph(body, [_info(padded, element, 2)], rows),
        num_scan_inputs=len(rows),
    )


def _in_segments(  # noqa: PLR0917 - what its only caller has at hand
    long: _Body,
    query: str,
    pools: tuple[str, str],
    blocks: str,
    own: Mapping[str, str],
    element: int,
    heads: Mapping[str, Any],
) -> str:
    """Attention of `query` [1, group, width] on `blocks`, segment by segment."""
    body = _Body(f"{long.lead}/segment")
    part = _names(body.lead, _SEGMENTS)
    some = body.add("Slice", blocks, part["segment_begin"], part["segment_until"], "/paged/[1]", to="blocks")
    cache = [*body.read(pools, some), part["segment_last_key"], part["segment_length"]]
    scores = f"{body.lead}/scores"
    mixed = body.attend(query, cache, scores=scores, **heads)
    # Any score, less the logarithm of its probability, is the logarithm of the sum that the softmax divides by.
    scores = body.cast(scores, TensorProto.FLOAT, to="scores_32")
    likely = body.add("LogSoftmax", scores, to="likely", axis=-1)
    sizes = body.add("Sub", scores, likely, to="sizes")
    size = body.add("Gather", sizes, "/paged/[0]", to="size", axis=-1)

    parts = [
        long.add("Slice", own[f"row_{name}"], "/paged/[0]", own["row_segments"], to=f"{name}s")
        for name in _SEGMENTS
    ]
    outputs = [f"{long.lead}/mixtures", f"{long.lead}/sizes"]
    long.nodes.append(
        helper.make_node(
            "Scan",
            parts,
            outputs,
            f"{outputs[0]}/Scan",
            body=_graph(body, [_info(mixed, element, 3), _info(size, TensorProto.FLOAT, 4)], _SEGMENTS),
            num_scan_inputs=len(parts),
        )
    )
    # Sizes come as [segments, 1, heads, group, 1], mixtures as [segments, 1, group, width].
    shares = long.add("Softmax", outputs[1], to="shares", axis=0)
    shares = long.add("Transpose", shares, to="shares_by_position", perm=[0, 1, 3, 2, 4])
    mixtures = long.cast(outputs[0], TensorProto.FLOAT, to="mixtures_32")
    mixtures = long.add("Reshape", mixtures, "/paged/mixture_shape", to="mixtures_by_head")
    mixed = long.add("Mul", mixtures, shares, to="shared")
    mixed = long.add("ReduceSum", mixed, "/paged/[0]", to="mixed_by_head", keepdims=0)
    mixed = long.add("Reshape", mixed, "/paged/group_shape", to="mixed_32")
    return long.cast(mixed, element, to="mixed")


def _names(lead: str, inputs: _Inputs) -> dict[str, str]:
    return {name: f"{lead}/{name}" for name in inputs}


def _info(name: str, element: int, rank: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, element, [None] * rank)


def _graph(body: _Body, outputs: Sequence[ValueInfoProto], inputs: _Inputs | None = None) -> GraphProto:
    infos = [
        helper.make_tensor_value_info(f"{body.lead}/{name}", kind, shape)
        for name, (kind, shape) in (inputs or {}).items()
    ]
    return helper.make_graph(body.nodes, body.lead, infos, outputs)
