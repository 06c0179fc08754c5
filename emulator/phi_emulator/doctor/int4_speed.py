"""How fast this processor multiplies int4 weights, measured on a stand-in, so that a model's speed can be foretold.

Knows one operator of ONNX Runtime; knows nothing of models that exist. A decoder writes one token by reading all its
weights once, so its speed on a CPU follows from how many bytes of them go through the kernel in a second.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from phi_emulator.engine.machine.processors import usable_processors

__all__ = ["bytes_a_second"]

# The widths of Phi-4-mini's MLP, as the model builder quantizes it: int4 in blocks of 32, int8 activations.
_NARROW, _WIDE, _BLOCK, _INT8 = 3072, 8192, 32, 4
_LAYERS: Final = 6
"""Enough that the weights, 85 MB, leave a processor's caches between two steps."""
_STEPS: Final = 24


def bytes_a_second(clock: Callable[[], float] = time.perf_counter) -> float:
    """Bytes of int4 weights that one token's step gets through in a second, on all cores that this process may use.

    Takes about a second, and 200 MB of memory and disk.
    """
    # Heavy, and wanted by the doctor alone.
    import numpy as np  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415

    runtime: Any = onnxruntime
    with tempfile.TemporaryDirectory(prefix="phi-emulator-") as folder:
        graph, weights = _write_graph(Path(folder))
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = usable_processors() or 0
        session = runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        feed = {"x": np.zeros((1, _NARROW), np.float32)}
        session.run(None, feed)
        seconds: list[float] = []
        for _ in range(_STEPS):
            begun = clock()
            session.run(None, feed)
            seconds.append(clock() - begun)
        del session  # it holds the files that the folder takes with it
    return weights / statistics.median(seconds)


def _write_graph(folder: Path) -> tuple[Path, int]:
    """A chain of int4 layers over a file of zeros; the graph's path, and its weights' bytes."""
    from onnx import ModelProto, StringStringEntryProto, TensorProto, helper  # noqa: PLC0415 - see above

    data = folder / "weights"
    initializers: list[TensorProto] = []
    nodes: list[Any] = []
    end = 0

    def add(name: str, kind: int, shape: list[int], size: int) -> None:
        nonlocal end
        tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", data.name), ("offset", str(end)), ("length", str(size))):
            tensor.external_data.append(StringStringEntryProto(key=key, value=value))
        initializers.append(tensor)
        end += size

    for layer in range(_LAYERS):
        narrow_first = layer % 2 == 0
        inner, outer = (_NARROW, _WIDE) if narrow_first else (_WIDE, _NARROW)
        blocks = inner // _BLOCK
        add(f"b{layer}", TensorProto.UINT8, [outer, blocks, _BLOCK // 2], outer * inner // 2)
        add(f"s{layer}", TensorProto.FLOAT, [outer * blocks], outer * blocks * 4)
        attributes: dict[str, Any] = {
            "K": inner,
            "N": outer,
            "bits": 4,
            "block_size": _BLOCK,
            "accuracy_level": _INT8,
        }
        source = "x" if layer == 0 else f"y{layer - 1}"
        nodes.append(
            helper.make_node(
                "MatMulNBits",
                [source, f"b{layer}", f"s{layer}"],
                [f"y{layer}"],
                domain="com.microsoft",
                **attributes,
            )
        )
    last = f"y{_LAYERS - 1}"
    graph = helper.make_graph(
        nodes,
        "calibration",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, _NARROW])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, _NARROW])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    with data.open("wb") as file:
        file.truncate(end)
    path = folder / "calibration.onnx"
    path.write_bytes(model.SerializeToString())
    return path, end
