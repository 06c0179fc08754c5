"""The bundled model's paged graph, run by ONNX Runtime alone: what the Engine relies on and can't show."""

import numpy as np
import pytest
from phi_emulator.models import resolve_model

from tests.emulator.models.paged_pool import Logits, PagedGraph

PROMPT = list(range(20, 60))


def bundled(filling: float) -> PagedGraph:
    return PagedGraph(resolve_model().folder, filling)


@pytest.mark.parametrize("filling", [np.nan, np.inf, 3e38, -3e38])
def test_what_the_pool_held_before_changes_nothing(filling: float) -> None:
    rows = [(PROMPT, 0, [3, 5, 7]), (PROMPT[:5], 0, [2])]
    clean, dirty = bundled(0.0).step(rows), bundled(filling).step(rows)
    assert np.isfinite(clean).all()
    assert np.array_equal(clean, dirty)


def test_a_prompt_in_chunks_gives_the_logits_of_the_prompt_at_once() -> None:
    whole = bundled(np.nan).step([(PROMPT, 0, [3, 5, 7])])
    chunked = bundled(np.nan)
    for start in range(0, len(PROMPT), 7):
        last = chunked.step([(PROMPT[start : start + 7], start, [3, 5, 7])])
    assert close(whole, last)


def test_rows_of_different_lengths_do_not_touch_each_other() -> None:
    together = bundled(np.nan)
    together.step([(PROMPT, 0, [3, 5, 7])])
    mixed = together.step([([61], len(PROMPT), [3, 5, 7]), (PROMPT[:9], 0, [1])])
    alone = bundled(np.nan)
    alone.step([(PROMPT, 0, [3, 5, 7])])
    assert close(mixed[:1], alone.step([([61], len(PROMPT), [3, 5, 7])]))
    assert close(mixed[1:], bundled(np.nan).step([(PROMPT[:9], 0, [1])]))


def close(one: Logits, other: Logits) -> bool:
    """Equal but for the rounding of int8 activations, which depends on the order of summation."""
    return bool(np.abs(one - other).max() < 0.15 * one.std())
