"""Rewrites a stock GenAI graph for the CPU into the packed, paged form that GenAI's dynamic Engine runs.

Knows ONNX graphs; knows nothing of folders or engines.

The model builder refuses paged attention on CPU, and the CPU runtime has no kernel for it; but the Engine itself only
asks for a graph with the right inputs. So each GroupQueryAttention, which works on a cache of its own, gives way to
operators that write into a pool of cache blocks, and then, sequence by sequence, gather its blocks and run the same
GroupQueryAttention on them. Weights are untouched, and so is the order of summation: the logits are the stock graph's.

Inputs, `T` tokens of `B` sequences laid end to end:
    input_ids [T] · cumulative_sequence_lengths [B+1] · past_sequence_lengths [B] · block_table [B, blocks]
    past_key_values.N.key/value [blocks, block size, key/value heads, head size]: the pool, in place also present.N
Output: logits [B, vocabulary], of each sequence's last token.

Whatever its declared axes, a pool is laid out as [heads, blocks, block size, head size]. So one Gather yields [heads,
length, head size] without a transpose, and where a sequence's blocks follow one another, as the Engine gives them out,
it reads memory from front to back: at 8,192 tokens that is twice as fast as a jump for each block and head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from phi_emulator.models.geometry import Geometry, NotConvertibleError
from phi_emulator.models.long_rows import in_order, segments
from phi_emulator.models.row_attention import row_attention

__all__ = ["rewrite_graph"]

_OLDEST_OPSET: Final = 13  # where axes became inputs
_CACHE_INPUT: Final = 3
_ROTARY_INPUTS: Final = slice(7, 9)
# What GroupQueryAttention may say of itself besides its heads, scale and rotary order, and still mean plain attention.
_NEUTRAL: Final = {"do_rotary": 1, "softcap": 0.0, "smooth_softmax": 0, "qk_output": 0}
_COPIED: Final = {"num_heads", "kv_num_heads", "scale", "rotary_interleaved", "local_window_size"}


def rewrite_graph(model: onnx.ModelProto, geometry: Geometry) -> None:
    """Rewrite `model` in place. Its weights may stay outside: they are not read.

    Raises:
        NotConvertibleError: the graph is none that the model builder makes for the Phi-3 and Llama types.
    """
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise NotConvertibleError(f"its operators are of version {opset}, older than {_OLDEST_OPSET}")
    _Rewrite(model.graph, geometry).run()


class _Rewrite:
    def __init__(self, graph: onnx.GraphProto, geometry: Geometry) -> None:
        self.graph = graph
        self.geometry = geometry
        self.cache_type = TensorProto.FLOAT16 if geometry.half_cache else TensorProto.FLOAT
        self.nodes: list[onnx.NodeProto] = []
        self.makers = {name: node for node in graph.node for name in node.output if name}

    def run(self) -> None:
        attentions = [node for node in self.graph.node if node.op_type == "GroupQueryAttention"]
        layers = {self.layer(node): node for node in attentions}
        if len(attentions) != self.geometry.layers or len(layers) != self.geometry.layers:
            raise NotConvertibleError(
                f"it has {len(layers)} attentions of the known kind in {self.geometry.layers} layers"
            )
        rotary_dim = self.rotary_tables(attentions)
        self.indices()
        for node in self.graph.node:
            if node.op_type == "GroupQueryAttention":
                self.attention(node, self.layer(node), rotary_dim)
                continue
            if "logits" in node.output:
                # Only each sequence's last token is asked for its logits: the head is the widest layer of all.
                node.input[0] = self.step("Gather", self.hidden(node), "/paged/last_token", to="last", axis=0)
            self.nodes.append(node)
        self.declare()
        self.drop_unused()

    # Per-step index tensors that all layers share.

    def indices(self) -> None:
        c, s = self.constant, self.step
        size, kv = self.geometry.block_size, self.geometry.kv_heads
        zero, one, axis0, axis1, axis2 = c("0", 0), c("1", 1), c("[0]", [0]), c("[1]", [1]), c("[2]", [2])
        last, most = c("[-1]", [-1]), c("[most]", [2**62])
        ends = self.cast("cumulative_sequence_lengths", TensorProto.INT64, to="cumulative")
        past = self.cast("past_sequence_lengths", TensorProto.INT64, to="past")
        start = s("Slice", ends, axis0, last, axis0, to="start")
        end = s("Slice", ends, axis1, most, axis0, to="end")
        # Which sequence a token belongs to, and its position there.
        count = s("Squeeze", s("Shape", "input_ids", to="token_shape"), to="token_count")
        tokens = s("Range", zero, count, one, to="tokens")
        tokens_c, end_r = s("Unsqueeze", tokens, axis1, to="tokens_c"), s("Unsqueeze", end, axis0, to="end_r")
        passed = s("GreaterOrEqual", tokens_c, end_r, to="passed")
        passed = self.cast(passed, TensorProto.INT64, to="passed_count")
        row = s("ReduceSum", passed, axis1, to="row", keepdims=0)
        offset = s("Sub", tokens, s("Gather", start, row, to="row_start"), to="offset")
        position = s("Add", s("Gather", past, row, to="row_past"), offset, to="position")
        s("Unsqueeze", position, axis0, to="position_ids")
        length = s("Sub", end, start, to="length")
        total = s("Add", past, length, to="total")
        # Where keys and values are written: [T, heads, 3], the pool's declared axes, for its place as it is laid out.
        table = self.cast("block_table", TensorProto.INT64, to="table")
        column = s("Div", position, c("size", size), to="column")
        slot = s("Sub", position, s("Mul", column, "/paged/size", to="column_start"), to="slot")
        row_c, column_c = s("Unsqueeze", row, axis1, to="row_c"), s("Unsqueeze", column, axis1, to="column_c")
        block = s("GatherND", table, s("Concat", row_c, column_c, to="pair", axis=1), to="block")
        pool = s("Shape", "past_key_values.0.key", to="pool_shape")
        pool = s("Slice", pool, axis0, axis1, to="pool_blocks")
        tokens_in_pool = s("Mul", pool, "/paged/size", to="pool_tokens")
        heads = s("Mul", c("heads_r", np.arange(kv).reshape(1, kv)), tokens_in_pool, to="head_starts")
        there = s("Add", s("Mul", block, "/paged/size", to="block_start"), slot, to="there")
        flat = s("Add", s("Unsqueeze", there, axis1, to="there_c"), heads, to="flat")
        major = s("Div", flat, c("size*kv", size * kv), to="major")
        inner = s("Sub", flat, s("Mul", major, "/paged/size*kv", to="major_start"), to="inner")
        middle = s("Div", inner, c("kv", kv), to="middle")
        minor = s("Sub", inner, s("Mul", middle, "/paged/kv", to="middle_start"), to="minor")
        parts = [s("Unsqueeze", part, axis2, to=f"{part[7:]}_w") for part in (major, middle, minor)]
        s("Concat", *parts, to="write_at", axis=2)
        self.row_indices(
            table=table, row=row, offset=offset, start=start, end=end, length=length, past=past, total=total
        )

    def row_indices(
        self, *, table: str, row: str, offset: str, start: str, end: str, length: str, past: str, total: str
    ) -> None:
        """What each row's attention is told; see `row_attention`."""
        c, s = self.constant, self.step
        size, kv = self.geometry.block_size, self.geometry.kv_heads
        zero, one, axis0, axis1 = "/paged/0", "/paged/1", "/paged/[0]", "/paged/[1]"
        # Where keys and values are read: [B, heads, blocks] into the pool seen as [heads * blocks, block * head size].
        # Each row takes a block more than it fills, whatever stands there, because the attention takes a cache that is
        # no longer than the new tokens for an empty one. Table entries behind a row's end are negative.
        if self.geometry.ordered:
            table = in_order(self, table, past)
        first = s("Slice", table, axis0, axis1, axis1, to="table_first")
        longer = s("Max", s("Concat", table, first, to="table_more", axis=1), zero, to="read_table")
        heads = s("Mul", c("heads", np.arange(kv).reshape(1, kv, 1)), "/paged/pool_blocks", to="read_heads")
        s("Add", s("Unsqueeze", longer, axis1, to="read_blocks"), heads, to="read_at")
        filled = s(
            "Div", s("Add", total, c("size*2-1", 2 * size - 1), to="total_up"), "/paged/size", to="filled"
        )
        s("Unsqueeze", filled, axis1, to="row_blocks")
        # Its tokens, its last key, its padding to the row with most tokens.
        s("Unsqueeze", start, axis1, to="row_start_at")
        s("Unsqueeze", end, axis1, to="row_end_at")
        self.cast(s("Sub", total, one, to="total-1"), TensorProto.INT32, to="row_last_key")
        self.cast(s("Add", total, one, to="total+1"), TensorProto.INT32, to="row_length")
        widest = s("ReduceMax", length, to="widest", keepdims=0)
        missing = s("Unsqueeze", s("Sub", widest, length, to="missing"), axis1, to="missing_c")
        nothing = s("Mul", missing, zero, to="missing_0")
        s("Concat", nothing, nothing, missing, nothing, to="row_pads", axis=1)
        group = c("group", self.geometry.heads // kv)
        long_enough = s("Greater", total, group, to="is_long")
        s("And", s("Equal", length, one, to="is_one"), long_enough, to="row_is_single")
        s("Add", s("Mul", row, widest, to="row_at"), offset, to="unpad_at")
        s("Sub", end, one, to="last_token")
        if self.geometry.segmented:
            segments(self, total)

    # The attentions.

    def layer(self, node: onnx.NodeProto) -> int:
        for layer in range(self.geometry.layers):
            if node.input[_CACHE_INPUT] == f"past_key_values.{layer}.key":
                return layer
        raise NotConvertibleError(f"its attention {node.name!r} reads the cache {node.input[_CACHE_INPUT]!r}")

    def attention(self, node: onnx.NodeProto, layer: int, rotary_dim: int) -> None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.check(node, attributes)
        g, lead = self.geometry, f"layers.{layer}"
        query, key, value = self.projections(node, lead)

        def step(op: str, *inputs: str, to: str, domain: str = "", **more: Any) -> str:
            return self.step(op, *inputs, to=f"{lead}/{to}", domain=domain, **more)

        def rotated(tensor: str, heads: int, name: str) -> str:
            row = step("Unsqueeze", tensor, "/paged/[0]", to=f"{name}_row")
            done = step(
                "RotaryEmbedding",
                row,
                "/paged/position_ids",
                *node.input[_ROTARY_INPUTS],
                to=f"{name}_rotated",
                domain="com.microsoft",
                interleaved=attributes.get("rotary_interleaved", 0),
                num_heads=heads,
                rotary_embedding_dim=rotary_dim,
            )
            return step("Squeeze", done, "/paged/[0]", to=f"{name}_flat")

        def in_cache(tensor: str, name: str) -> str:
            return self.cast(tensor, self.cache_type, to=f"{lead}/{name}_half") if g.half_cache else tensor

        def written(tensor: str, name: str) -> str:
            heads = step("Reshape", in_cache(tensor, name), "/paged/kv_shape", to=f"{name}_heads")
            # Straight from past to present, with nothing between, or the runtime copies the whole pool.
            past, present = f"past_key_values.{layer}.{name}", f"present.{layer}.{name}"
            self.node("ScatterND", [past, "/paged/write_at", heads], present)
            return step("Reshape", present, "/paged/pool_view", to=f"{name}_view")

        keys = written(rotated(key, g.kv_heads, "key"), "key")
        values = written(value, "value")
        queries = in_cache(rotated(query, g.heads, "query"), "query")
        scale = float(attributes.get("scale") or g.head_size**-0.5)
        scan = row_attention(f"/paged/{lead}", queries, keys, values, geometry=g, scale=scale)
        self.nodes.append(scan)
        rows = step("Reshape", scan.output[0], "/paged/rows_shape", to="rows_flat")
        if g.half_cache:
            rows = step("Gather", rows, "/paged/unpad_at", to="mixed", axis=0)
            self.node("Cast", [rows], node.output[0], to=TensorProto.FLOAT)
        else:
            self.node("Gather", [rows, "/paged/unpad_at"], node.output[0], axis=0)

    def check(self, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            if name not in _COPIED and value != _NEUTRAL.get(name, object()):
                raise NotConvertibleError(f"its attention has {name} {value!r}")
        if not attributes.get("do_rotary"):
            raise NotConvertibleError("its attention leaves the rotary embedding to other operators")
        window = attributes.get("local_window_size", -1)
        if 0 <= window < self.geometry.context_length:
            raise NotConvertibleError(f"its attention sees only {window} tokens back")
        if any(node.input[_ROTARY_INPUTS.stop :]) or (len(node.output) > 3 and any(node.output[3:])):  # noqa: PLR2004
            raise NotConvertibleError("its attention has inputs beyond the rotary tables")

    def projections(self, node: onnx.NodeProto, lead: str) -> tuple[str, str, str]:
        """Query, key and value, which the builder packs into one where it can."""
        packed, key, value = node.input[:3]
        if key and value:
            return packed, key, value
        names = tuple(f"/paged/{lead}/{part}" for part in ("query", "key", "value"))
        self.nodes.append(
            helper.make_node("Split", [packed, "/paged/split"], names, name=f"/paged/{lead}/Split", axis=-1)
        )
        return names[0], names[1], names[2]

    # The rotary tables.

    def rotary_tables(self, attentions: Iterable[onnx.NodeProto]) -> int:
        """Settle on one pair of tables for all positions; return how many of a head's dimensions they turn."""
        pairs = {tuple(node.input[_ROTARY_INPUTS]) for node in attentions}
        if len(pairs) != 1 or len(next(iter(pairs))) != 2:  # noqa: PLR2004
            raise NotConvertibleError("its layers do not share one pair of rotary tables")
        names = next(iter(pairs))
        maker = self.makers.get(names[0])
        if maker is not None:
            self.choose_tables(maker, names)
        tables = [t for t in self.graph.initializer if t.name in names]
        if len(tables) != 2:  # noqa: PLR2004
            raise NotConvertibleError(f"its rotary tables {names[0]!r} are computed")
        if min(t.dims[0] for t in tables) < self.geometry.context_length:
            raise NotConvertibleError(f"its rotary tables end before {self.geometry.context_length} tokens")
        return 2 * int(tables[0].dims[1])

    def choose_tables(self, maker: onnx.NodeProto, names: tuple[str, ...]) -> None:
        """Long RoPE: the stock graph takes the longer table once the whole sequence outgrows the shorter one.

        Sequences of all lengths share steps here, and cached keys outlive their sequence, so one pair must hold for
        all: the shorter where it reaches, else the longer.
        """
        branches = [a.g for a in maker.attribute if a.type == onnx.AttributeProto.GRAPH]
        pairs = [_constants(branch) for branch in branches]
        if maker.op_type != "If" or any(pair is None for pair in pairs):
            raise NotConvertibleError(f"its rotary tables come from {maker.op_type!r}")
        usable = sorted((pair for pair in pairs if pair is not None), key=lambda pair: len(pair[0]))
        reaching = [pair for pair in usable if len(pair[0]) >= self.geometry.context_length]
        for name, table in zip(maker.output, (reaching or usable[-1:])[0], strict=True):
            cut = np.ascontiguousarray(table[: self.geometry.context_length])
            self.graph.initializer.append(numpy_helper.from_array(cut, name))
        self.graph.node.remove(maker)
        for name in names:
            self.makers.pop(name, None)

    # The head.

    def hidden(self, head: onnx.NodeProto) -> str:
        """What goes into the head, for all tokens: a graph may choose the last one already."""
        if head.op_type not in ("MatMul", "MatMulNBits"):
            raise NotConvertibleError(f"its logits come from {head.op_type!r}, no product with weights")
        name = str(head.input[0])
        while (maker := self.makers.get(name)) is not None and maker.op_type in ("Gather", "Unsqueeze"):
            name = str(maker.input[0])
        return name

    # The whole.

    def declare(self) -> None:
        g, info, int32 = self.geometry, helper.make_tensor_value_info, TensorProto.INT32
        size = g.head_size
        self.constant("pool_view", [-1, g.block_size * size])
        self.constant("kv_shape", [-1, g.kv_heads, size])
        self.constant("read_shape", [1, g.kv_heads, -1, size])
        self.constant("rows_shape", [-1, g.heads * size])
        self.constant("split", [g.heads * size, g.kv_heads * size, g.kv_heads * size])
        self.constant("one_by_group", [g.kv_heads, g.heads // g.kv_heads, size])
        self.constant("group_by_one", [g.heads // g.kv_heads, g.kv_heads, size])
        self.constant("group_shape", [1, g.heads // g.kv_heads, g.kv_heads * size])
        self.constant("mixture_shape", [-1, 1, g.heads // g.kv_heads, g.kv_heads, size])
        dtype = np.float16 if g.half_cache else np.float32
        self.constant("no_new", np.zeros((1, 0, g.kv_heads * size)), dtype)
        for declared in (self.graph.value_info, self.graph.input, self.graph.output):
            del declared[:]
        self.graph.input.extend(
            [
                info("input_ids", TensorProto.INT64, ["num_tokens"]),
                info("cumulative_sequence_lengths", int32, ["batch_size_plus_1"]),
                info("past_sequence_lengths", int32, ["batch_size"]),
                info("block_table", int32, ["batch_size", "max_num_blocks"]),
            ]
        )
        # The first axis must be called batch_size, or the Engine expects a row for each token.
        self.graph.output.append(info("logits", TensorProto.FLOAT, ["batch_size", g.vocabulary]))
        pool: list[str | int | None] = ["num_blocks", g.block_size, g.kv_heads, size]
        for layer in range(g.layers):
            for name in ("key", "value"):
                self.graph.input.append(info(f"past_key_values.{layer}.{name}", self.cache_type, pool))
                self.graph.output.append(info(f"present.{layer}.{name}", self.cache_type, pool))

    def drop_unused(self) -> None:
        """Keep what the outputs need: the stock graph's mask, and what it was made of, is read no more.

        Raises:
            NotConvertibleError: something else still reads it.
        """
        needed = {output.name for output in self.graph.output}
        kept: list[onnx.NodeProto] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed |= _read_by(node)
        known = {i.name for i in self.graph.input} | {t.name for t in self.graph.initializer}
        known |= {name for node in kept for name in node.output}
        missing = sorted(needed - known - {""})
        if missing:
            raise NotConvertibleError(f"it reads {missing[0]!r} outside its attention")
        tables = [t for t in self.graph.initializer if t.name in needed]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(reversed(kept))
        self.graph.initializer.extend(tables)

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = np.int64) -> str:
        name = f"/paged/{name}"
        array = np.asarray(value, dtype=dtype)
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, inputs: Iterable[str], output: str, domain: str = "", **attributes: Any) -> str:
        name = f"{output}/{op}"
        self.nodes.append(
            helper.make_node(op, list(inputs), [output], name=name, domain=domain, **attributes)
        )
        return output

    def step(self, op: str, *inputs: str, to: str, domain: str = "", **attributes: Any) -> str:
        return self.node(op, inputs, f"/paged/{to}", domain, **attributes)

    def cast(self, tensor: str, element_type: int, *, to: str) -> str:
        return self.node("Cast", [tensor], f"/paged/{to}", to=element_type)


def _constants(branch: onnx.GraphProto) -> list[np.ndarray[Any, Any]] | None:
    """The values of a branch that only holds constants, in the order of its outputs."""
    values = {node.output[0]: node.attribute[0].t for node in branch.node if node.op_type == "Constant"}
    if len(values) != len(branch.node) or any(output.name not in values for output in branch.output):
        return None
    return [numpy_helper.to_array(values[output.name]) for output in branch.output]


def _read_by(node: onnx.NodeProto) -> set[str]:
    """What a node reads, and what its inner graphs read from around them."""
    read = set(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            inner = attribute.g
            own = {i.name for i in inner.input} | {name for n in inner.node for name in n.output}
            read |= set().union(*map(_read_by, inner.node)) - own
    return read
