"""The bundled model's paged graph, run by ONNX Runtime alone: what the Engine relies on and can't show."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from phi_emulator.models import resolve_model

Logits = npt.NDArray[np.float32]
BLOCKS, BLOCK_SIZE = 16, 16
PROMPT = list(range(20, 60))


class Graph:
    """The graph over a pool of cache blocks that persists from step to step, as the Engine binds it."""

    def __init__(self, filling: float) -> None:
        self._session: Any = onnxruntime.InferenceSession(str(resolve_model().folder / "model.onnx"))
        self._pool: dict[str, Logits] = {}
        for declared in self._session.get_inputs():
            if declared.name.startswith("past_key_values"):
                shape = [BLOCKS, *declared.shape[1:]]
                self._pool[declared.name] = np.full(shape, filling, np.float32)

    def step(self, rows: Sequence[tuple[list[int], int, list[int]]]) -> Logits:
        """Run rows of (new tokens, tokens before, blocks); return a row of logits for each."""
        lengths = [len(tokens) for tokens, _, _ in rows]
        width = max(len(blocks) for _, _, blocks in rows)
        feed = {
            "input_ids": np.array([t for tokens, _, _ in rows for t in tokens], np.int64),
            "cumulative_sequence_lengths": np.cumsum([0, *lengths]).astype(np.int32),
            "past_sequence_lengths": np.array([past for _, past, _ in rows], np.int32),
            "block_table": np.array([b + [-1] * (width - len(b)) for _, _, b in rows], np.int32),
        }
        names = [output.name for output in self._session.get_outputs()]
        results = dict(zip(names, self._session.run(None, feed | self._pool), strict=True))
        self._pool = {
            f"past_key_values.{n.removeprefix('present.')}": results[n] for n in names if n != "logits"
        }
        return np.asarray(results["logits"])


@pytest.mark.parametrize("filling", [np.nan, np.inf, 3e38, -3e38])
def test_what_the_pool_held_before_changes_nothing(filling: float) -> None:
    rows = [(PROMPT, 0, [3, 5, 7]), (PROMPT[:5], 0, [2])]
    clean, dirty = Graph(0.0).step(rows), Graph(filling).step(rows)
    assert np.isfinite(clean).all()
    assert np.array_equal(clean, dirty)


def test_a_prompt_in_chunks_gives_the_logits_of_the_prompt_at_once() -> None:
    whole = Graph(np.nan).step([(PROMPT, 0, [3, 5, 7])])
    chunked = Graph(np.nan)
    for start in range(0, len(PROMPT), 7):
        last = chunked.step([(PROMPT[start : start + 7], start, [3, 5, 7])])
    assert close(whole, last)


def test_rows_of_different_lengths_do_not_touch_each_other() -> None:
    together = Graph(np.nan)
    together.step([(PROMPT, 0, [3, 5, 7])])
    mixed = together.step([([61], len(PROMPT), [3, 5, 7]), (PROMPT[:9], 0, [1])])
    alone = Graph(np.nan)
    alone.step([(PROMPT, 0, [3, 5, 7])])
    assert close(mixed[:1], alone.step([([61], len(PROMPT), [3, 5, 7])]))
    assert close(mixed[1:], Graph(np.nan).step([(PROMPT[:9], 0, [1])]))


def close(one: Logits, other: Logits) -> bool:
    """Equal but for the rounding of int8 activations, which depends on the order of summation."""
    return bool(np.abs(one - other).max() < 0.15 * one.std())
