"""The graphs that ONNX nodes hold inside themselves: branches and loops.

Knows ONNX; knows nothing of the models that are built of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, helper, numpy_helper

__all__ = ["Body", "Inputs", "constants_of", "read_by"]

Inputs = Mapping[str, tuple[int, list[int | None]]]
"""What a loop's graph is given in each turn: each tensor's element type and shape."""


class Body:
    """An inner graph under construction, whose names begin with `lead`."""

    def __init__(self, lead: str, inputs: Inputs | None = None) -> None:
        self.lead = lead
        self.nodes: list[NodeProto] = []
        self._inputs = inputs or {}
        self.own = {name: f"{lead}/{name}" for name in self._inputs}
        """What the inputs are called inside."""

    def add(self, op: str, *inputs: str, to: str, domain: str = "", **attributes: Any) -> str:
        return self.add_all(op, *inputs, to=[to], domain=domain, **attributes)[0]

    def add_all(
        self, op: str, *inputs: str, to: Sequence[str], domain: str = "", **attributes: Any
    ) -> list[str]:
        """A node with several outputs."""
        names = [f"{self.lead}/{name}" for name in to]
        self.nodes.append(
            helper.make_node(op, inputs, names, f"{names[0]}/{op}", domain=domain, **attributes)
        )
        return names

    def cast(self, tensor: str, element: int, *, to: str) -> str:
        name = f"{self.lead}/{to}"
        self.nodes.append(helper.make_node("Cast", [tensor], [name], f"{name}/Cast", to=element))
        return name

    def graph(self, output: str, element: int, rank: int) -> GraphProto:
        """The finished graph, with one output."""
        info = helper.make_tensor_value_info
        inputs = [info(self.own[name], kind, shape) for name, (kind, shape) in self._inputs.items()]
        return helper.make_graph(self.nodes, self.lead, inputs, [info(output, element, [None] * rank)])

    def scan(self, over: Sequence[str], output: str, element: int, rank: int, *, to: str) -> NodeProto:
        """The node that runs the graph for each slice of the tensors `over`, in the inputs' order.

        It makes `to`, the outputs one behind the other; `output` has an axis less.
        """
        return helper.make_node(
            "Scan",
            over,
            [to],
            f"{to}/Scan",
            body=self.graph(output, element, rank),
            num_scan_inputs=len(over),
        )


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
