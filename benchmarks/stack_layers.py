# ruff: noqa: INP001  # a folder of commands, no package
"""A GenAI model folder of many layers and tokens out of one of two layers and few tokens, without computing anything.

Knows the names that GenAI's model builder gives; must not know what a layer does. The second layer is repeated. Each
copy has bytes of its own in the data file, so that running the model reads as much memory as a real one's does: the
rows of its weights in another order, which keeps their statistics.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["stack_layers"]

T = TypeVar("T")

_MADE_OF: Final = 2
_NUMBER: Final = re.compile(r"\b(layers|past_key_values|present)\.(\d+)\b")
_STEP: Final = 131
"""By how many rows the weights are turned from one copy to the next; a prime, so that no two copies are equal."""


def stack_layers(
    source: Path,
    target: Path,
    *,
    layers: int,
    vocabulary: int | None = None,
    tell: Callable[[str], None] = lambda _line: None,
) -> None:
    """Write into `target` what the builder would make of a model like `source`'s with so many layers and tokens.

    The vocabulary of `source` must be a number that no other part of the model has. `tell` hears of the progress.

    Raises:
        ValueError: `source` has not two layers, or fewer are asked for.
    """
    settings = json.loads((source / "genai_config.json").read_text(encoding="utf-8"))
    decoder = settings["model"]["decoder"]
    if decoder["num_hidden_layers"] != _MADE_OF or layers < _MADE_OF:
        raise ValueError("a model of two layers is needed, to make one of two or more")
    model = onnx.load(str(source / decoder["filename"]), load_external_data=False)
    graph = model.graph
    if vocabulary is not None:
        _widen(graph, settings["model"]["vocab_size"], vocabulary)
        settings["model"]["vocab_size"] = vocabulary
    for items in (graph.node, graph.input, graph.output, graph.value_info):
        stacked = [_renamed(item, shift) for item, shift in _repeated(items, layers)]
        del items[:]
        items.extend(stacked)
    target.mkdir(parents=True, exist_ok=True)
    data = f"{decoder['filename']}.data"
    initializers: list[onnx.TensorProto] = []
    with _Weights(source / data, target / data) as weights:
        for item, shift in _repeated(graph.initializer, layers):
            tensor = _renamed(item, shift)
            weights.move(tensor, turn=shift * _STEP if _number(item.name) == 1 else 0)
            tell(tensor.name)
            initializers.append(tensor)
    del graph.initializer[:]
    graph.initializer.extend(initializers)
    (target / decoder["filename"]).write_bytes(model.SerializeToString())
    decoder["num_hidden_layers"] = layers
    (target / "genai_config.json").write_text(json.dumps(settings, indent=4), encoding="utf-8")
    for file in source.iterdir():
        if file.is_file() and not (target / file.name).exists():
            shutil.copyfile(file, target / file.name)


class _Weights:
    """Tensors on their way from one data file to another; a context manager."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source = np.memmap(source, np.uint8, "r")
        self._path = target

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def move(self, tensor: onnx.TensorProto, *, turn: int) -> None:
        """Write a tensor's bytes, its rows turned by so many, and point the tensor at them.

        A tensor of more rows than there are gets them again, each time in another order if they are not scales.
        """
        where = {entry.key: entry for entry in tensor.external_data}
        if not where:
            return
        begin, length = int(where["offset"].value), int(where["length"].value)
        a_row = int(np.prod(tensor.dims[1:])) * _ITEM[tensor.data_type]
        rows = self._source[begin : begin + length].reshape(-1, a_row)
        where["offset"].value = str(self._file.tell())
        left = tensor.dims[0]
        where["length"].value = str(left * a_row)
        while left > 0:
            self._file.write(np.roll(rows, turn, axis=0)[:left].tobytes())
            left -= len(rows)
            turn += _STEP if tensor.data_type == onnx.TensorProto.UINT8 else 0


_ITEM: Final[dict[int, int]] = {onnx.TensorProto.UINT8: 1, onnx.TensorProto.FLOAT: 4}


def _widen(graph: onnx.GraphProto, old: int, new: int) -> None:
    """Put one vocabulary in the place of another, wherever its number stands."""
    for tensor in graph.initializer:
        _replace(tensor.dims, old, new)
    for value in (*graph.output, *graph.value_info):
        for dim in (dim for dim in value.type.tensor_type.shape.dim if dim.dim_value == old):
            dim.dim_value = new
    names = (f"[{old}, ", f"[{new}, ")  # the builder calls a constant by its value
    for value in graph.value_info:
        value.name = value.name.replace(*names)
    for node in graph.node:
        node.name = node.name.replace(*names)
        for attribute in node.attribute:
            _change_number(attribute, old, new)
        _rename(node, lambda name: name.replace(*names))


def _change_number(attribute: onnx.AttributeProto, old: int, new: int) -> None:
    if attribute.type == onnx.AttributeProto.INT and attribute.i == old:
        attribute.i = new
    names = (f"[{old}, ", f"[{new}, ")
    if names[0] in attribute.t.name:
        number = numpy_helper.to_array(attribute.t)
        number = np.where(number == old, new, number)
        attribute.t.CopyFrom(numpy_helper.from_array(number, attribute.t.name.replace(*names)))


def _rename(node: onnx.NodeProto, change: Callable[[str], str]) -> None:
    """Change the names of what a node takes and gives."""
    for names in (node.input, node.output):
        changed = [change(name) for name in names]
        del names[:]
        names.extend(changed)


def _replace(numbers: Any, old: int, new: int) -> None:
    for index, number in enumerate(numbers):
        if number == old:
            numbers[index] = new


def _repeated(items: Iterable[T], layers: int) -> Iterator[tuple[T, int]]:
    """The items of a graph, each run of the second layer's repeated; each with what its layers' numbers grow by."""
    run: list[T] = []
    for item in items:
        if _number(_name(item)) == 1:
            run.append(item)
            continue
        yield from _copies(run, layers)
        run = []
        yield item, layers - _MADE_OF
    yield from _copies(run, layers)


def _copies(run: Sequence[T], layers: int) -> Iterator[tuple[T, int]]:
    return ((item, shift) for shift in range(layers - 1) for item in run)


def _name(item: Any) -> str:
    return str(item.name)


def _number(name: str) -> int | None:
    """The number of the layer that a name belongs to."""
    found = _NUMBER.search(name)
    return None if found is None else int(found[2])


def _renamed(item: T, shift: int) -> T:
    """A copy with the numbers of layers grown by `shift`: all in what is the second layer's, else all but the first."""
    number = _number(_name(item))
    made: Any = type(item)()
    made.CopyFrom(item)
    if number != 0:
        stays = None if number == 1 else 0

        def grow(name: str) -> str:
            return _NUMBER.sub(
                lambda found: f"{found[1]}.{int(found[2]) + (shift if int(found[2]) != stays else 0)}", name
            )

        made.name = grow(made.name)
        if isinstance(made, onnx.NodeProto):
            _rename(made, grow)
    copied: T = made
    return copied
