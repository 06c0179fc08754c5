"""Attention over a cache of 8-bit numbers, for `paged_graph`: a quarter of the memory, and the faster the longer.

Knows the names of the index tensors that `step_indices` makes; knows nothing of the graph around them.

A token's key and its value are kept, head by head, as whole steps of 2 ** (code / 8), the smallest of which the largest
number takes at most 127; each code is a byte too:

    key = 2 ** (code / 8) * (byte - 128)        value = 2 ** (code / 8) * byte

Steps go from 2 ** -16 to 2 ** 15.8: heads whose largest number is below 0.002 lose digits, and those above 7 million
are cut.

Queries and probabilities become whole numbers as well, queries of two digits and probabilities of three, and each digit
is a row in a product of bytes. What they lose is little beside what the cache does. No digit has more than 7 bits,
because the products of processors without VNNI add two of them in 16: 2 * 127 * 127 and 2 * 255 * 63 just fit.

Sums of whole numbers don't depend on their order: neither where a sequence's blocks lie nor what runs beside it changes
a digit of its attention.

A pool is laid out as [heads, blocks, block size, head size], whatever its declared axes. Behind the keys stand the
codes, as [heads, 2, blocks, block size]: first the keys', then the values'.

Rows go one after the other through a Scan, and their heads through another, in groups so small that what is gathered of
a group stays in the processor's cache. Short rows have one group.
"""

from __future__ import annotations

from math import log, log2
from typing import Any, Final

import numpy as np
from onnx import NodeProto, TensorProto, helper

from phi_emulator.models.graph.geometry import CODES, NotConvertibleError
from phi_emulator.models.graph.inner_graphs import Body, Inputs
from phi_emulator.models.graph.step_indices import Steps, unravelled

__all__ = ["ByteCache"]

_FLOAT, _INT8, _UINT8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8
_MOST: Final = 127
"""Steps that the largest number takes at most."""
_OCTAVE: Final = 8
"""Codes for each doubling of the step."""
_CODES: Final = (-128, 126.5)
"""Between these a code is, before it is rounded up."""
_OFFSET: Final = 128
"""What keys' bytes are moved by: one factor of a product has no sign."""
_QUERY: Final = (63, 126)
"""A query's largest first digit, and how many of the second digit make one of the first: it lies between -63 and 63."""
_DIGITS: Final = 3
"""Of a probability: beside a first token that takes nearly all, thousands of small ones still count."""
_LONGEST: Final = (2**31 - 1) // (_MOST * _MOST)
"""Tokens that a row can have: so many of the largest products of bytes are the largest sum of 32 bits."""
_TINY: Final = 1e-30
_GROUP_BYTES: Final = 2**20
"""Of keys in a group of heads, at most."""

_SHAPES: Final = ("blocks", "query", "scale", "codes", "score", "digits")
# The tensors that are cut into rows, with what a row of each is.
_ROWS: Final[Inputs] = {
    "read_at": (TensorProto.INT64, [None, None]),
    "codes_at": (TensorProto.INT64, [None, None]),
    "row_blocks": (TensorProto.INT64, [1]),
    "row_keys": (TensorProto.INT64, [1]),
    "row_start_at": (TensorProto.INT64, [1]),
    "row_end_at": (TensorProto.INT64, [1]),
    "row_pads": (TensorProto.INT64, [4]),
    **{f"row_{name}_shape": (TensorProto.INT64, [None]) for name in _SHAPES},
}
# Those of a row that are cut into groups of heads.
_GROUPS: Final[Inputs] = {
    "blocks": (TensorProto.INT64, [None, None]),
    "query": (_INT8, [None, None, None]),
    "scale": (_FLOAT, [None, 1, None, None, 1]),
    "steps": (_FLOAT, [None, 2, 1, 1, None]),
}


class ByteCache:
    """Rounds keys and values to bytes, and attends to them by products of bytes.

    Raises:
        NotConvertibleError: the context is longer than the products' sums reach.
    """

    element: Final[int] = _INT8

    def __init__(self, graph: Steps) -> None:
        self._graph = graph
        g = graph.geometry
        if g.context_length > _LONGEST:
            raise NotConvertibleError(
                f"a cache of 8 bits takes {_LONGEST} tokens at most, and {g.context_length} are asked for: lower "
                "`--context`, or set `--cache-bits 32`"
            )
        self.widths = {"key": g.head_size + CODES, "value": g.head_size}

    def prepare(self) -> None:
        """Add what all layers share, behind `step_indices`."""
        self._constants()
        self._written_at()
        self._read_at()

    def attend(self, layer: int, query: str, key: str, value: str, *, scale: float) -> str:
        """Write `key` and `value`, then mix values for `query`; all are [tokens, width].

        The mixtures are [rows, tokens of the widest row, width].
        """
        lead = f"layers.{layer}/cache"
        pools = self._write(lead, layer, key, value)
        digits, sizes = self._query(lead, query, scale)
        rows = self._rows(f"/paged/{lead}", digits, sizes, pools)
        self._graph.nodes.append(rows)
        return str(rows.output[0])

    # What all layers share.

    def _constants(self) -> None:
        c, g = self._graph.constant, self._graph.geometry
        kv, size = g.kv_heads, g.head_size
        c("pool_view", [-1, g.block_size * size])
        c("codes_view", [-1, g.block_size])
        c("kv_shape", [-1, CODES * kv, size])
        c("flat_shape", [0, -1])
        c("query_shape", [-1, 1, kv, g.heads // kv, size])
        c("query_rows_shape", [kv, -1, size])
        c("keys_shape", [0, -1, size])
        c("mixed_shape", [0, _DIGITS, g.heads // kv, -1, size])
        c("heads_shape", [kv, g.heads // kv, -1, size])
        c("[4]", [4])
        c("[1,1]", [1, 1])
        c("[kv,kv]", [kv, kv])
        c("second", _QUERY[1], np.int32)
        c("key_offset", _OFFSET, np.uint8)
        c("offsets", np.repeat([_OFFSET, 0], kv).reshape(1, -1, 1), np.float32)
        lowest, highest = (_MOST * 2 ** (code / _OCTAVE) for code in _CODES)
        c("smallest", lowest, np.float32)
        c("largest", highest, np.float32)
        c("code_factor", _OCTAVE / log(2), np.float32)
        c("code_of_most", _OCTAVE * log2(_MOST), np.float32)
        c("code_log", log(2) / _OCTAVE, np.float32)
        c("most", _MOST, np.float32)
        c("-most", -_MOST, np.float32)
        c("1/most", 1 / _MOST, np.float32)
        c("tiny", _TINY, np.float32)
        c("query_first", _QUERY[0], np.float32)
        c("query_second", _QUERY[1], np.float32)
        c("weights", (1 / _MOST ** np.arange(_DIGITS)).reshape(-1, 1, 1, 1), np.float32)
        c("seen", 0, np.float32)
        c("unseen", -np.inf, np.float32)

    def _written_at(self) -> None:
        """Where a token's key and codes go: [T, heads * (head size + 2), 4]."""
        c, s, g = self._graph.constant, self._graph.step, self._graph.geometry
        kv, size, width = g.kv_heads, g.head_size, self.widths["key"]
        tokens, there = "/paged/pool_tokens", "/paged/there_c"
        bytes_a_head = s("Mul", tokens, c("head_size", size), to="key_head_bytes")
        head = s(
            "Mul", c("key_head", np.repeat(np.arange(kv), size).reshape(1, -1)), bytes_a_head, to="key_start"
        )
        head = s("Add", head, c("key_byte", np.tile(np.arange(size), kv).reshape(1, -1)), to="key_bytes")
        keys = s("Add", s("Mul", there, "/paged/head_size", to="key_token"), head, to="keys_to")
        # Codes come with the keys' of all heads first.
        row = np.arange(CODES * kv) % kv * CODES + np.arange(CODES * kv) // kv
        row_start = s("Mul", c("code_row", row.reshape(1, -1)), tokens, to="code_row_start")
        behind = s("Mul", bytes_a_head, "/paged/kv", to="codes_start")
        codes = s("Add", there, s("Add", row_start, behind, to="code_start"), to="codes_to")
        strides = {"slot*kv*width": g.block_size * kv * width, "kv*width": kv * width, "width": width}
        unravelled(self._graph, s("Concat", keys, codes, to="bytes_to", axis=1), strides, to="write_bytes_at")

    def _read_at(self) -> None:
        """Where rows read, and in which groups of heads."""
        c, s, g = self._graph.constant, self._graph.step, self._graph.geometry
        kv, group, size, axis1 = g.kv_heads, g.heads // g.kv_heads, g.head_size, "/paged/[1]"
        first = s("Mul", "/paged/pool_blocks", c("kv*head_size", kv * size), to="codes_from")
        code_rows = c("code_rows", np.arange(CODES * kv).reshape(1, -1, 1))
        rows = s(
            "Add", s("Mul", code_rows, "/paged/pool_blocks", to="code_row_blocks"), first, to="code_rows_from"
        )
        s("Add", "/paged/read_blocks", rows, to="codes_at")
        up = s("Add", "/paged/row_total", c("size-1", g.block_size - 1), to="total_up")
        blocks = s("Unsqueeze", s("Div", up, "/paged/size", to="filled"), axis1, to="row_blocks")
        keys = s("Mul", blocks, "/paged/size", to="row_keys")
        count = s("ReduceMax", keys, to="most_keys", keepdims=0)
        s("Range", "/paged/0", count, "/paged/1", to="all_keys")
        divisors = [d for d in range(1, kv + 1) if kv % d == 0]
        limits = c("group_limits", np.array([divisors]) * _GROUP_BYTES // (kv * size))
        large = s("Greater", keys, limits, to="group_is_large")
        which = s(
            "ReduceSum",
            self._graph.cast(large, TensorProto.INT64, to="large_1"),
            axis1,
            to="large",
            keepdims=1,
        )
        which = s("Min", which, c("last_divisor", len(divisors) - 1), to="group_number")
        groups = s("Gather", c("divisors", divisors), which, to="groups", axis=0)
        heads = s("Div", "/paged/kv", groups, to="group_heads")
        nothing = s("Mul", groups, "/paged/0", to="group_0")

        def shape(name: str, *parts: str | list[int]) -> None:
            columns = [
                part
                if isinstance(part, str)
                else s("Add", nothing, c(f"{name}_{number}", [part]), to=f"{name}_part_{number}")
                for number, part in enumerate(parts)
            ]
            s("Concat", *columns, to=f"row_{name}_shape", axis=1)

        shape("blocks", groups, heads, [-1])
        shape("query", groups, heads, [size, -1])
        shape("scale", groups, heads, [1, group, -1, 1])
        shape("codes", groups, heads, [CODES, 1, 1, -1])
        shape("score", [0, 2, group, -1], keys)
        shape("digits", [0, -1], keys)

    # What each layer does.

    def _write(self, lead: str, layer: int, key: str, value: str) -> tuple[str, str, str]:
        """Keys, values and codes as they are read: rows of a block and head."""

        def s(op: str, *inputs: str, to: str, **more: Any) -> str:
            return self._graph.step(op, *inputs, to=f"{lead}/{to}", **more)

        both = s("Reshape", s("Concat", key, value, to="both", axis=1), "/paged/kv_shape", to="both_by_head")
        largest = self._largest(both, 2, to=f"{lead}/largest")
        largest = s("Clip", largest, "/paged/smallest", "/paged/largest", to="clipped")
        # Not Log, which rounds the last numbers of a tensor otherwise than those before them.
        axes, attributes = self._axes(2)
        logarithm = s("ReduceLogSum", largest, *axes, to="log", keepdims=1, **attributes)
        exact = s("Mul", logarithm, "/paged/code_factor", to="code_and")
        code = s("Ceil", s("Sub", exact, "/paged/code_of_most", to="exact_code"), to="code")
        steps = s("Exp", s("Mul", code, "/paged/code_log", to="step_log"), to="step")
        whole = s("Round", s("Div", both, steps, to="steps"), to="whole")
        whole = s("Clip", whole, "/paged/-most", "/paged/most", to="whole_clipped")
        whole = s("Add", whole, "/paged/offsets", to="moved")
        whole = self._graph.cast(whole, TensorProto.INT32, to=f"{lead}/moved_32")
        whole = self._graph.cast(whole, _INT8, to=f"{lead}/bytes")  # which drops all but the last 8 bits
        parts = [f"/paged/{lead}/key_bytes", f"/paged/{lead}/value_bytes"]
        split = helper.make_node("Split", [whole, "/paged/[kv,kv]"], parts, f"{parts[0]}/Split", axis=1)
        self._graph.nodes.append(split)
        keys = s("Reshape", parts[0], "/paged/flat_shape", to="key_flat")
        codes = s(
            "Reshape",
            self._graph.cast(code, _INT8, to=f"{lead}/code_byte"),
            "/paged/flat_shape",
            to="code_flat",
        )
        pool = self._graph.write(
            layer, "key", "/paged/write_bytes_at", s("Concat", keys, codes, to="key_and_code", axis=1)
        )
        values = self._graph.write(layer, "value", "/paged/write_at", parts[1])
        return (
            s("Reshape", pool, "/paged/pool_view", to="key_view"),
            s("Reshape", values, "/paged/pool_view", to="value_view"),
            s("Reshape", pool, "/paged/codes_view", to="code_view"),
        )

    def _query(self, lead: str, query: str, scale: float) -> tuple[str, str]:
        """The two digits of each query, [T, 2, heads, group, head size], and what the second counts."""

        def s(op: str, *inputs: str, to: str, **more: Any) -> str:
            return self._graph.step(op, *inputs, to=f"{lead}/{to}", **more)

        query = s("Reshape", query, "/paged/query_shape", to="query_by_head")
        largest = s(
            "Max", self._largest(query, 4, to=f"{lead}/query_largest"), "/paged/tiny", to="query_most"
        )
        exact = s("Div", s("Mul", query, "/paged/query_first", to="query_wide"), largest, to="query_exact")
        first = s("Round", exact, to="query_1")
        rest = s("Mul", s("Sub", exact, first, to="query_rest"), "/paged/query_second", to="query_rest_wide")
        digits = s("Concat", first, s("Round", rest, to="query_2"), to="query_digits", axis=1)
        unit = self._graph.constant(f"{lead}/query_scale", scale / (_QUERY[0] * _QUERY[1]), np.float32)
        return self._graph.cast(digits, _INT8, to=f"{lead}/query_bytes"), s(
            "Mul", largest, unit, to="query_unit"
        )

    def _largest(self, tensor: str, axis: int, *, to: str) -> str:
        size = self._graph.step("Abs", tensor, to=f"{to}_of")
        axes, attributes = self._axes(axis)
        return self._graph.step("ReduceMax", size, *axes, to=to, keepdims=1, **attributes)

    def _axes(self, axis: int) -> tuple[list[str], dict[str, Any]]:
        """The axis of a ReduceMax, which became an input with operators of version 18."""
        return ([f"/paged/[{axis}]"], {}) if self._graph.opset >= 18 else ([], {"axes": [axis]})  # noqa: PLR2004

    def _rows(self, lead: str, query: str, units: str, pools: tuple[str, str, str]) -> NodeProto:
        """Row by row: its blocks, its queries and their sizes, what it sees, and the mixture of what it sees."""
        b = Body(f"{lead}/row", _ROWS)
        own, axis0 = b.own, "/paged/[0]"
        own_part = (own["row_start_at"], own["row_end_at"], axis0)
        blocks = b.add("Slice", own["read_at"], axis0, own["row_blocks"], "/paged/[1]", to="filled")
        blocks = b.add("Reshape", blocks, own["row_blocks_shape"], to="blocks")
        steps = b.add("Slice", own["codes_at"], axis0, own["row_blocks"], "/paged/[1]", to="codes_filled")
        steps = b.cast(b.add("Gather", pools[2], steps, to="codes", axis=0), _FLOAT, to="codes_32")
        steps = b.add("Exp", b.add("Mul", steps, "/paged/code_log", to="step_log"), to="step")
        steps = b.add("Reshape", steps, own["row_codes_shape"], to="steps")
        query = b.add("Slice", query, *own_part, to="query_own")
        # Twice, because the runtime moves whole heads fast, and then turns matrices fast.
        query = b.add("Transpose", query, to="query_by_head", perm=[2, 1, 3, 0, 4])
        query = b.add("Reshape", query, "/paged/query_rows_shape", to="query_rows")
        query = b.add("Transpose", query, to="query_columns", perm=[0, 2, 1])
        query = b.add("Reshape", query, own["row_query_shape"], to="query")
        scale = b.add("Slice", units, *own_part, to="unit_own")
        scale = b.add("Transpose", scale, to="unit_by_head", perm=[2, 1, 3, 0, 4])
        scale = b.add("Reshape", scale, own["row_scale_shape"], to="unit")
        position = b.add(
            "Unsqueeze",
            b.add("Slice", "/paged/position", *own_part, to="position"),
            "/paged/[1]",
            to="position_c",
        )
        keys = b.add("Slice", "/paged/all_keys", axis0, own["row_keys"], axis0, to="keys")
        mask = b.add("LessOrEqual", keys, position, to="is_seen")
        mask = b.add("Where", mask, "/paged/seen", "/paged/unseen", to="mask")
        group, output = self._group(lead, pools, mask, own)
        mixed = f"{b.lead}/mixed_by_group"
        b.nodes.append(group.scan([blocks, query, scale, steps], output, _FLOAT, 5, to=mixed))
        mixed = b.add("Reshape", mixed, "/paged/heads_shape", to="mixed_by_head")
        mixed = b.add("Transpose", mixed, to="mixed_by_token", perm=[2, 0, 1, 3])
        mixed = b.add("Reshape", mixed, "/paged/rows_shape", to="mixed")
        padded = b.add("Pad", mixed, own["row_pads"], to="padded")
        return b.scan([f"/paged/{name}" for name in _ROWS], padded, _FLOAT, 2, to=f"{lead}/rows")

    def _group(
        self, lead: str, pools: tuple[str, str, str], mask: str, row: dict[str, str]
    ) -> tuple[Body, str]:
        """A group of heads; axes are [heads, digits or 1, group, tokens, keys or head size]."""
        b = Body(f"{lead}/group", _GROUPS)
        own = b.own
        keys = b.add("Gather", pools[0], own["blocks"], to="key_blocks", axis=0)
        keys = b.cast(b.add("Reshape", keys, "/paged/keys_shape", to="key_bytes"), _UINT8, to="keys")
        score = b.add("MatMulInteger", keys, own["query"], "/paged/key_offset", to="products")
        score = b.add("Transpose", score, to="products_by_query", perm=[0, 2, 1])
        score = b.add("Reshape", score, row["row_score_shape"], to="products_by_digit")
        first, second = b.add_all("Split", score, "/paged/[1,1]", to=["products_1", "products_2"], axis=1)
        score = b.add(
            "Add", b.add("Mul", first, "/paged/second", to="products_wide"), second, to="score_whole"
        )
        score = b.add("Mul", b.cast(score, _FLOAT, to="score_32"), own["scale"], to="score_scaled")
        of_both = ["key_steps", "value_steps"]
        key_steps, value_steps = b.add_all("Split", own["steps"], "/paged/[1,1]", to=of_both, axis=1)
        score = b.add("Add", b.add("Mul", score, key_steps, to="scores"), mask, to="scores_seen")
        share = b.add("Mul", b.add("Softmax", score, to="probability", axis=-1), value_steps, to="share")
        axes, attributes = self._axes(4)
        most = b.add("ReduceMax", share, *axes, to="share_most", keepdims=1, **attributes)
        unit = b.add("Mul", most, "/paged/1/most", to="share_unit")
        rest = b.add("Div", share, unit, to="rest_1")
        digits = [b.cast(rest, _UINT8, to="digit_1")]
        for number in range(2, _DIGITS + 1):
            left = b.add(
                "Sub", rest, b.cast(digits[-1], _FLOAT, to=f"digit_{number - 1}_32"), to=f"left_{number}"
            )
            rest = b.add("Mul", left, "/paged/most", to=f"rest_{number}")
            if number == _DIGITS:  # or thousands of small ones would each lose half of this digit's unit
                rest = b.add("Round", rest, to="rest_rounded")
            digits.append(b.cast(rest, _UINT8, to=f"digit_{number}"))
        share = b.add("Concat", *digits, to="digits", axis=1)
        share = b.add("Reshape", share, row["row_digits_shape"], to="digits_flat")
        values = b.add("Gather", pools[1], own["blocks"], to="value_blocks", axis=0)
        values = b.add("Reshape", values, "/paged/keys_shape", to="values")
        mixed = b.cast(b.add("MatMulInteger", share, values, to="mixed_whole"), _FLOAT, to="mixed_32")
        mixed = b.add("Reshape", mixed, "/paged/mixed_shape", to="mixed_by_digit")
        mixed = b.add("Mul", mixed, "/paged/weights", to="mixed_weighted")
        mixed = b.add("ReduceSum", mixed, "/paged/[1]", to="mixed_sum", keepdims=1)
        return b, b.add("Mul", mixed, unit, to="mixed")
