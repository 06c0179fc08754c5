"""How many bytes the weights of a graph are: of its own file, and of the files beside it that it refers to.

Reads as much of ONNX's format as names those files, whatever they are called, and loads nothing. A graph in which
nothing can be found is asked for by its name: what begins with it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["weight_bytes"]

# Fields of ModelProto, GraphProto, TensorProto and StringStringEntryProto, as onnx.proto numbers them.
_GRAPH, _INITIALIZER, _EXTERNAL_DATA, _KEY, _VALUE = 7, 5, 13, 1, 2
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5
_MOST_SHIFT: Final = 63
_MOST_FIELDS: Final = 1_000_000
"""Of one message: a file that is no graph may hold billions of what looks like fields."""


def weight_bytes(graph: Path) -> int:
    """Bytes of `graph` and of the files that hold its weights; 0 if it is not there."""
    try:
        names = _external_files(graph)
    except (OSError, ValueError):
        names = set[str]()
    sizes = [(graph.parent / name).stat().st_size for name in names if (graph.parent / name).is_file()]
    if sizes:
        return graph.stat().st_size + sum(sizes)
    return sum(
        path.stat().st_size for path in graph.parent.glob(f"{_escaped(graph.name)}*") if path.is_file()
    )


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _external_files(graph: Path) -> set[str]:
    """The names of files that the graph's initializers lie in.

    Raises:
        OSError: it can't be read.
        ValueError: it is no graph.
    """
    names: set[str] = set()
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for model_field, start, end in _fields(content, 0, len(content)):
            if model_field != _GRAPH:
                continue
            for graph_field, inner, inner_end in _fields(content, start, end):
                if graph_field == _INITIALIZER:
                    names.update(_locations(content, inner, inner_end))
    return names


def _locations(content: mmap.mmap, start: int, end: int) -> Iterator[str]:
    """Where a tensor's data lies, if outside."""
    for field, entry, entry_end in _fields(content, start, end):
        if field == _EXTERNAL_DATA:
            pair = {number: content[at:to] for number, at, to in _fields(content, entry, entry_end)}
            if pair.get(_KEY) == b"location":
                yield pair.get(_VALUE, b"").decode("utf-8")


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The number of each field of a message, and where its bytes are.

    Raises:
        ValueError: these are no fields.
    """
    for _ in range(_MOST_FIELDS):
        if start >= end:
            return
        key, start = _varint(content, start, end)
        kind = key & 7
        if key >> 3 == 0:
            raise ValueError("no field has the number 0")
        if kind == _VARINT:
            _, after = _varint(content, start, end)
        elif kind == _COUNTED:
            size, start = _varint(content, start, end)
            after = start + size
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            after = start + (8 if kind == _EIGHT_BYTES else 4)
        else:
            raise ValueError(f"no kind of field: {kind}")
        if after > end:
            raise ValueError("a field reaches past its message")
        if kind == _COUNTED:
            yield key >> 3, start, after
        start = after
    raise ValueError("more fields than any graph has")


def _varint(content: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while start < end and shift <= _MOST_SHIFT:
        byte = content[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the mark of the last one
            return value, start
        shift += 7
    raise ValueError("a number without end")
