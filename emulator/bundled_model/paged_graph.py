"""Rewrite a stock CPU int4 graph into the packed, paged form that GenAI's dynamic Engine runs.

The model builder refuses paged attention on CPU, and the CPU runtime has no kernel for it; but the Engine itself only
asks for a graph with the right inputs. So each GroupQueryAttention of the stock graph is replaced by standard
operators that read and write a pool of cache blocks. Weights are untouched. This gives joining at any step, a prefix
cache across requests, and a seed for each request.

Covers graphs with one rotary table (context up to the original positions); long RoPE is refused.

Inputs, `T` tokens of `B` sequences laid end to end:
    input_ids [T] · cumulative_sequence_lengths [B+1] · past_sequence_lengths [B] · block_table [B, blocks]
    past_key_values.N.key/value [blocks in the pool, block size, key/value heads, head size], bound in place to present.N
Output: logits [B, vocabulary], of each sequence's last token.

Inside a block the cache is laid out head by head, so one Gather yields [B, heads, length, head size] without a transpose.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["write_paged_model"]

MASKED = -1e30


class _Rewrite:
    def __init__(self, model: onnx.ModelProto, config: dict[str, Any], block_size: int) -> None:
        decoder = config["model"]["decoder"]
        self.graph = model.graph
        self.layers: int = decoder["num_hidden_layers"]
        self.heads: int = decoder["num_attention_heads"]
        self.kv_heads: int = decoder["num_key_value_heads"]
        self.head_size: int = decoder["head_size"]
        self.vocabulary: int = config["model"]["vocab_size"]
        self.block_size = block_size
        self.nodes: list[onnx.NodeProto] = []

    def constant(self, name: str, value: object, dtype: type = np.int64) -> str:
        name = f"/paged/{name}"
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: object) -> str:
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=f"{output}/{op}", domain=domain, **attributes)
        )
        return output

    def step(self, op: str, *inputs: str, to: str, domain: str = "", **attributes: object) -> str:
        return self.node(op, list(inputs), f"/paged/{to}", domain, **attributes)

    def indices(self) -> None:
        """Per-step index tensors that all layers share."""
        c, s = self.constant, self.step
        size, kv = self.block_size, self.kv_heads
        zero, one, axis0, axis1, axis2 = c("0", 0), c("1", 1), c("[0]", [0]), c("[1]", [1]), c("[2]", [2])
        last, most = c("[-1]", [-1]), c("[most]", [2**62])
        ends = self.node("Cast", ["cumulative_sequence_lengths"], "/paged/cumulative", to=TensorProto.INT64)
        past = self.node("Cast", ["past_sequence_lengths"], "/paged/past", to=TensorProto.INT64)
        table_raw = self.node("Cast", ["block_table"], "/paged/table_raw", to=TensorProto.INT64)
        table = s("Max", table_raw, zero, to="table")  # unused entries are negative; they are masked later
        start = s("Slice", ends, axis0, last, axis0, to="start")
        end = s("Slice", ends, axis1, most, axis0, to="end")
        # Which sequence a token belongs to, and its position there.
        count = s("Squeeze", s("Shape", "input_ids", to="token_shape"), to="token_count")
        tokens = s("Range", zero, count, one, to="tokens")
        passed = s(
            "GreaterOrEqual",
            s("Unsqueeze", tokens, axis1, to="tokens_c"),
            s("Unsqueeze", end, axis0, to="end_r"),
            to="passed",
        )
        passed = self.node("Cast", [passed], "/paged/passed_int", to=TensorProto.INT64)
        row = s("ReduceSum", passed, axis1, to="row", keepdims=0)
        offset = s("Sub", tokens, s("Gather", start, row, to="row_start"), to="offset")
        position = s("Add", s("Gather", past, row, to="row_past"), offset, to="position")
        s("Unsqueeze", position, axis0, to="position_ids")
        # Lengths: new tokens in each row, tokens in all, and the widest of both.
        length = s("Sub", end, start, to="length")
        total = s("Add", past, length, to="total")
        widest = s("ReduceMax", length, axis0, to="widest", keepdims=1)
        longest = s("ReduceMax", total, axis0, to="longest", keepdims=1)
        blocks = s(
            "Div", s("Add", longest, c("size-1", [size - 1]), to="longest_up"), c("size", [size]), to="blocks"
        )
        span = s("Mul", blocks, "/paged/size", to="span")
        # Where keys and values are read: [B, heads, blocks] into the pool seen as [blocks * heads,
        # block * head size].
        used = s("Slice", table, axis0, blocks, axis1, to="used_table")
        heads = c("heads", np.arange(kv).reshape(1, kv, 1))
        s(
            "Add",
            s("Unsqueeze", s("Mul", used, c("kv", kv), to="used_head"), axis1, to="used_head3"),
            heads,
            to="read_at",
        )
        # Where they are written: [T, heads, 3], the pool's own axes, addressed head by head inside a block.
        column = s("Div", position, c("size0", size), to="column")
        slot = s("Sub", position, s("Mul", column, "/paged/size0", to="column_start"), to="slot")
        pair = s(
            "Concat",
            s("Unsqueeze", row, axis1, to="row_c"),
            s("Unsqueeze", column, axis1, to="column_c"),
            to="pair",
            axis=1,
        )
        block = s("GatherND", table, pair, to="block")
        flat = s(
            "Add",
            s("Unsqueeze", slot, axis1, to="slot_c"),
            c("head_start", (np.arange(kv) * size).reshape(1, kv)),
            to="flat",
        )
        major = s("Div", flat, "/paged/kv", to="major")
        minor = s("Sub", flat, s("Mul", major, "/paged/kv", to="major_start"), to="minor")
        block_h = s(
            "Add", s("Unsqueeze", block, axis1, to="block_c"), c("no_heads", np.zeros((1, kv))), to="block_h"
        )
        parts = [
            s("Unsqueeze", part, axis2, to=f"write_{i}") for i, part in enumerate((block_h, major, minor))
        ]
        s("Concat", *parts, to="write_at", axis=2)
        # Queries are padded to the widest row and taken back: [B, widest] token indices, and their
        # inverse [T].
        steps = s(
            "Unsqueeze",
            s("Range", zero, s("Squeeze", widest, to="widest0"), one, to="steps"),
            axis0,
            to="steps_r",
        )
        most_step = s("Unsqueeze", s("Sub", length, one, to="length-1"), axis1, to="most_step")
        capped = s("Min", steps, most_step, to="capped")
        s("Add", capped, s("Unsqueeze", start, axis1, to="start_c"), to="pad_at")
        s("Add", s("Mul", row, "/paged/widest0", to="row_at"), offset, to="unpad_at")
        # Which keys a query sees [B, 1, 1, widest, span], and which values were ever written [B, 1, span, 1].
        query = s(
            "Unsqueeze",
            s("Add", capped, s("Unsqueeze", past, axis1, to="past_c"), to="query"),
            axis2,
            to="query_c",
        )
        keys = s("Range", zero, s("Squeeze", span, to="span0"), one, to="keys")
        seen = s("LessOrEqual", keys, query, to="seen")
        s("Unsqueeze", seen, c("[1,2]", [1, 2]), to="seen5")
        # The pool is not cleared: behind a row's end stands anything, and 0 times NaN is NaN. So what lies there is
        # replaced, not only weighted with nothing.
        written = s("Less", keys, s("Unsqueeze", total, axis1, to="total_c"), to="written")
        s("Unsqueeze", written, c("[1,3]", [1, 3]), to="written4")
        c("masked", MASKED, np.float32)
        c("nothing", 0.0, np.float32)
        s("Sub", end, one, to="last_token")
        # Shapes.
        group = self.heads // kv
        fixed = c("score_head", [0, kv, group])
        s("Concat", fixed, widest, span, to="score_shape", axis=0)
        s("Concat", c("product_head", [0, kv, -1]), span, to="product_shape", axis=0)
        c("pool_view", [-1, size * self.head_size])
        c("kv_shape", [-1, kv, self.head_size])
        c("read_shape", [0, kv, -1, self.head_size])
        c("query_shape", [0, 0, kv, group, self.head_size])
        c("query_flat", [0, 0, -1, self.head_size])
        c("output_shape", [0, kv, group, -1, self.head_size])
        c("output_flat", [-1, self.heads * self.head_size])
        c("split", [self.heads * self.head_size, kv * self.head_size, kv * self.head_size])

    def attention(self, node: onnx.NodeProto) -> None:
        """The replacement of one GroupQueryAttention."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        layer = int(node.name.split("layers.")[1].split("/")[0])
        packed, cos, sin, output = node.input[0], node.input[7], node.input[8], node.output[0]
        at = f"layers.{layer}"
        query, key, value = (f"/paged/{at}/{part}" for part in ("query", "key", "value"))
        self.nodes.append(
            helper.make_node(
                "Split", [packed, "/paged/split"], [query, key, value], name=f"/paged/{at}/Split", axis=-1
            )
        )

        def step(op: str, *inputs: str, to: str, domain: str = "", **more: object) -> str:
            return self.step(op, *inputs, to=f"{at}/{to}", domain=domain, **more)

        def rotated(tensor: str, heads: int, name: str) -> str:
            return step(
                "RotaryEmbedding",
                step("Unsqueeze", tensor, "/paged/[0]", to=f"{name}_row"),
                "/paged/position_ids",
                cos,
                sin,
                to=f"{name}_rotated",
                domain="com.microsoft",
                interleaved=attributes.get("rotary_interleaved", 0),
                num_heads=heads,
                rotary_embedding_dim=self.rotary_dim(cos),
            )

        def cached(tensor: str, name: str) -> str:
            """Write the new entries in place, then read each row's own."""
            # Straight from past to present, with nothing between, or the runtime copies the whole pool.
            present = self.node(
                "ScatterND",
                [f"past_key_values.{layer}.{name}", "/paged/write_at", tensor],
                f"present.{layer}.{name}",
            )
            view = step("Reshape", present, "/paged/pool_view", to=f"{name}_view")
            rows = step("Gather", view, "/paged/read_at", to=f"{name}_rows", axis=0)
            return step("Reshape", rows, "/paged/read_shape", to=f"{name}_read")

        keys = cached(
            step("Reshape", rotated(key, self.kv_heads, "key"), "/paged/kv_shape", to="key_heads"), "key"
        )
        values = cached(step("Reshape", value, "/paged/kv_shape", to="value_heads"), "value")
        flat = step("Squeeze", rotated(query, self.heads, "query"), "/paged/[0]", to="query_flat")
        padded = step("Gather", flat, "/paged/pad_at", to="query_padded", axis=0)
        grouped = step("Reshape", padded, "/paged/query_shape", to="query_grouped")
        grouped = step("Transpose", grouped, to="query_heads", perm=[0, 2, 3, 1, 4])
        grouped = step("Reshape", grouped, "/paged/query_flat", to="query_ready")
        scale = float(attributes.get("scale") or self.head_size**-0.5)
        scores = step(
            "FusedMatMul", grouped, keys, to="scores", domain="com.microsoft", transB=1, alpha=scale
        )
        scores = step("Reshape", scores, "/paged/score_shape", to="scores5")
        scores = step("Where", "/paged/seen5", scores, "/paged/masked", to="scores_masked")
        weights = step("Softmax", scores, to="weights5", axis=-1)
        weights = step("Reshape", weights, "/paged/product_shape", to="weights")
        values = step("Where", "/paged/written4", values, "/paged/nothing", to="values")
        mixed = step("MatMul", weights, values, to="mixed4")
        mixed = step("Reshape", mixed, "/paged/output_shape", to="mixed5")
        mixed = step("Transpose", mixed, to="mixed_rows", perm=[0, 3, 1, 2, 4])
        mixed = step("Reshape", mixed, "/paged/output_flat", to="mixed_flat")
        self.node("Gather", [mixed, "/paged/unpad_at"], output, axis=0)

    def rotary_dim(self, cos: str) -> int:
        table = next((t for t in self.graph.initializer if t.name == cos), None)
        if table is None:
            raise ValueError(
                f"the graph computes its rotary table {cos!r} (long RoPE): this rewrite takes one fixed table"
            )
        return 2 * int(table.dims[1])

    def run(self) -> None:
        stock = list(self.graph.node)
        self.indices()
        for node in stock:
            if node.name.startswith("/model/attn_mask_reformat"):
                continue
            if node.op_type == "GroupQueryAttention":
                self.attention(node)
                continue
            if node.name.startswith("/lm_head/MatMul"):
                node.input[0] = self.node(
                    "Gather", [node.input[0], "/paged/last_token"], "/paged/last_hidden", axis=0
                )
            self.nodes.append(node)
        del self.graph.node[:], self.graph.value_info[:], self.graph.input[:], self.graph.output[:]
        used = {name for node in self.nodes for name in node.input}
        self.graph.node.extend(
            n for n in self.nodes if n.op_type != "Constant" or used.intersection(n.output)
        )
        info, int32, float32 = helper.make_tensor_value_info, TensorProto.INT32, TensorProto.FLOAT
        self.graph.input.extend(
            [
                info("input_ids", TensorProto.INT64, ["num_tokens"]),
                info("cumulative_sequence_lengths", int32, ["batch_size_plus_1"]),
                info("past_sequence_lengths", int32, ["batch_size"]),
                info("block_table", int32, ["batch_size", "max_num_blocks"]),
            ]
        )
        # The first axis must be called batch_size, or the Engine expects a row for each token.
        self.graph.output.append(info("logits", float32, ["batch_size", self.vocabulary]))
        pool = ["num_blocks", self.block_size, self.kv_heads, self.head_size]
        for layer in range(self.layers):
            for name in ("key", "value"):
                self.graph.input.append(info(f"past_key_values.{layer}.{name}", float32, pool))
                self.graph.output.append(info(f"present.{layer}.{name}", float32, pool))


def write_paged_model(
    stock: Path, out: Path, *, block_size: int, num_blocks: int, max_batch_size: int, chunk_size: int
) -> None:
    """Write the paged form of the GenAI folder `stock` to `out`, with its weights inside `model.onnx.data`."""
    config = json.loads((stock / "genai_config.json").read_text(encoding="utf-8"))
    model = onnx.load(stock / "model.onnx", load_external_data=False)
    _Rewrite(model, config, block_size).run()
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(model, out / "model.onnx")
    decoder = config["model"]["decoder"]
    decoder["inputs"] = {
        name: name
        for name in ("input_ids", "block_table", "cumulative_sequence_lengths", "past_sequence_lengths")
    } | {"past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"}
    decoder.pop("sliding_window", None)
    config["engine"] = {
        "dynamic_batching": {
            "block_size": block_size,
            "num_blocks": num_blocks,
            "max_batch_size": max_batch_size,
            "max_scheduled_tokens": 256,
        }
    }
    config["search"]["chunk_size"] = chunk_size
    (out / "genai_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    for name in ("model.onnx.data", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(stock / name, out / name)
