"""The cache of bytes: what it rounds, what its attention makes of it, and what changes no digit of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from phi_emulator.models.graph import byte_cache
from phi_emulator.models.graph.geometry import CODES, Geometry, NotConvertibleError, block_step
from phi_emulator.models.graph.paged_graph import rewrite_graph

from tests.emulator.models.paged_pool import PagedGraph, Row, in_order, reversed_, scattered

Array = npt.NDArray[Any]
BLOCK: Final = 16
MOST: Final = 127
# What the graph's attention may differ from one in 64 bits, as a part of the largest value of the head.
EQUAL = 3e-4
# The same, as a part of the largest number of the mixture, where thousands of small probabilities make most of it.
SMALL_SHARES = 5e-4


@dataclass(frozen=True)
class Shape:
    kv_heads: int = 2
    group: int = 2
    head_size: int = 64
    opset: int = 21
    packed: bool = False
    context_length: int = 16_384

    def __str__(self) -> str:
        packed = " packed" if self.packed else ""
        return f"{self.kv_heads}x{self.group}x{self.head_size}{packed} of {self.opset}"

    @property
    def heads(self) -> int:
        return self.kv_heads * self.group

    @property
    def geometry(self) -> Geometry:
        return Geometry(
            1, self.heads, self.kv_heads, self.head_size, 1, self.context_length, BLOCK, cache_bits=8
        )

    def room(self, tokens: int) -> int:
        """Blocks of the smallest pool that holds so many."""
        step = block_step(self.kv_heads, self.head_size)
        return -(-tokens // (BLOCK * step)) * step


SHAPES = [
    Shape(1, 1),
    Shape(1, 4, opset=14),
    Shape(2, 3, 96),
    Shape(3, 1, 64, packed=True),
    Shape(3, 3, 96, opset=14),
    Shape(8, 3, 128),
    Shape(8, 4, 64, opset=17, packed=True),
    Shape(8, 2, 96, opset=18),
]


def write_attention(folder: Path, shape: Shape) -> None:
    """A model that is nothing but an attention, rewritten; its queries, keys and values are inputs."""
    half = shape.head_size // 2
    width, kv_width = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    # No turn: what is given is what is cached.
    tensors = {
        "cos": np.ones((shape.context_length, half), np.float32),
        "sin": np.zeros((shape.context_length, half), np.float32),
        "head": np.ones((width, 1), np.float32),
    }
    inputs = {"query": width, "key": kv_width, "value": kv_width}
    if shape.packed:
        inputs = {"query": sum(inputs.values())}
    projected = [name if name in inputs else "" for name in ("query", "key", "value")]
    attention = helper.make_node(
        "GroupQueryAttention",
        [*projected, "past_key_values.0.key", "past_key_values.0.value", "last", "longest", "cos", "sin"],
        ["attended"],
        domain="com.microsoft",
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        do_rotary=1,
    )
    nodes = [helper.make_node("Identity", ["cos"], [name]) for name in inputs]
    nodes += [attention, helper.make_node("MatMul", ["attended", "head"], ["logits"])]
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "attention", [], [], initializers)
    opsets = [helper.make_opsetid("", shape.opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    rewrite_graph(model, shape.geometry)
    for node in [node for node in model.graph.node if node.op_type == "Identity"]:
        model.graph.node.remove(node)
    info = helper.make_tensor_value_info
    model.graph.input.extend(info(name, TensorProto.FLOAT, [None, size]) for name, size in inputs.items())
    model.graph.output.append(info("attended", TensorProto.FLOAT, [None, width]))
    model.graph.output.append(info("/paged/groups", TensorProto.INT64, [None, 1]))
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")


class Texts:
    """Queries, keys and values [tokens, heads, head size] of tokens, which are numbered."""

    def __init__(self, shape: Shape, count: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.query = random.normal(size=(count, shape.heads, shape.head_size)).astype(np.float32)
        self.key = random.normal(size=(count, shape.kv_heads, shape.head_size)).astype(np.float32)
        self.value = random.normal(size=(count, shape.kv_heads, shape.head_size)).astype(np.float32)


class Attention:
    """The attention alone, over a pool that holds rubbish at first."""

    def __init__(self, folder: Path, shape: Shape, texts: Texts, *, blocks: int, filling: float = 1) -> None:
        self.shape, self.texts = shape, texts
        self.graph = PagedGraph(folder, filling, blocks)

    def step(self, rows: Sequence[Row]) -> Array:
        """Run rows of (new tokens, tokens before, blocks); return the mixtures [tokens, heads, head size]."""
        new = [token for tokens, _, _ in rows for token in tokens]
        t = self.texts
        parts = [tensor[new].reshape(len(new), -1) for tensor in (t.query, t.key, t.value)]
        feed = dict(zip(("query", "key", "value"), parts, strict=True))
        if self.shape.packed:
            feed = {"query": np.concatenate(parts, axis=1)}
        results = self.graph.run(rows, **feed)
        self.groups, attended = results["/paged/groups"], results["attended"]
        return np.asarray(attended).reshape(len(new), self.shape.heads, -1)

    def fill(self, count: int) -> None:
        """Cache the first `count` tokens in the pool's first blocks, without a look at those before each block's."""
        starts = range(0, count, BLOCK)
        self.step([(ids(start, min(start + BLOCK, count)), 0, [start // BLOCK]) for start in starts])

    def cached(self) -> tuple[Array, Array]:
        """The whole pool's keys and values [heads, tokens, head size]."""
        kv, size = self.shape.kv_heads, self.shape.head_size
        pool = self.graph.pool["past_key_values.0.key"].reshape(-1)
        codes = pool[-pool.size // (size + CODES) * CODES :].reshape(kv, CODES, -1)
        steps = 2.0 ** (codes / 8)
        keys = pool[: -codes.size].view(np.uint8).reshape(kv, -1, size) - 128.0
        values = self.graph.pool["past_key_values.0.value"].reshape(kv, -1, size).astype(np.float64)
        return keys * steps[:, 0, :, None], values * steps[:, 1, :, None]

    def expected(self, row: Row) -> Array:
        """What a row's mixtures are in 64 bits, given what is cached."""
        new, past, blocks = row
        keys, values = self.of(blocks, past + len(new))
        query = self.texts.query[new].astype(np.float64)
        query = query.reshape(len(new), self.shape.kv_heads, self.shape.group, -1)
        score = np.einsum("thgd,hkd->thgk", query, keys) * self.shape.head_size**-0.5
        unseen = np.arange(past + len(new))[None, :] > past + np.arange(len(new))[:, None]
        score = np.where(unseen[:, None, None, :], -np.inf, score)
        share = np.exp(score - score.max(axis=-1, keepdims=True))
        share /= share.sum(axis=-1, keepdims=True)
        mixed: Array = np.einsum("thgk,hkd->thgd", share, values)
        return mixed.reshape(len(new), self.shape.heads, -1)

    def of(self, blocks: list[int], count: int) -> tuple[Array, Array]:
        """Keys and values of the `count` tokens in `blocks`."""
        places = (np.array(blocks)[:, None] * BLOCK + np.arange(BLOCK)).reshape(-1)[:count]
        keys, values = self.cached()
        return keys[:, places], values[:, places]

    def error(self, mixed: Array, row: Row) -> float:
        """The largest difference from what is expected of a row, as a part of its head's largest value."""
        new, past, blocks = row
        _, values = self.of(blocks, past + len(new))
        largest = np.maximum(np.repeat(np.abs(values).max(axis=(1, 2)), self.shape.group), 1e-30)
        return float((np.abs(mixed - self.expected(row)).max(axis=(0, 2)) / largest).max())


def ids(start: int, end: int) -> list[int]:
    return list(range(start, end))


Make = Callable[..., Attention]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(shape: Shape, texts: Texts, **more: Any) -> Attention:
        more = {"blocks": shape.room(len(texts.key)), **more}
        write_attention(tmp_path, shape)
        return Attention(tmp_path, shape, texts, **more)

    return make


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nothing_is_lost_but_in_the_cache(make: Make, shape: Shape) -> None:
    texts = Texts(shape, 300)
    attention = make(shape, texts)
    blocks = scattered(19, shape.room(300))
    for start, end in ((0, 100), (100, 104), (104, 105), (105, 299), (299, 300)):
        row = (ids(start, end), start, blocks)
        assert attention.error(attention.step([row]), row) < EQUAL, start


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("size", [0.01, 1.0])
def test_thousands_still_count_beside_a_first_token_that_takes_nearly_all(
    make: Make, share: float, size: float
) -> None:
    """As the first token of real models does; its value has `size` times the others', which lean one way."""
    shape, count = Shape(), 8000
    texts = Texts(shape, count + 20)
    texts.value += 1
    texts.value[0] *= size
    texts.query[count] /= 8
    # A first key for which every query has this score, against about 0 for all others.
    score = np.log(count * share / (1 - share))
    for head, query in enumerate(texts.query[count].reshape(shape.kv_heads, shape.group, -1)):
        wanted = np.full(shape.group, score * shape.head_size**0.5)
        texts.key[0, head] = np.linalg.lstsq(query, wanted, rcond=None)[0]
    attention = make(shape, texts)
    attention.fill(count)
    row = (ids(count, count + 1), count, in_order(count // BLOCK + 1))
    mixed, expected = attention.step([row]), attention.expected(row)
    assert np.abs(mixed - expected).max() < SMALL_SHARES * np.abs(expected).max()


def test_several_new_tokens_of_a_long_row_see_what_is_before_them_and_no_more(make: Make) -> None:
    shape, count = Shape(), 5000
    attention = make(shape, Texts(shape, count))
    attention.fill(count)
    row = (ids(count - 40, count), count - 40, in_order(-(-count // BLOCK)))
    assert attention.error(attention.step([row]), row) < EQUAL


def test_ten_times_the_query_loses_ten_times_as_much_at_most(make: Make) -> None:
    shape = Shape()
    texts = Texts(shape, 200)
    texts.query *= 10
    row = (ids(0, 200), 0, in_order(13))
    attention = make(shape, texts)
    assert attention.error(attention.step([row]), row) < 10 * EQUAL


# What changes no digit.


CUTS: Final = (0, 90, 120, 127, *range(128, 150))


def run_through(attention: Attention, blocks: list[int]) -> Array:
    """A prompt in two pieces, drafts, and single tokens."""
    return np.concatenate([attention.step([(ids(*cut), cut[0], blocks)]) for cut in pairwise(CUTS)])


@pytest.mark.parametrize("shape", [Shape(), Shape(3, 2, 96)], ids=str)
def test_where_a_sequence_lies_and_in_what_changes_no_digit(make: Make, shape: Shape) -> None:
    texts = Texts(shape, 150)
    expected = run_through(make(shape, texts), in_order(10))
    for blocks in (reversed_(10), scattered(10)):
        assert np.array_equal(run_through(make(shape, texts), blocks), expected)
    larger = make(shape, texts, blocks=3 * shape.room(150), filling=0)
    assert np.array_equal(run_through(larger, scattered(10, 3 * shape.room(150))), expected)


@pytest.mark.parametrize("shape", [Shape(), Shape(1, 3), Shape(3, 2, 96)], ids=str)
def test_what_runs_beside_a_sequence_changes_no_digit(make: Make, shape: Shape) -> None:
    texts = Texts(shape, 400)
    alone = make(shape, texts, blocks=2 * shape.room(400))
    beside = make(shape, texts, blocks=2 * shape.room(400))
    own, long, short = list(range(10)), list(range(10, 26)), [26]
    beside.step([(ids(150, 350), 0, long)])
    for number, (start, end) in enumerate(pairwise(CUTS)):
        row = (ids(start, end), start, own)
        new = 5 if number < 4 else 1
        past = 350 + (number if number >= 4 else 0)
        others = [(ids(past, past + new), past - 150, long), (ids(399 - number % 3, 400), 0, short)]
        rows = [others[0], row, others[1]] if number % 2 else [row, *others]
        at = new if number % 2 else 0
        assert np.array_equal(beside.step(rows)[at : at + end - start], alone.step([row])), start


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_few_tokens_at_once_have_the_digits_that_they_have_alone(make: Make, shape: Shape) -> None:
    texts = Texts(shape, 60)
    alone = make(shape, texts)
    alone.fill(16)
    expected = np.concatenate([alone.step([([past], past, [0, 1, 2, 3])]) for past in range(16, 60)])
    for several in (2, 3, 8):
        together = make(shape, texts)
        together.fill(16)
        cuts = [*range(16, 60, several), 60]
        parts = [together.step([(ids(start, end), start, [0, 1, 2, 3])]) for start, end in pairwise(cuts)]
        assert np.array_equal(np.concatenate(parts), expected), several


@pytest.mark.parametrize("shape", [Shape(1, 1), Shape(3, 1, 96), Shape()], ids=str)
def test_what_is_cached_of_a_token_does_not_depend_on_how_many_are_written_with_it(
    make: Make, shape: Shape
) -> None:
    texts = Texts(shape, 720)
    # Around each number from which the next larger step is taken.
    edges = (MOST * 2 ** (np.arange(-60, 60) / 8)).astype(np.float32)
    for number, edge in enumerate(edges):
        for place in range(6):
            token = 6 * number + place
            texts.key[token, :, 0] = texts.value[token, :, 1] = edge + (place - 3) * np.spacing(edge)
            texts.key[token, :, 1:] %= edge / 2
            texts.value[token, :, 2:] %= edge / 2
            texts.value[token, :, 0] = 0
    pools = []
    for several in (1, 3, 7, 16):
        attention = make(shape, texts)
        attention.graph.pool = {name: np.zeros_like(pool) for name, pool in attention.graph.pool.items()}
        for start in range(0, 720, BLOCK):
            for first in range(start, start + BLOCK, several):
                new = ids(first, min(first + several, start + BLOCK))
                attention.step([(new, first - start, [start // BLOCK])])
        pools.append(attention.graph.pool)
    for name, pool in pools[0].items():
        assert all(np.array_equal(pool, other[name]) for other in pools[1:]), name


@pytest.mark.parametrize("shape", [Shape(8, 2), Shape(3, 2, 96), Shape(1, 2)], ids=str)
def test_groups_of_heads_change_no_digit(make: Make, shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, blocks = Texts(shape, 200), scattered(13)
    whole = 13 * BLOCK * shape.kv_heads * shape.head_size
    results = []
    divisors = [count for count in range(1, shape.kv_heads + 1) if shape.kv_heads % count == 0]
    for groups in divisors:
        monkeypatch.setattr(byte_cache, "_GROUP_BYTES", whole // groups)
        attention = make(shape, texts)
        attention.fill(199)
        attention.step([(ids(0, 199), 0, blocks)])
        results.append(attention.step([(ids(199, 200), 199, blocks), (ids(0, 20), 0, [14, 15])]))
        assert attention.groups[0] == groups
    for other in results[1:]:
        assert np.array_equal(results[0], other)


# What is cached.


def most_lost(written: Array) -> Array:
    """Half the largest step that numbers [tokens, heads, head size] may be rounded to."""
    largest = np.abs(written).max(axis=2, keepdims=True)
    return np.asarray(np.maximum(2 ** (1 / 8) * largest / MOST, 2.0**-16) / 2 * (1 + 1e-5))


def check_round_trip(attention: Attention, count: int) -> None:
    keys, values = attention.of(in_order(-(-count // BLOCK)), count)
    for written, cached in ((attention.texts.key, keys), (attention.texts.value, values)):
        lost = np.abs(cached.transpose(1, 0, 2) - written[:count])
        assert (lost <= most_lost(written[:count].astype(np.float64))).all()


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Attention:
    shape, folder = Shape(3, 1, 96), tmp_path_factory.mktemp("writer")
    write_attention(folder, shape)
    return Attention(folder, shape, Texts(shape, 1), blocks=shape.room(64))


@given(
    seed=st.integers(0, 2**32 - 1),
    exponents=st.lists(st.floats(-40, 20), min_size=1, max_size=40),
    outlier=st.sampled_from([1.0, 10.0, 1000.0]),
)
@settings(max_examples=60, deadline=None)
def test_a_number_is_kept_to_half_a_step(
    writer: Attention, seed: int, exponents: list[float], outlier: float
) -> None:
    count = len(exponents)
    texts = Texts(writer.shape, count, seed)
    size = (2.0 ** np.array(exponents) / outlier)[:, None, None]
    size = size * np.where(np.arange(writer.shape.head_size) == seed % writer.shape.head_size, outlier, 1)
    texts.key, texts.value = texts.key * size.astype(np.float32), texts.value * size.astype(np.float32)
    writer.texts = texts
    mixed = writer.step([(ids(0, count), 0, in_order(3))])
    assert np.isfinite(mixed).all()
    check_round_trip(writer, count)


EXTREMES = {
    "zeros": lambda tensor: tensor * 0,
    "tiny": lambda tensor: tensor * 1e-20,
    "large": lambda tensor: tensor / np.abs(tensor).max() * 1e5,
    "one outlier channel": lambda tensor: tensor * np.where(np.arange(tensor.shape[2]) == 7, 1000, 1),
    "one outlier token": lambda tensor: (
        tensor * np.where(np.arange(len(tensor)) == 0, 1000, 1)[:, None, None]
    ),
}


# A query's digits are shared by its channels, so one that is so much larger takes them from the others.
EXTREME = dict.fromkeys(EXTREMES, 10 * EQUAL) | {"one outlier channel": 0.1}


@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("where", [("query",), ("key",), ("value",), ("query", "key", "value")], ids=str)
def test_extreme_numbers_are_kept_and_attended(make: Make, extreme: str, where: tuple[str, ...]) -> None:
    shape = Shape()
    texts = Texts(shape, 80)
    for name in where:
        setattr(texts, name, EXTREMES[extreme](getattr(texts, name)).astype(np.float32))
    attention = make(shape, texts)
    for start, end in ((0, 70), (70, 75), (75, 80)):
        row = (ids(start, end), start, in_order(5))
        mixed = attention.step([row])
        assert np.isfinite(mixed).all()
        assert attention.error(mixed, row) < EXTREME[extreme]
    check_round_trip(attention, 80)


# The pool.


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_smallest_pool_works(make: Make, shape: Shape) -> None:
    blocks = block_step(shape.kv_heads, shape.head_size)
    count = blocks * BLOCK
    attention = make(shape, Texts(shape, count), blocks=blocks)
    row = (ids(0, count), 0, reversed_(blocks))
    assert attention.error(attention.step([row]), row) < EQUAL


@given(st.integers(1, 16), st.sampled_from([64, 80, 96, 128, 256]), st.integers(0, 2000))
def test_whole_blocks_are_the_most_that_a_pool_can_have(kv_heads: int, head_size: int, blocks: int) -> None:
    def fits(count: int) -> bool:
        return count * kv_heads * (head_size + CODES) % head_size == 0

    geometry = Shape(kv_heads, 1, head_size).geometry
    assert geometry.whole_blocks(blocks) == max(count for count in range(blocks + 1) if fits(count))


def test_a_context_whose_sums_are_too_large_for_32_bits_is_refused(tmp_path: Path) -> None:
    write_attention(tmp_path, Shape(context_length=133_144))
    with pytest.raises(NotConvertibleError, match="133144 tokens at most, and 133145 are asked for"):
        write_attention(tmp_path, Shape(context_length=133_145))
