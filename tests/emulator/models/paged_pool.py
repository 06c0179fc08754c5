"""A paged graph run by ONNX Runtime alone, over a pool of blocks, as GenAI's Engine binds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Logits = npt.NDArray[np.float32]
Row = tuple[list[int], int, list[int]]
BLOCK = 16
# The rewritten graph sums in the stock graph's order, but for a single token, whose keys are read once for all queries.
EQUAL = 1e-4
# Keys and values rounded to 8 bits.
NEARLY_EQUAL = 0.2
TOLERANCES = {32: EQUAL, 8: NEARLY_EQUAL}


def session(graph: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(graph), options)


class PagedGraph:
    """The graph in `folder` over a pool of `blocks`, filled with whatever the last user left: `filling`.

    A pool of bytes has none that is no number: any but 0 is taken for all kinds of bytes.
    """

    def __init__(self, folder: Path, filling: float = np.nan, blocks: int = 16) -> None:
        self._session = session(folder / "model.onnx")
        self.pool: dict[str, Any] = {}
        for declared in self._session.get_inputs():
            if declared.name.startswith("past_key_values"):
                shape = [blocks, *declared.shape[1:]]
                if declared.type == "tensor(int8)":
                    pool = np.random.default_rng(len(self.pool)).integers(-128, 128, shape, np.int8)
                    self.pool[declared.name] = pool if filling else np.zeros_like(pool)
                else:
                    self.pool[declared.name] = np.full(shape, filling, np.float32)
                self.block_size = declared.shape[1]

    def step(self, rows: Sequence[Row]) -> Logits:
        """Run rows of (new tokens, tokens before, blocks); return the logits of each one's last token."""
        ends = np.cumsum([len(tokens) for tokens, _, _ in rows])
        return np.asarray(self.step_all(rows)[ends - 1])

    def step_all(self, rows: Sequence[Row]) -> Logits:
        """Run rows of (new tokens, tokens before, blocks); return the logits of all tokens."""
        return np.asarray(self.run(rows)["logits"])

    def run(self, rows: Sequence[Row], **more: Any) -> dict[str, Any]:
        """The same with `more` inputs; return all outputs but the pool, which is put back."""
        lengths = [len(tokens) for tokens, _, _ in rows]
        width = max(len(blocks) for _, _, blocks in rows)
        feed: dict[str, Any] = {
            "input_ids": np.array([t for tokens, _, _ in rows for t in tokens], np.int64),
            "cumulative_sequence_lengths": np.cumsum([0, *lengths]).astype(np.int32),
            "past_sequence_lengths": np.array([past for _, past, _ in rows], np.int32),
            "block_table": np.array([b + [-1] * (width - len(b)) for _, _, b in rows], np.int32),
        }
        names = [output.name for output in self._session.get_outputs()]
        results = dict(zip(names, self._session.run(None, feed | more | self.pool), strict=True))
        self.pool = {
            f"past_key_values.{n.removeprefix('present.')}": results[n]
            for n in names
            if n.startswith("present.")
        }
        return {name: results[name] for name in names if not name.startswith("present.")}


class StockGraph:
    """The stock graph in `folder`, asked for whole sequences."""

    def __init__(self, folder: Path) -> None:
        self._session = session(folder / "model.onnx")

    def __call__(self, tokens: Sequence[int]) -> Logits:
        """The logits of the last of `tokens`."""
        return np.asarray(self.all(tokens)[-1])

    def all(self, tokens: Sequence[int]) -> Logits:
        """The logits of each of `tokens`."""
        feed: dict[str, Any] = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, len(tokens)), np.int64),
        }
        for declared in self._session.get_inputs():
            if declared.name.startswith("past_key_values"):
                feed[declared.name] = np.zeros((1, declared.shape[1], 0, declared.shape[3]), np.float32)
        return np.asarray(self._session.run(["logits"], feed)[0][0])


Convert = Callable[..., tuple[StockGraph, Path]]


def tokens(count: int, seed: int = 0) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, 1000, count)]


def blocks_for(count: int, first: int = 0) -> list[int]:
    return list(range(first, first + -(-count // BLOCK)))


def chunked(paged: Path, prompt: list[int], size: int, blocks: list[int], pool: int = 16) -> Logits:
    graph = PagedGraph(paged, blocks=pool)
    for start in range(0, len(prompt), size):
        last = graph.step([(prompt[start : start + size], start, blocks)])
    return np.asarray(last[0])


def in_order(count: int) -> list[int]:
    """Blocks as the Engine gives them out at first."""
    return list(range(count))


def reversed_(count: int) -> list[int]:
    return in_order(count)[::-1]


def scattered(count: int, of: int = 16) -> list[int]:
    return [int(block) for block in np.random.default_rng(count).permutation(of)[:count]]


def distance(one: Logits, other: Logits) -> float:
    """The largest difference, as a part of the logits' spread."""
    return float(np.abs(one - other).max() / other.std())
