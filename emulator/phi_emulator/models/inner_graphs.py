"""Reads the graphs that ONNX nodes hold inside themselves: branches and loops.

Knows ONNX; knows nothing of the models that are built of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["constants_of", "read_by"]


def constants_of(branch: onnx.GraphProto) -> list[np.ndarray[Any, Any]] | None:
    """The values of a branch that only holds constants, in the order of its outputs."""
    values = {node.output[0]: node.attribute[0].t for node in branch.node if node.op_type == "Constant"}
    if len(values) != len(branch.node) or any(output.name not in values for output in branch.output):
        return None
    return [numpy_helper.to_array(values[output.name]) for output in branch.output]


def read_by(node: onnx.NodeProto) -> set[str]:
    """What a node reads, and what its inner graphs read from around them."""
    read = set(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            inner = attribute.g
            own = {i.name for i in inner.input} | {name for n in inner.node for name in n.output}
            read |= set().union(*map(read_by, inner.node)) - own
    return read
