"""Too little memory: below a context of use a model is refused with figures, and above it the context is lowered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.context import USEFUL_CONTEXT, plan_context, plan_pool
from phi_emulator.engine.machine.memory import LOADING
from phi_emulator.models.genai_config import PoolSettings, Settings

WEIGHTS = 5_000_000_000
A_TOKEN = 32 * 8 * 128 * 2 * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    with (folder / "model.onnx").open("wb") as file:
        file.truncate(WEIGHTS)  # no block of it is on the disk
    return folder


def settings_of(declared: int = 131_072) -> Settings:
    decoder: Any = {
        "filename": "model.onnx",
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "head_size": 128,
    }
    model: Any = {"context_length": declared, "decoder": decoder}
    return {"model": model}


def pool_of(declared: int = 8192) -> Settings:
    batching: PoolSettings = {"block_size": 16, "num_blocks": 4096, "max_batch_size": 8}
    return {**settings_of(declared), "engine": {"dynamic_batching": batching}}


def there_for(tokens: float) -> int:
    """Memory in which a cache of so many tokens fits beside the model."""
    return int(LOADING * WEIGHTS + tokens * A_TOKEN / 0.8) + 1000


@given(st.integers(0, 40_000))
def test_what_is_served_is_of_use_or_refused(folder: Path, fits: int) -> None:
    def plan(settings: Settings, *, is_pool: bool) -> int | None:
        try:
            if is_pool:
                return plan_pool(
                    folder, settings, None, max_running=8, available=lambda: there_for(fits), in_memory=True,
                    cache_bits=32,
                )[0].served  # fmt: skip
            return plan_context(
                folder, settings, None, max_running=8, available=lambda: there_for(fits)
            ).served
        except ModelLoadError:
            return None

    for served in (plan(settings_of(), is_pool=False), plan(pool_of(), is_pool=True)):
        assert served is None or USEFUL_CONTEXT <= served <= max(fits + 16, USEFUL_CONTEXT)
        assert (served is None) is (fits < USEFUL_CONTEXT - 16) or abs(fits - USEFUL_CONTEXT) <= 16


def test_the_refusal_has_the_figures(folder: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"takes 8\.5 GB.*2,048 tokens 9\.2 GB; 8\.6 GB are there"):
        plan_context(folder, settings_of(), None, max_running=8, available=lambda: 8_600_000_000)


def test_a_model_with_a_small_context_needs_no_more_than_that(folder: Path) -> None:
    plan = plan_context(folder, settings_of(512), None, max_running=8, available=lambda: there_for(600))
    assert plan.served == 512


def test_who_asks_for_less_gets_it(folder: Path) -> None:
    plan, _ = plan_pool(
        folder, pool_of(), 256, max_running=8, available=lambda: there_for(300), in_memory=True, cache_bits=32
    )
    assert plan.served == 256
    assert (
        plan_context(folder, settings_of(), 256, max_running=8, available=lambda: there_for(0)).served == 256
    )
