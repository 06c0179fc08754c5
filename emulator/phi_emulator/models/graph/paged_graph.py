"""Rewrites a stock GenAI graph for the CPU into the packed, paged form that GenAI's dynamic Engine runs.

Knows ONNX graphs; knows nothing of folders or engines.

The model builder refuses paged attention on CPU, and the CPU runtime has no kernel for it; but the Engine itself only
asks for a graph with the right inputs. So each GroupQueryAttention, which works on a cache of its own, gives way to
operators that write into a pool of cache blocks, and then, sequence by sequence, gather its blocks and attend to them.
How a pool is laid out inside and how it is attended to is the business of `FloatCache` and `ByteCache`. Weights are
untouched.

Inputs, `T` tokens of `B` sequences laid end to end:
    input_ids [T] · cumulative_sequence_lengths [B+1] · past_sequence_lengths [B] · block_table [B, blocks]
    past_key_values.N.key/value [blocks, block size, key/value heads, width]: the pool, in place also present.N
Output: logits [T, vocabulary]; true for each sequence's last token, and for all tokens of one with at most eight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from phi_emulator.models.graph.byte_cache import ByteCache
from phi_emulator.models.graph.float_cache import FloatCache
from phi_emulator.models.graph.geometry import FLOAT_BITS, Geometry, NotConvertibleError
from phi_emulator.models.graph.inner_graphs import read_by
from phi_emulator.models.graph.step_indices import step_indices
from phi_emulator.models.graph.two_tables import MARK_WIDTH, joined_tables, mark_sequences

__all__ = ["rewrite_graph"]

_OLDEST_OPSET: Final = 13  # where axes became inputs
_CACHE_INPUT: Final = 3
_ROTARY_INPUTS: Final = slice(7, 9)
# What GroupQueryAttention may say of itself besides its heads, scale and rotary order, and still mean plain attention.
_NEUTRAL: Final = {"do_rotary": 1, "softcap": 0.0, "smooth_softmax": 0, "qk_output": 0}
_COPIED: Final = {"num_heads", "kv_num_heads", "scale", "rotary_interleaved", "local_window_size"}


def rewrite_graph(model: onnx.ModelProto, geometry: Geometry) -> int | None:
    """Rewrite `model` in place. Its weights may stay outside: they are not read.

    Returns how many positions the shorter of two rotary tables reaches, where both are served: longer sequences must
    be marked, and the pool has a layer more (see `two_tables`).

    Raises:
        NotConvertibleError: the graph is none that the model builder makes for the Phi-3 and Llama types.
    """
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise NotConvertibleError(f"its operators are of version {opset}, older than {_OLDEST_OPSET}")
    return _Rewrite(model.graph, geometry, opset).run()


class _Rewrite:
    def __init__(self, graph: onnx.GraphProto, geometry: Geometry, opset: int) -> None:
        self.graph = graph
        self.geometry = geometry
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.makers = {name: node for node in graph.node for name in node.output if name}
        self.short_positions: int | None = None
        self.position_ids = "/paged/position_ids"
        self.cache = FloatCache(self) if geometry.cache_bits == FLOAT_BITS else ByteCache(self)

    def run(self) -> int | None:
        attentions = [node for node in self.graph.node if node.op_type == "GroupQueryAttention"]
        layers = {self.layer(node): node for node in attentions}
        if len(attentions) != self.geometry.layers or len(layers) != self.geometry.layers:
            raise NotConvertibleError(
                f"it has {len(layers)} attentions of the known kind in {self.geometry.layers} layers"
            )
        rotary_dim = self.rotary_tables(attentions)
        step_indices(self)
        if self.short_positions is not None:
            self.position_ids = mark_sequences(self, self.short_positions, self.cache.element)
            for node in self.graph.node:
                node.input[:] = ["/paged/ids" if name == "input_ids" else name for name in node.input]
        self.cache.prepare()
        for node in self.graph.node:
            if node.op_type == "GroupQueryAttention":
                self.attention(node, self.layer(node), rotary_dim)
                continue
            if "logits" in node.output:
                self.head(node)
            else:
                self.nodes.append(node)
        self.declare()
        self.drop_unused()
        return self.short_positions

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
                self.position_ids,
                *node.input[_ROTARY_INPUTS],
                to=f"{name}_rotated",
                domain="com.microsoft",
                interleaved=attributes.get("rotary_interleaved", 0),
                num_heads=heads,
                rotary_embedding_dim=rotary_dim,
            )
            return step("Squeeze", done, "/paged/[0]", to=f"{name}_flat")

        scale = float(attributes.get("scale") or g.head_size**-0.5)
        rows = self.cache.attend(
            layer, rotated(query, g.heads, "query"), rotated(key, g.kv_heads, "key"), value, scale=scale
        )
        rows = step("Reshape", rows, "/paged/rows_shape", to="rows_flat")
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

    def write(self, layer: int, name: str, where: str, tensor: str) -> str:
        """Put `tensor` into a layer's pool of keys or values, at the indices `where`; the pool as it is then."""
        # Straight from past to present, with nothing between, or the runtime copies the whole pool.
        return self.node(
            "ScatterND", [f"past_key_values.{layer}.{name}", where, tensor], f"present.{layer}.{name}"
        )

    # The rotary tables.

    def rotary_tables(self, attentions: Iterable[onnx.NodeProto]) -> int:
        """Put the tables into the graph; return how many of a head's dimensions they turn."""
        pairs = {tuple(node.input[_ROTARY_INPUTS]) for node in attentions}
        if len(pairs) != 1 or len(next(iter(pairs))) != 2:  # noqa: PLR2004
            raise NotConvertibleError("its layers do not share one pair of rotary tables")
        names = next(iter(pairs))
        maker = self.makers.get(names[0])
        if maker is not None:
            self.choose_tables(maker)
        tables = [t for t in self.graph.initializer if t.name in names]
        if len(tables) != 2:  # noqa: PLR2004
            raise NotConvertibleError(f"its rotary tables {names[0]!r} are computed")
        if min(t.dims[0] for t in tables) < self.geometry.context_length:
            raise NotConvertibleError(f"its rotary tables end before {self.geometry.context_length} tokens")
        return 2 * int(tables[0].dims[1])

    def choose_tables(self, maker: onnx.NodeProto) -> None:
        """Long RoPE: the stock graph chooses for each step, and all its cache is made anew; here sequences do."""
        tables, self.short_positions = joined_tables(maker, self.geometry.context_length)
        for name, table in zip(maker.output, tables, strict=True):
            self.graph.initializer.append(numpy_helper.from_array(table, name))
        self.graph.node.remove(maker)
        for name in maker.output:
            self.makers.pop(name, None)

    # The head.

    def head(self, node: onnx.NodeProto) -> None:
        """Compute the logits of each row's last token, and give them to all tokens of the row.

        The Engine reads those of tokens that it samples after, and there the row ends.
        """
        node.input[0] = self.step("Gather", self.hidden(node), "/paged/last_token", to="last", axis=0)
        node.output[0] = "/paged/row_logits"
        self.nodes.append(node)
        self.node("Gather", ["/paged/row_logits", "/paged/row"], "logits", axis=0)

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
        self.constant("rows_shape", [-1, g.heads * g.head_size])
        self.constant("split", [g.heads * g.head_size, g.kv_heads * g.head_size, g.kv_heads * g.head_size])
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
        # Were the first axis called batch_size, the Engine would expect a row for each sequence, and take no drafts.
        self.graph.output.append(info("logits", TensorProto.FLOAT, ["num_tokens", g.vocabulary]))
        widths = [self.cache.widths] * g.layers
        if self.short_positions is not None:
            widths.append(dict.fromkeys(self.cache.widths, MARK_WIDTH))
        for layer, of_layer in enumerate(widths):
            for name, width in of_layer.items():
                pool: list[str | int | None] = ["num_blocks", g.block_size, g.kv_heads, width]
                self.graph.input.append(info(f"past_key_values.{layer}.{name}", self.cache.element, pool))
                self.graph.output.append(info(f"present.{layer}.{name}", self.cache.element, pool))

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
                needed |= read_by(node)
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
