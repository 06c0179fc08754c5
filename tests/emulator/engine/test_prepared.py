"""Stock folders on the real engine: prepared they run with continuous batching, and otherwise as they are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.config import EmulatorConfig
from phi_emulator.emulator import find_model
from phi_emulator.engine.machine.builds import has_engine_api
from phi_emulator.engine.native import native_sampling
from phi_emulator.engine.protocol import Engine, Message, Sampling

from tests.emulator.engine.conftest import NO_ENGINE
from tests.emulator.models.stock_models import HEAD_SIZE, KV_HEADS, LAYERS, Stock, write_stock_model

GREEDY = Sampling(max_tokens=20, temperature=0)

pytestmark = pytest.mark.skipif(not has_engine_api(), reason=NO_ENGINE)


def load(folder: Path, **settings: Any) -> Engine:
    _, make_engine = find_model(EmulatorConfig(model=str(folder), **settings))
    return make_engine()


@pytest.fixture(params=[8, 32])
def prepared(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    folder = write_stock_model(tmp_path / "mine", Stock(tables=(4096, 16_384)))
    engine = load(folder, cache_bits=request.param)
    yield engine
    engine.close()


def tokens_of(
    engine: Engine, prompts: Sequence[Sequence[int]], *, joining_after: int = 3, sampling: Sampling = GREEDY
) -> list[list[int]]:
    """The tokens for each prompt, each joining some steps after the one before."""
    texts: list[list[int]] = [[] for _ in prompts]
    running = 0
    for turn in range(500):
        which, rest = divmod(turn, joining_after)
        if not rest and which < len(prompts):
            engine.open(which, prompts[which], sampling)
            running += 1
        if not running and which >= len(prompts):
            return texts
        for step in engine.step():
            texts[step.sequence] += [] if step.token is None else [step.token]
            if step.end is not None:
                engine.release(step.sequence)
                running -= 1
    raise AssertionError("still running")


def test_a_stock_folder_is_served_with_continuous_batching(prepared: Engine, tmp_path: Path) -> None:
    info = prepared.info
    assert (info.model, info.source, info.batching) == ("mine", str(tmp_path / "mine"), "continuous")
    assert info.context_length == 8192
    assert "8192 of the model's 16384 tokens" in info.notes[0]


def test_sequences_that_join_each_other_say_what_they_say_alone(prepared: Engine) -> None:
    prompts = [prepared.encode([Message("user", f"What is {n} * 24? " * n)]) for n in (1, 9, 4)]
    alone = [tokens_of(prepared, [prompt])[0] for prompt in prompts]
    assert tokens_of(prepared, prompts) == alone
    assert len({tuple(text) for text in alone}) == 3


def test_a_second_turn_says_what_it_says_without_the_first_ones_cache(prepared: Engine) -> None:
    first = [Message("user", "What is 17 * 24? " * 5)]
    second = prepared.encode([*first, Message("assistant", "408"), Message("user", "And 18 * 24?")])
    alone = tokens_of(prepared, [second])
    tokens_of(
        prepared, [prepared.encode([Message("user", f"{n} " * 200)]) for n in range(60)]
    )  # takes its place
    tokens_of(prepared, [prepared.encode(first)])
    assert tokens_of(prepared, [second]) == alone


def test_a_sampled_request_chooses_among_the_shortlist(
    prepared: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A list of one leaves no choice; the model's vocabulary is too small for the real one.
    prompt = prepared.encode([Message("user", "What is 17 * 24?")])
    greedy = tokens_of(prepared, [prompt])
    sampled = Sampling(max_tokens=20, temperature=1.0, seed=1)
    assert tokens_of(prepared, [prompt], sampling=sampled) != greedy
    monkeypatch.setattr(native_sampling, "shortlist", lambda *_, **__: 1)
    assert tokens_of(prepared, [prompt], sampling=sampled) == greedy


def test_a_cache_of_bytes_takes_a_quarter_of_the_memory(tmp_path: Path) -> None:
    folder = write_stock_model(tmp_path / "mine", Stock())
    sizes = []
    for bits in (8, 32):
        engine = load(folder, cache_bits=bits, context=4096)
        sizes.append(engine.info.cache_bytes / (engine.info.num_blocks * engine.info.block_size))
        engine.close()
    assert sizes[1] == 2 * LAYERS * KV_HEADS * HEAD_SIZE * 4
    assert sizes[0] == sizes[1] / 4 + 2 * LAYERS * KV_HEADS  # the sizes of the steps


def test_a_folder_that_can_not_be_prepared_says_why_and_is_served(tmp_path: Path) -> None:
    engine = load(write_stock_model(tmp_path / "mine", Stock(attention={"local_window_size": 100})))
    assert engine.info.batching == "static"
    assert "sees only 100 tokens back" in engine.info.notes[-1]
    prompt = engine.encode([Message("user", "What is 17 * 24?")])
    assert tokens_of(engine, [prompt, prompt], joining_after=100)[1]
    engine.close()


@pytest.mark.parametrize(
    ("context", "tables", "warns"), [(None, 16_384, True), (4096, 16_384, False), (None, 4096, False)]
)
def test_static_batching_says_that_it_mixes_rotary_tables(
    tmp_path: Path, context: int | None, tables: int, warns: bool
) -> None:
    folder = write_stock_model(tmp_path / "mine", Stock(tables=(4096, tables)))
    (folder / ".phi-emulator").write_text("a file where the folder would be")
    engine = load(folder, context=context)
    assert engine.info.batching == "static"
    assert ("past 4096 tokens" in engine.info.notes[-1]) == warns
    engine.close()
