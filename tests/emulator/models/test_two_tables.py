"""Long RoPE in the paged graph: each sequence has the logits of its table, whatever runs beside it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from phi_emulator.models.graph.geometry import NotConvertibleError
from phi_emulator.models.graph.step_indices import MAX_DRAFTS

from tests.emulator.models.paged_pool import (
    EQUAL,
    TOLERANCES,
    Convert,
    Logits,
    PagedGraph,
    StockGraph,
    blocks_for,
    chunked,
    distance,
    tokens,
)
from tests.emulator.models.stock_models import LAYERS, VOCABULARY, Stock, rewrite, write_stock_model

SHORT = 64
FAR = 0.5
"""Logits of the two tables are further apart, for the same tokens."""


def marked(ids: list[int]) -> list[int]:
    """The same sequence, for the longer table."""
    return [ids[0] + VOCABULARY, *ids[1:]]


@pytest.fixture
def long(tmp_path: Path) -> StockGraph:
    """The stock graph with the longer table for everything, also below the limit."""
    return StockGraph(write_stock_model(tmp_path / "long", Stock(tables=(0, 512))))


def step_by_step(paged: Path, ids: list[int], first: int) -> Logits:
    """The logits of each token from `first` on, a token a step, after a prompt in pieces."""
    graph, blocks = PagedGraph(paged, blocks=288), blocks_for(len(ids))
    for start in range(0, first, 500):
        graph.step([(ids[start : min(start + 500, first)], start, blocks)])
    return np.concatenate([graph.step([([ids[at]], at, blocks)]) for at in range(first, len(ids))])


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_around_4096_tokens_each_length_has_the_logits_of_the_stock_graph(
    convert: Convert, cache_bits: int
) -> None:
    stock, paged = convert(Stock(tables=(4096, 4400)), cache_bits=cache_bits)
    ids, first = tokens(4200), 3999
    # What the stock graph says of a length, it says of it in all lengths that have the same table.
    short, long = stock.all(ids[:4096])[first:], stock.all(ids)[first:]
    assert distance(short[0], long[0]) > FAR
    assert distance(stock(ids[:4001]), short[1]) < EQUAL
    for logits, expected in (
        (step_by_step(paged, ids[:4096], first), short),
        (step_by_step(paged, marked(ids), first), long),
    ):
        for at, (one, other) in enumerate(zip(logits, expected, strict=True), first + 1):
            assert distance(one, other) < TOLERANCES[cache_bits], at


@pytest.mark.parametrize("count", [1, 15, 16, 17, 63, 64, 65, 200])
def test_a_sequence_has_the_longer_table_from_its_beginning_at_any_length(
    convert: Convert, long: StockGraph, count: int
) -> None:
    stock, paged = convert(Stock(tables=(SHORT, 512)))
    ids = tokens(count, count)
    if count > SHORT:
        assert distance(stock(ids), long(ids)) < EQUAL
    for size in (7, 9, count):
        logits = chunked(paged, marked(ids), size, blocks_for(count, 3))
        assert distance(logits, long(ids)) < EQUAL, size


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_sequences_of_both_tables_share_steps(convert: Convert, long: StockGraph, cache_bits: int) -> None:
    stock, paged = convert(Stock(tables=(SHORT, 512)), cache_bits=cache_bits)
    texts = [tokens(60, 1), tokens(90, 2), tokens(60, 1), tokens(30, 3)]
    expected = [stock.all(texts[0]), long.all(texts[1]), long.all(texts[2]), stock.all(texts[3])]
    ids = [texts[0], marked(texts[1]), marked(texts[2]), texts[3]]
    firsts = [0, 4, 10, 14]
    graph, done, random = PagedGraph(paged), [0] * 4, np.random.default_rng(0)
    while any(d < len(text) for d, text in zip(done, ids, strict=True)):
        # Pieces of a prompt, single tokens, and drafts.
        sizes = random.choice([0, 1, 1, MAX_DRAFTS, 20], 4)
        rows = [(which, ids[which][at : at + sizes[which]], at) for which, at in enumerate(done)]
        rows = [row for row in rows if row[1]]
        if not rows:
            continue
        logits = graph.step(
            [(new, at, blocks_for(len(ids[which]), firsts[which])) for which, new, at in rows]
        )
        for (which, new, _), row in zip(rows, logits, strict=True):
            done[which] += len(new)
            gap = distance(row, expected[which][done[which] - 1])
            assert gap < TOLERANCES[cache_bits], (which, done)


def test_a_place_in_the_pool_forgets_the_table_of_whom_it_held_before(
    convert: Convert, long: StockGraph
) -> None:
    stock, paged = convert(Stock(tables=(SHORT, 512)))
    ids, graph = tokens(40), PagedGraph(paged)
    for turn in range(4):
        is_long = turn % 2
        graph.step([(marked(ids[:30]) if is_long else ids[:30], 0, [3, 5, 7])])
        logits = graph.step([(ids[30:], 30, [3, 5, 7])])[0]
        assert distance(logits, (long if is_long else stock)(ids)) < EQUAL, turn


def test_a_shared_prefix_brings_its_table_along(convert: Convert, long: StockGraph) -> None:
    _, paged = convert(Stock(tables=(SHORT, 512)))
    ids, other, graph = tokens(40), tokens(10, 7), PagedGraph(paged)
    graph.step([(marked(ids), 0, [3, 5, 7])])
    logits = graph.step([(ids[32:], 32, [3, 5, 7]), (other, 32, [3, 5, 9])])
    assert distance(logits[1], long(ids[:32] + other)) < EQUAL


def test_where_the_shorter_table_reaches_all_it_stands_alone(tmp_path: Path) -> None:
    for context_length, expected in ((SHORT, None), (SHORT + 1, SHORT)):
        folder = write_stock_model(tmp_path / str(context_length), Stock(tables=(SHORT, 512)))
        assert rewrite(folder, context_length=context_length) == expected
        graph = onnx.load(folder / "paged" / "model.onnx", load_external_data=False).graph
        layers = {declared.name.split(".")[1] for declared in graph.input if "." in declared.name}
        assert len(layers) == LAYERS + (expected is not None)
        tables = [t for t in graph.initializer if t.name in ("cos_cache", "sin_cache")]
        assert {t.dims[0] for t in tables} == {SHORT + (context_length if expected else 0)}


def test_a_context_beyond_both_tables_is_refused(tmp_path: Path) -> None:
    folder = write_stock_model(tmp_path / "stock", Stock(tables=(SHORT, 512)))
    with pytest.raises(NotConvertibleError, match="end before 513"):
        rewrite(folder, context_length=513)
