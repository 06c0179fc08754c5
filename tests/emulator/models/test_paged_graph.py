"""The paged graph gives the stock graph's logits, whatever runs beside, however a prompt is cut."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from phi_emulator.models.graph.geometry import FLOAT_BITS, NotConvertibleError
from phi_emulator.models.graph.paged_graph import rewrite_graph
from phi_emulator.models.graph.step_indices import MAX_DRAFTS

from tests.emulator.models.paged_pool import (
    BLOCK,
    EQUAL,
    TOLERANCES,
    Convert,
    PagedGraph,
    StockGraph,
    blocks_for,
    chunked,
    distance,
    in_order,
    reversed_,
    scattered,
    tokens,
)
from tests.emulator.models.stock_models import (
    HEAD_SIZE,
    LAYERS,
    Stock,
    geometry,
    rewrite,
    write_stock_model,
)

# Int8 activations, as the builder's models have them, round differently wherever a last bit differs.
ROUGHLY_EQUAL = 0.15
KINDS = {
    "phi": Stock(),
    "long RoPE": Stock(tables=(64, 512)),
    "llama": Stock(type="llama", rotated=1.0),
    "unpacked": Stock(type="llama", rotated=1.0, packed=False),
    "pruned": Stock(pruned=True),
    "older operators": Stock(opset=14),
    "int8 activations": Stock(accuracy_level=4),
}
NOISE = {"int8 activations": ROUGHLY_EQUAL}


@pytest.mark.parametrize("cache_bits", TOLERANCES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_at_once_and_in_chunks_gives_the_stock_logits(
    convert: Convert, kind: str, cache_bits: int
) -> None:
    # With long RoPE the shorter table: up to there the stock graph takes it.
    stock, paged = convert(KINDS[kind], context_length=KINDS[kind].tables[0], cache_bits=cache_bits)
    # A last piece of up to eight tokens goes token by token, as drafts do.
    in_chunks = TOLERANCES[cache_bits] + NOISE.get(kind, 0.0)
    at_once = EQUAL if cache_bits == FLOAT_BITS else in_chunks
    for count in (1, 2, 15, 16, 17, 33, 64):
        prompt, blocks = tokens(count, count), blocks_for(count, 3)
        expected = stock(prompt)
        whole = PagedGraph(paged).step([(prompt, 0, blocks)])[0]
        assert distance(whole, expected) < at_once, count
        assert distance(chunked(paged, prompt, 9, blocks), expected) < in_chunks, count


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_single_tokens_after_a_prompt_give_the_stock_logits(convert: Convert, cache_bits: int) -> None:
    stock, paged = convert(Stock(), cache_bits=cache_bits)
    graph, text, blocks = PagedGraph(paged), tokens(40), blocks_for(40)
    graph.step([(text[:1], 0, blocks)])
    for past in range(1, 40):
        expected = stock(text[: past + 1])
        logits = graph.step([([text[past]], past, blocks)])[0]
        assert distance(logits, expected) < TOLERANCES[cache_bits], past


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_drafts_have_the_logits_that_they_have_alone_to_the_last_bit(
    convert: Convert, cache_bits: int
) -> None:
    _, paged = convert(Stock(accuracy_level=4), cache_bits=cache_bits)
    skip_where_rows_matter(paged)
    text, blocks = tokens(60), blocks_for(60)
    for begun in (1, 20):
        alone = PagedGraph(paged)
        alone.step([(text[:begun], 0, blocks)])
        expected = [alone.step([([text[past]], past, blocks)])[0] for past in range(begun, begun + 8)]
        for several in range(2, MAX_DRAFTS + 2):
            graph = PagedGraph(paged)
            graph.step([(text[:begun], 0, blocks)])
            logits = graph.step_all([(text[begun : begun + several], begun, blocks)])
            assert np.array_equal(logits, expected[:several]), several


def skip_where_rows_matter(paged: Path) -> None:
    """A product of int8 activations needn't round a row by itself as beside others: that is up to the processor."""
    rows = [([token], 0, [block]) for block, token in enumerate(tokens(8))]
    if not np.array_equal(PagedGraph(paged).step(rows)[0], PagedGraph(paged).step(rows[:1])[0]):
        pytest.skip("on this processor the number of rows changes how products are rounded")


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_drafts_beside_other_sequences_give_the_stock_logits(convert: Convert, cache_bits: int) -> None:
    stock, paged = convert(Stock(), cache_bits=cache_bits)
    tolerance = TOLERANCES[cache_bits]
    texts, blocks = [tokens(40, 1), tokens(40, 2)], [blocks_for(40), blocks_for(40, 3)]
    graph = PagedGraph(paged)
    graph.step([(texts[0][:20], 0, blocks[0])])
    logits = graph.step_all([(texts[0][20:24], 20, blocks[0]), (texts[1][:30], 0, blocks[1])])
    for past in range(4):
        assert distance(logits[past], stock(texts[0][: 21 + past])) < tolerance, past
    assert distance(logits[-1], stock(texts[1][:30])) < tolerance


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_drafts_that_were_wrong_leave_nothing_behind(convert: Convert, cache_bits: int) -> None:
    _, paged = convert(Stock(), cache_bits=cache_bits)
    text, blocks = tokens(40), blocks_for(40)
    clean, tried = PagedGraph(paged), PagedGraph(paged)
    for graph in (clean, tried):
        graph.step([(text[:20], 0, blocks)])
    tried.step([([text[20], *tokens(7, 9)], 20, blocks)])
    clean.step([(text[20:21], 20, blocks)])
    for past in range(21, 40):
        row = [([text[past]], past, blocks)]
        assert distance(clean.step(row)[0], tried.step(row)[0]) < EQUAL, past


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_sequences_that_join_in_mid_flight_give_the_stock_logits(convert: Convert, cache_bits: int) -> None:
    stock, paged = convert(Stock(), cache_bits=cache_bits)
    join_and_compare(stock, paged, TOLERANCES[cache_bits])


def test_int8_activations_make_no_more_than_their_own_noise(convert: Convert) -> None:
    stock, paged = convert(Stock(accuracy_level=4))
    join_and_compare(stock, paged, ROUGHLY_EQUAL)


def join_and_compare(stock: StockGraph, paged: Path, tolerance: float) -> None:
    texts = [tokens(120, 1), tokens(70, 2), tokens(30, 3)]
    blocks = [blocks_for(120), blocks_for(70, 8), blocks_for(30, 13)]
    done = [0, 0, 0]
    graph = PagedGraph(paged)
    while any(d < len(text) for d, text in zip(done, texts, strict=True)):
        rows = []
        for which, text in enumerate(texts):
            # The second joins after the first's prompt, the third while the second's is taken in.
            begun = which == 0 or done[which - 1] >= 40
            chunk = 20 if done[which] < 20 else 5 if done[which] < 40 else 1
            if begun and done[which] < len(text):
                rows.append((which, text[done[which] : done[which] + chunk]))
        logits = graph.step([(new, done[which], blocks[which]) for which, new in rows])
        for (which, new), row in zip(rows, logits, strict=True):
            done[which] += len(new)
            assert distance(row, stock(texts[which][: done[which]])) < tolerance, (which, done)


@pytest.mark.parametrize("cache_bits", TOLERANCES)
@pytest.mark.parametrize("placing", [in_order, reversed_, scattered])
def test_single_tokens_of_a_long_sequence_give_the_stock_logits_wherever_its_blocks_lie(
    convert: Convert, cache_bits: int, placing: Callable[[int], list[int]]
) -> None:
    stock, paged = convert(Stock(), cache_bits=cache_bits)
    text = tokens(163)
    blocks = placing(len(text) // BLOCK + 1)
    graph = PagedGraph(paged)
    graph.step([(text[:61], 0, blocks)])
    for past in range(61, len(text)):
        logits = graph.step([([text[past]], past, blocks)])[0]
        near = min((past + 1) % BLOCK, -(past + 1) % BLOCK)
        if near <= 1 or past % 7 == 0:
            assert distance(logits, stock(text[: past + 1])) < TOLERANCES[cache_bits], past


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_where_a_sequence_lies_changes_no_digit(convert: Convert, cache_bits: int) -> None:
    _, paged = convert(Stock(), cache_bits=cache_bits)
    text, ends = tokens(150), []
    for blocks in (in_order(10), reversed_(10), scattered(10)):
        graph = PagedGraph(paged)
        graph.step([(text[:90], 0, blocks)])
        ends.append(np.concatenate([graph.step([([text[past]], past, blocks)]) for past in range(90, 150)]))
    for other in ends[1:]:
        assert np.array_equal(ends[0], other)


@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_long_short_and_new_sequences_share_a_step(convert: Convert, cache_bits: int) -> None:
    stock, paged = convert(Stock(), cache_bits=cache_bits)
    rows = [(tokens(170, 1), 169), (tokens(9, 2), 8), (tokens(60, 3), 50), (tokens(101, 4), 100)]
    # A scattered table for each; the longest row makes the others' tables end in nothing.
    free, placed = [int(block) for block in np.random.default_rng(0).permutation(48)], []
    for text, _ in rows:
        count = len(text) // BLOCK + 1
        placed.append(free[:count])
        del free[:count]
    graph = PagedGraph(paged, blocks=48)
    for (text, past), blocks in zip(rows, placed, strict=True):
        graph.step([(text[:past], 0, blocks)])
    logits = graph.step(
        [(text[past:], past, blocks) for (text, past), blocks in zip(rows, placed, strict=True)]
    )
    for (text, _), row in zip(rows, logits, strict=True):
        assert distance(row, stock(text)) < TOLERANCES[cache_bits], len(text)


@pytest.mark.parametrize("filling", [np.nan, np.inf, -6e4, 6e4])
@pytest.mark.parametrize("cache_bits", TOLERANCES)
def test_what_the_pool_held_before_changes_nothing(convert: Convert, cache_bits: int, filling: float) -> None:
    _, paged = convert(Stock(), cache_bits=cache_bits)
    text = tokens(50)
    results = []
    for left in (0.0, filling):
        graph = PagedGraph(paged, left)
        prompts = graph.step([(text[:40], 0, [3, 5, 7]), (text[:5], 0, [2])])
        then = graph.step([([text[40]], 40, [3, 5, 7]), (text[5:9], 5, [2])])
        results.append(np.concatenate([prompts, then]))
    assert np.isfinite(results[0]).all()
    assert np.array_equal(results[0], results[1])


def test_weights_are_not_copied_into_the_graph(convert: Convert) -> None:
    _, paged = convert(Stock())
    assert (paged / "model.onnx").stat().st_size < 100_000


@pytest.mark.parametrize(
    ("stock", "complaint"),
    [
        (Stock(attention={"softcap": 30.0}), "softcap 30.0"),
        (Stock(attention={"local_window_size": 100}), "only 100 tokens back"),
        (Stock(attention={"do_rotary": 0}), "do_rotary 0"),
        (Stock(opset=12), "version 12"),
    ],
)
def test_an_unknown_attention_is_refused_by_name(tmp_path: Path, stock: Stock, complaint: str) -> None:
    folder = write_stock_model(tmp_path / "stock", stock)
    with pytest.raises(NotConvertibleError, match=complaint):
        rewrite(folder, context_length=4096)


def test_a_window_that_is_never_reached_is_no_obstacle(convert: Convert) -> None:
    stock, paged = convert(Stock(attention={"local_window_size": 4096}))
    prompt = tokens(20)
    assert distance(PagedGraph(paged).step([(prompt, 0, [0, 1])])[0], stock(prompt)) < EQUAL


def test_a_context_beyond_the_rotary_tables_is_refused(tmp_path: Path) -> None:
    folder = write_stock_model(tmp_path / "stock")
    with pytest.raises(NotConvertibleError, match="end before 5000"):
        rewrite(folder, context_length=5000)


def test_other_readers_of_the_mask_are_refused(tmp_path: Path) -> None:
    folder = write_stock_model(tmp_path / "stock")
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    node = next(n for n in model.graph.node if n.op_type == "Sigmoid")
    node.input[0] = "/mask/last"
    with pytest.raises(NotConvertibleError, match="'attention_mask' outside"):
        rewrite_graph(model, geometry(4096))


def test_the_stock_models_of_these_tests_declare_what_the_builder_declares(tmp_path: Path) -> None:
    folder = write_stock_model(tmp_path / "stock")
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    assert config["model"]["decoder"]["num_hidden_layers"] == LAYERS
    assert config["model"]["decoder"]["head_size"] == HEAD_SIZE
