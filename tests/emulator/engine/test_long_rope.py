"""Long RoPE on the real engine: each request has one rotary table for all of its tokens, and the right one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from phi_emulator.engine.machine.builds import has_engine_api
from phi_emulator.engine.protocol import Engine, Sampling

from tests.emulator.engine.conftest import NO_ENGINE, make_ort
from tests.emulator.engine.test_drafted import Clock
from tests.emulator.loading import load_engine, prepare_model
from tests.emulator.models.paged_pool import TOLERANCES, Logits, StockGraph, tokens
from tests.emulator.models.stock_models import Stock, write_stock_model

pytestmark = pytest.mark.skipif(not has_engine_api(), reason=NO_ENGINE)

SHORT = 64
BLOCK = 16


class Tables:
    """The stock graph of a model with two rotary tables, and one with the longer for everything; the right one of both.

    An answer is right if each of its tokens is the likeliest one behind those before it.
    """

    def __init__(self, folder: Path, short: int, long: int) -> None:
        self._short = short
        self.folder = write_stock_model(folder / "mine", Stock(tables=(short, long)))
        self._graphs = [
            StockGraph(self.folder),
            StockGraph(write_stock_model(folder / "long", Stock(tables=(0, long)))),
        ]

    def logits(self, prompt: list[int], max_tokens: int, answer: list[int]) -> Logits:
        """What each token of an answer was chosen by, where the request asked for `max_tokens`."""
        is_long = len(prompt) + max_tokens - 1 > self._short
        return self._graphs[is_long].all(prompt + answer[:-1])[len(prompt) - 1 :]

    def miss(self, prompt: list[int], max_tokens: int, answer: list[int]) -> float:
        """By how much of the logits' spread a token of the answer is less likely than the likeliest."""
        logits = self.logits(prompt, max_tokens, answer)
        misses = (logits.max(axis=1) - logits[np.arange(len(answer)), answer]) / logits.std(axis=1)
        return float(misses.max())


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path, SHORT, 512)


Load = Callable[..., Engine]


@pytest.fixture
def load(tables: Tables) -> Iterator[Load]:
    engines: list[Engine] = []

    def make(cache_bits: int = 32, clock: Callable[[], float] = lambda: 0.0) -> Engine:
        ready = prepare_model(tables.folder, cache_bits=cache_bits)
        assert not ready.obstacle
        engines.append(make_ort(ready.folder, cache_bits=cache_bits, clock=clock))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def answer(engine: Engine, prompt: list[int], max_tokens: int) -> tuple[list[int], int]:
    """The greedy answer's tokens, and how many of the prompt came out of the cache."""
    engine.open(1, prompt, Sampling(max_tokens, temperature=0))
    given: list[int] = []
    while True:
        for step in engine.step():
            given += [] if step.token is None else [step.token]
            if step.end is not None:
                engine.release(1)
                return given, step.cached_prompt_tokens


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_answers_that_fit_the_shorter_table_are_the_stock_graphs(
    tables: Tables, load: Load, cache_bits: int
) -> None:
    engine = load(cache_bits)
    assert engine.info.context_length > SHORT
    for count in (1, 10, 16, 33, 44):
        prompt = tokens(count, count)
        given, _ = answer(engine, prompt, 20)
        assert given
        assert tables.miss(prompt, 20, given) < TOLERANCES[cache_bits], count


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("count", [1, 50, SHORT])
def test_the_last_token_that_fits_decides(tables: Tables, load: Load, count: int, beyond: int) -> None:
    # The last token of an answer is never read, so it takes no position.
    prompt, max_tokens = tokens(count), SHORT - count + 1 + beyond
    given, _ = answer(load(), prompt, max_tokens)
    assert tables.miss(prompt, max_tokens, given) < TOLERANCES[32]
    both = given[: SHORT - count + 1]  # as many as either table may be asked for
    other = tables.logits(prompt, max_tokens + 1 - 2 * beyond, both)
    assert [int(token) for token in other.argmax(axis=1)] != both


def test_at_each_length_around_4096_the_next_token_is_the_stock_graphs(tmp_path: Path) -> None:
    tables = Tables(tmp_path, 4096, 8192)
    ids = tokens(4201)
    short, long = (tables.logits(ids[:4000], most, ids[4000 : 4000 + most]) for most in (97, 201))
    config = json.loads((tables.folder / "genai_config.json").read_text(encoding="utf-8"))
    ends = config["model"]["eos_token_id"]
    engine = load_engine(tables.folder, model="mine", cache_bits=32)
    try:
        for count in range(4000, 4201):
            token = int((short if count <= 4096 else long)[count - 4000].argmax())
            assert answer(engine, ids[:count], 1)[0] == ([] if token in ends else [token]), count
        for prompt, max_tokens in ((ids[:4000], 97), (ids[:4000], 200), (ids[:4090], 40)):
            given, _ = answer(engine, prompt, max_tokens)
            assert tables.miss(prompt, max_tokens, given) < TOLERANCES[32], (len(prompt), max_tokens)
    finally:
        engine.close()


def test_a_prefix_is_shared_with_requests_of_the_same_table_only(tables: Tables, load: Load) -> None:
    engine = load()
    prompt = tokens(60)
    answers: list[list[int]] = []
    for max_tokens, cached in ((3, 0), (40, 0), (3, 3 * BLOCK), (40, 3 * BLOCK)):
        given, taken = answer(engine, prompt, max_tokens)
        assert taken == cached
        assert tables.miss(prompt, max_tokens, given) < TOLERANCES[32]
        answers.append(given)
    assert answers[:2] == answers[2:]
    # A conversation goes on with its table, and then its answers are in the cache as well.
    longer = prompt + answers[1] + tokens(5, 1)
    given, taken = answer(engine, longer, 10)
    assert taken == (len(prompt) + len(answers[1]) - 1) // BLOCK * BLOCK
    assert tables.miss(longer, 10, given) < TOLERANCES[32]


@pytest.mark.parametrize("side_by_side", [1, 4])
@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_all_kinds_of_requests_beside_and_behind_each_other_have_their_table(
    tables: Tables, load: Load, cache_bits: int, side_by_side: int
) -> None:
    """With drafts where one runs alone, with prefixes of others in the cache, and with some that are cut."""
    engine = load(cache_bits, Clock())
    chance = random.Random(side_by_side)
    base = tokens(200)
    asked: dict[int, tuple[list[int], int]] = {}
    given: dict[int, list[int]] = {}
    running: set[int] = set()
    drafted = cached = 0
    while len(asked) < 120 or running:
        if len(asked) < 120 and len(running) < side_by_side and chance.random() < 0.5:
            number, count = len(asked), chance.choice([1, 15, 16, 17, 33, 48, 60, 63, 64, 65, 66, 100, 200])
            shared = chance.choice([0, count // 2, count - 1, count])
            prompt = base[:shared] + tokens(count - shared, number)
            if chance.random() < 0.3:  # repeats itself, so there are drafts
                prompt = (prompt[:5] * 40)[:count]
            fits = max(1, SHORT - count + 1)
            asked[number] = prompt, chance.choice([1, 2, fits, fits + 1, 20, 60])
            engine.open(number, prompt, Sampling(asked[number][1], temperature=0))
            running.add(number)
            given[number] = []
        for step in engine.step():
            given[step.sequence] += [] if step.token is None else [step.token]
            drafted += step.drafted_tokens
            if step.end is not None:
                cached += step.cached_prompt_tokens
                engine.release(step.sequence)
                running.remove(step.sequence)
        if running and chance.random() < 0.02:
            engine.release(running.pop())
    assert cached
    assert drafted or side_by_side > 1
    for number, (prompt, max_tokens) in asked.items():
        if given[number]:
            miss = tables.miss(prompt, max_tokens, given[number])
            assert miss < TOLERANCES[cache_bits], (number, len(prompt), max_tokens)


def test_a_penalty_of_the_folder_finds_no_mark(tables: Tables, load: Load) -> None:
    """GenAI looks up in the logits what stood in the prompt; a mark would lie behind them."""
    config = tables.folder / "genai_config.json"
    text = config.read_text(encoding="utf-8")
    prompt = tokens(30)
    (likeliest, *_), _ = answer(load(), prompt, 60)
    config.write_text(
        text.replace('"repetition_penalty": 1.0', '"repetition_penalty": 50.0'), encoding="utf-8"
    )
    assert config.read_text(encoding="utf-8") != text
    engine = load()
    assert answer(engine, prompt, 60)[0][0] == likeliest
    prompt[7] = likeliest
    assert likeliest not in answer(engine, prompt, 60)[0]


def test_the_layer_that_remembers_counts_for_no_memory(tables: Tables) -> None:
    sizes: list[float] = []
    for context_length in (SHORT, 512):
        engine = load_engine(tables.folder, model="mine", context_length=context_length, cache_bits=32)
        info = engine.info
        sizes.append(info.cache_bytes / (info.num_blocks * info.block_size))
        engine.close()
    assert sizes[0] == sizes[1]
