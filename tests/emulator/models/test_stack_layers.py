"""Models of many layers are stacked out of one of two, as GenAI's builder would have made them."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from phi_emulator.engine.protocol import Message, Sampling

from benchmarks.stack_layers import stack_layers
from tests.emulator.engine.conftest import make_ort

FOLDERS = Path(__file__).parents[1] / "engine" / "folders"
KINDS = ["phi3", "phi4mini", "llama"]


def names(graph: onnx.GraphProto) -> list[str]:
    return [node.name for node in graph.node]


def loaded(folder: Path) -> onnx.GraphProto:
    return onnx.load(str(folder / "model.onnx")).graph


@pytest.mark.parametrize("kind", KINDS)
def test_two_layers_of_two_are_the_same_model(kind: str, tmp_path: Path) -> None:
    stack_layers(FOLDERS / kind, tmp_path, layers=2)
    assert (tmp_path / "model.onnx").read_bytes() == (FOLDERS / kind / "model.onnx").read_bytes()
    assert (tmp_path / "model.onnx.data").read_bytes() == (FOLDERS / kind / "model.onnx.data").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_takes_what_the_one_before_it_gives(kind: str, tmp_path: Path) -> None:
    stack_layers(FOLDERS / kind, tmp_path, layers=5)
    graph = loaded(tmp_path)
    assert len(set(names(graph))) == len(graph.node)
    attention = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
    assert [node.name for node in attention] == [
        f"/model/layers.{n}/attn/GroupQueryAttention" for n in range(5)
    ]
    caches = [name for node in attention for name in node.input if name.startswith("past_key_values")]
    assert caches == [f"past_key_values.{n}.{part}" for n in range(5) for part in ("key", "value")]
    given = {name for node in graph.node for name in node.output}
    given |= {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    assert [name for node in graph.node for name in node.input if name not in given] == []
    assert (
        json.loads((tmp_path / "genai_config.json").read_text())["model"]["decoder"]["num_hidden_layers"] == 5
    )


def test_each_layer_has_bytes_of_its_own(tmp_path: Path) -> None:
    stack_layers(FOLDERS / "phi4mini", tmp_path, layers=6)
    graph = loaded(tmp_path)
    tensors = [t for t in graph.initializer if t.name.endswith("gate_proj.MatMul.weight_Q4")]
    contents = [numpy_helper.to_array(tensor).tobytes() for tensor in tensors]
    assert len(contents) == len(set(contents)) == 6
    counted = [np.bincount(np.frombuffer(content, np.uint8), minlength=256) for content in contents[1:]]
    assert all(np.array_equal(one, counted[0]) for one in counted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stacked_model_answers(kind: str, tmp_path: Path) -> None:
    # A vocabulary wider than the tokenizer: the real model's is so, too.
    stack_layers(FOLDERS / kind, tmp_path / "m", layers=3, vocabulary=1000)
    engine = make_ort(tmp_path / "m", model="stacked")
    try:
        engine.open(1, engine.encode([Message("user", "1 + 1")]), Sampling(max_tokens=8, seed=1))
        tokens: list[int] = []
        for _ in range(50):
            steps = list(engine.step())
            tokens += [step.token for step in steps if step.token is not None]
            if any(step.end for step in steps):
                break
        assert max(tokens) >= 384
    finally:
        engine.close()


def test_a_model_of_another_depth_can_not_be_repeated(tmp_path: Path) -> None:
    stack_layers(FOLDERS / "llama", tmp_path / "three", layers=3)
    with pytest.raises(ValueError, match="two layers"):
        stack_layers(tmp_path / "three", tmp_path / "more", layers=4)
    with pytest.raises(ValueError, match="two layers"):
        stack_layers(FOLDERS / "llama", tmp_path / "one", layers=1)
