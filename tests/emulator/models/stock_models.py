"""Small GenAI folders as onnxruntime-genai's model builder writes them for the CPU, with random weights.

The graphs have the builder's operators, names and joints, checked against real ones; building those takes torch, which
the tests must do without. The tokenizer is the bundled model's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from phi_emulator.models import resolve_model
from phi_emulator.models.graph.geometry import Geometry
from phi_emulator.models.graph.paged_graph import rewrite_graph

from tests.emulator.models.paged_pool import BLOCK as POOL_BLOCK

LAYERS, HEADS, KV_HEADS, HEAD_SIZE, INNER, BLOCK = 2, 4, 2, 64, 128, 32
WIDTH: Final = HEADS * HEAD_SIZE
VOCABULARY: Final = 1024
TOKENIZER: Final = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@dataclass(frozen=True)
class Stock:
    """What differs between stock models.

    `tables` are the ends of the rotary tables: one, or the shorter and the longer of long RoPE. Beside a shorter one of
    no positions the longer is taken for all.
    """

    type: str = "phi3"
    tables: tuple[int, ...] = (4096,)
    rotated: float = 0.75
    """The part of a head that is turned."""
    packed: bool = True
    """Whether query, key and value come from one product."""
    pruned: bool = False
    """Whether the graph itself makes only the last token's logits."""
    attention: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further attributes of the attention."""
    opset: int = 21
    accuracy_level: int = 0
    """The builder writes 4, int8 activations, which make a third digit's difference of a last bit's; 0 is exact."""


class _Builder:
    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        self.random = np.random.default_rng(16180)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def tensor(self, name: str, value: Any) -> str:
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> str:
        domain = "" if op in _STANDARD else "com.microsoft"
        self.nodes.append(
            helper.make_node(op, inputs, outputs, outputs[0] + "/" + op, domain=domain, **attributes)
        )
        return outputs[0]

    def product(self, name: str, source: str, inner: int, outer: int, output: str | None = None) -> str:
        """A layer of int4 weights."""
        blocks = inner // BLOCK
        weights = self.random.integers(0, 256, (outer, blocks, BLOCK // 2), dtype=np.uint8)
        scales = (self.random.uniform(0.5, 1.5, (outer, blocks)) / (4 * np.sqrt(inner))).astype(np.float32)
        inputs = [
            source,
            self.tensor(f"{name}.weight_Q4", weights),
            self.tensor(f"{name}.weight_scales", scales),
        ]
        return self.node(
            "MatMulNBits",
            inputs,
            [output or f"/{name}/output_0"],
            K=inner,
            N=outer,
            bits=4,
            block_size=BLOCK,
            accuracy_level=self.stock.accuracy_level,
        )

    def norm_weight(self, name: str) -> str:
        return self.tensor(f"{name}.weight", self.random.uniform(0.5, 1.5, WIDTH).astype(np.float32))

    def mask(self) -> tuple[str, str, str]:
        """What the attention is told of lengths: the last key of each row, and the longest row."""
        one = self.tensor("/constants/1", np.array([1]))
        total = self.node("ReduceSum", ["attention_mask", one], ["/mask/sum"], keepdims=0)
        last = self.node("Sub", [total, one], ["/mask/last"])
        last = self.node("Cast", [last], ["/mask/last_int32"], to=TensorProto.INT32)
        shape = self.node("Shape", ["attention_mask"], ["/mask/shape"])
        longest = self.node(
            "Gather", [shape, self.tensor("/constants/0-1", np.array(1))], ["/mask/longest"], axis=0
        )
        return last, self.node("Cast", [longest], ["/mask/longest_int32"], to=TensorProto.INT32), longest

    def rotary_tables(self, longest: str) -> None:
        half = int(HEAD_SIZE * self.stock.rotated) // 2
        turns = 10_000.0 ** (-np.arange(half) / half)
        # The long factors stretch the slower turns more.
        pairs = [
            (np.arange(end)[:, None] * turns / (1 + 7 * which * np.arange(half) / half))
            for which, end in enumerate(self.stock.tables)
        ]
        tables = [(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)) for angles in pairs]
        if len(tables) == 1:
            self.tensor("cos_cache", tables[0][0])
            self.tensor("sin_cache", tables[0][1])
            return

        def branch(kind: str, pair: Sequence[Any]) -> onnx.GraphProto:
            names = [f"{part}_cache_{kind}" for part in ("cos", "sin")]
            nodes = [
                helper.make_node("Constant", [], [name], value=numpy_helper.from_array(table))
                for name, table in zip(names, pair, strict=True)
            ]
            infos = [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, table.shape)
                for name, table in zip(names, pair, strict=True)
            ]
            return helper.make_graph(nodes, kind, [], infos)

        end = self.tensor("/constants/end", np.array(self.stock.tables[0]))
        self.nodes.append(helper.make_node("Greater", [longest, end], ["/rope/is_long"], "/rope/Greater"))
        self.nodes.append(
            helper.make_node(
                "If",
                ["/rope/is_long"],
                ["cos_cache", "sin_cache"],
                "/rope/If",
                then_branch=branch("large", tables[1]),
                else_branch=branch("small", tables[0]),
            )
        )

    def layer(
        self, index: int, hidden: str, skipped: str | None, lengths: tuple[str, str]
    ) -> tuple[str, str]:
        """One decoder layer; returns its contribution, and what skipped it."""
        name = f"model.layers.{index}"
        weight = self.norm_weight(f"{name}.input_layernorm")
        if skipped is None:
            normed = self.node(
                "SimplifiedLayerNormalization",
                [hidden, weight],
                [f"/{name}/norm"],
                epsilon=1e-5,
                axis=-1,
                stash_type=1,
            )
            skipped = hidden
        else:
            normed, skipped = self.skip(f"/{name}/norm", skipped, hidden, weight)
        widths = [WIDTH, KV_HEADS * HEAD_SIZE, KV_HEADS * HEAD_SIZE]
        if self.stock.packed:
            query = [self.product(f"{name}.attn.qkv_proj", normed, WIDTH, sum(widths)), "", ""]
        else:
            query = [
                self.product(f"{name}.attn.{part}_proj", normed, WIDTH, width)
                for part, width in zip("qkv", widths, strict=True)
            ]
        attended = self.node(
            "GroupQueryAttention",
            [
                *query,
                f"past_key_values.{index}.key",
                f"past_key_values.{index}.value",
                *lengths,
                "cos_cache",
                "sin_cache",
                "",
                "",
                "",
            ],
            [f"/{name}/attn", f"present.{index}.key", f"present.{index}.value"],
            **{
                "num_heads": HEADS,
                "kv_num_heads": KV_HEADS,
                "scale": HEAD_SIZE**-0.5,
                "local_window_size": -1,
                "softcap": 0.0,
                "do_rotary": 1,
                "rotary_interleaved": 0,
            }
            | self.stock.attention,
        )
        attended = self.product(f"{name}.attn.o_proj", attended, WIDTH, WIDTH)
        weight = self.norm_weight(f"{name}.post_attention_layernorm")
        normed, skipped = self.skip(f"/{name}/post_norm", skipped, attended, weight)
        gate = self.product(f"{name}.mlp.gate_proj", normed, WIDTH, INNER)
        up = self.product(f"{name}.mlp.up_proj", normed, WIDTH, INNER)
        open_ = self.node("Sigmoid", [gate], [f"/{name}/mlp/sigmoid"])
        gate = self.node("Mul", [gate, open_], [f"/{name}/mlp/gate"])
        inner = self.node("Mul", [gate, up], [f"/{name}/mlp/inner"])
        return self.product(f"{name}.mlp.down_proj", inner, INNER, WIDTH), skipped

    def skip(self, name: str, skipped: str, added: str, weight: str) -> tuple[str, str]:
        outputs = [name, "", "", f"{name}_sum"]
        self.node("SkipSimplifiedLayerNormalization", [skipped, added, weight], outputs, epsilon=1e-5)
        return name, outputs[3]

    def graph(self) -> onnx.ModelProto:
        last, longest_int32, longest = self.mask()
        self.rotary_tables(longest)
        embedding = self.random.normal(0, 0.5, (VOCABULARY, WIDTH)).astype(np.float32)
        table = self.tensor("model.embed_tokens.weight", embedding)
        hidden, skipped = self.node("Gather", [table, "input_ids"], ["/model/embed_tokens"]), None
        for index in range(LAYERS):
            hidden, skipped = self.layer(index, hidden, skipped, (last, longest_int32))
        assert skipped is not None
        hidden, _ = self.skip("/model/norm", skipped, hidden, self.norm_weight("model.norm"))
        if self.stock.pruned:
            end = self.tensor("/constants/-1", np.array(-1))
            hidden = self.node("Gather", [hidden, end], ["/lm_head/prune/Gather"], axis=1)
            hidden = self.node("Unsqueeze", [hidden, "/constants/1"], ["/lm_head/prune/Unsqueeze"])
        self.product("lm_head", hidden, WIDTH, VOCABULARY, "logits")
        info, int64, float32 = helper.make_tensor_value_info, TensorProto.INT64, TensorProto.FLOAT
        inputs = [
            info("input_ids", int64, ["batch_size", "sequence_length"]),
            info("attention_mask", int64, ["batch_size", "total_sequence_length"]),
        ]
        outputs = [info("logits", float32, ["batch_size", "sequence_length", VOCABULARY])]
        for index in range(LAYERS):
            for part in ("key", "value"):
                shape: list[str | int | None] = ["batch_size", KV_HEADS, "past_sequence_length", HEAD_SIZE]
                inputs.append(info(f"past_key_values.{index}.{part}", float32, shape))
                shape = ["batch_size", KV_HEADS, "total_sequence_length", HEAD_SIZE]
                outputs.append(info(f"present.{index}.{part}", float32, shape))
        graph = helper.make_graph(self.nodes, "main_graph", inputs, outputs, self.tensors)
        opsets = [helper.make_opsetid("", self.stock.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


_STANDARD: Final = (
    "ReduceSum", "Sub", "Cast", "Shape", "Gather", "Sigmoid", "Mul", "Unsqueeze", "SimplifiedLayerNormalization",
)  # fmt: skip


def write_stock_model(folder: Path, stock: Stock = Stock()) -> Path:
    """Write the model to `folder`, which must not exist, and return it."""
    folder.mkdir()
    onnx.save(
        _Builder(stock).graph(),
        folder / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=1024,
    )
    bundled = resolve_model().folder
    for name in TOKENIZER:
        shutil.copyfile(bundled / name, folder / name)
    config = json.loads((bundled / "genai_config.json").read_text(encoding="utf-8"))
    config.pop("engine")
    config["search"].pop("chunk_size")
    config["search"]["max_length"] = config["model"]["context_length"] = stock.tables[-1]
    config["model"]["type"] = stock.type
    decoder = config["model"]["decoder"]
    decoder["num_hidden_layers"] = LAYERS
    decoder["inputs"] = {
        "input_ids": "input_ids",
        "attention_mask": "attention_mask",
        "past_key_names": "past_key_values.%d.key",
        "past_value_names": "past_key_values.%d.value",
    }
    (folder / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def geometry(context_length: int, **more: Any) -> Geometry:
    return Geometry(LAYERS, HEADS, KV_HEADS, HEAD_SIZE, VOCABULARY, context_length, POOL_BLOCK, **more)


def rewrite(folder: Path, *, context_length: int, **more: Any) -> int | None:
    """Put the rewritten graph into a folder beside, with the weights' file linked; what the rewriting returned."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    short_positions = rewrite_graph(model, geometry(context_length, **more))
    paged = folder / "paged"
    paged.mkdir()
    onnx.save(model, paged / "model.onnx")
    (paged / "model.onnx.data").hardlink_to(folder / "model.onnx.data")
    return short_positions
