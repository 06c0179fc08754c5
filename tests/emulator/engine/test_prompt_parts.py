"""Long prompts: in large chunks for one who is alone, in small parts as soon as others run, and the same either way."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.engine.errors import SequenceError
from phi_emulator.engine.native.prompt_parts import PART, KnownPrefixes, Reading, chunk_of
from phi_emulator.engine.protocol import EndReason, Engine, Message, Sampling

from tests.emulator.engine.conftest import make_ort

CHUNK = 64
LONG = Sampling(max_tokens=400, temperature=0)
TURNS = [
    Message(role, text)
    for first in range(3, 20)
    for role, text in (
        ("user", f"What is {first} + 4?"),
        ("assistant", f"The answer is \\boxed{{{first + 4}}}."),
    )
]
QUESTION = [*TURNS, Message("user", "What is 17 * 24?")]


class Run:
    """One long prompt in an engine, with what others get meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.prompt: Sequence[int] = engine.encode(QUESTION)
        self.text = ""
        self.steps = 0
        """Until its first token."""
        self.others: list[int] = []
        """Tokens that each step gave to others until then."""
        self.cached = -1
        self.end: EndReason | None = None

    def go(self, *, others: int = 0, joining_at: int = 0, sampling: Sampling = LONG) -> Run:
        """Read the prompt under the number 0, to its end; `others` join at a step of it, or run before."""
        numbers = range(1, others + 1)
        for number in numbers if not joining_at else ():
            self.join(number)
        self.engine.open(0, self.prompt, sampling)
        for step in range(1, 1000):
            for number in numbers if step == joining_at else ():
                self.engine.open(number, *another(number))
            self._step(step)
            if self.end is not None:
                break
        for number in (0, *numbers):
            self.engine.release(number)
        return self

    def _step(self, number: int) -> None:
        got = 0
        for step in self.engine.step():
            assert step.error is None
            if step.sequence:
                got += step.token is not None
                continue
            if step.token is not None:
                self.steps = self.steps or number
            self.text += step.text
            if step.end is not None:
                self.end, self.cached = step.end, step.cached_prompt_tokens
        if not self.steps:
            self.others.append(got)

    def join(self, number: int) -> None:
        """Let another run, whose prompt is read."""
        self.engine.open(number, *another(number))
        while not [step for step in self.engine.step() if step.sequence == number]:
            pass


def another(number: int) -> tuple[Sequence[int], Sampling]:
    return [number + 4, 8, 15], Sampling(max_tokens=900, temperature=1, seed=number)


def chunks(tokens: int, size: int) -> int:
    return -(-tokens // size)


@pytest.fixture(scope="module")
def text() -> str:
    """The answer of an engine that reads every prompt alone, and takes nothing from its cache."""
    engine = make_ort(deterministic=True)
    run = Run(engine).go()
    engine.close()
    assert run.steps == chunks(len(run.prompt), CHUNK)
    assert len(run.text) > 20
    return run.text


def test_a_prompt_alone_is_read_in_large_chunks(ort: Engine, text: str) -> None:
    run = Run(ort).go()
    assert run.steps == chunks(len(run.prompt), CHUNK)
    assert run.text == text
    assert run.cached == 0


@pytest.mark.parametrize("others", [1, 3])
def test_beside_others_it_is_read_in_small_parts_and_they_get_a_token_in_each_step(
    ort: Engine, text: str, others: int
) -> None:
    run = Run(ort).go(others=others)
    assert run.steps == chunks(len(run.prompt), PART)
    assert set(run.others) == {others}
    assert run.text == text
    assert (run.end, run.cached) == (EndReason.STOP, 0)


def test_when_others_join_in_its_midst_what_is_left_is_read_in_parts(ort: Engine, text: str) -> None:
    run = Run(ort).go(others=2, joining_at=3)
    assert run.steps == 2 + chunks(len(run.prompt) - 2 * CHUNK, PART)
    assert run.text == text
    assert run.cached == 0


def test_a_prefix_that_is_cached_is_not_read_again_and_counts_as_cached(ort: Engine) -> None:
    whole = Run(ort).go()
    again = Run(ort).go(others=1)
    kept = (len(whole.prompt) - 1) // PART * PART
    assert (again.steps, again.cached) == (1, kept)
    assert Run(ort).go().cached == kept


@pytest.mark.parametrize("joining_at", [0, 2])
def test_what_its_own_parts_left_in_the_cache_is_not_told_as_cached(ort: Engine, joining_at: int) -> None:
    first = Run(ort)
    first.prompt = first.prompt[: 7 * PART]
    first.go(sampling=Sampling(1, temperature=0))  # which ends at once, without a token
    run = Run(ort).go(others=1, joining_at=joining_at)
    assert run.cached == 7 * PART


def test_whoever_leaves_in_the_midst_of_the_parts_frees_the_engine_and_tells_what_was_cached(
    ort: Engine, text: str
) -> None:
    for steps in range(1, 6):
        run = Run(ort)
        run.prompt = [*range(100 + steps, 400)]
        run.join(1)
        ort.open(0, run.prompt, LONG)
        for _ in range(steps):
            list(ort.step())
        assert ort.release(0) == 0
        ort.release(1)
    assert Run(ort).go().text == text


def test_guidance_holds_for_an_answer_whose_prompt_was_read_in_parts(ort: Engine) -> None:
    guided = Sampling(20, temperature=1, seed=3, guidance='start: "yes" | "no"')
    assert Run(ort).go(others=1, sampling=guided).text in ("yes", "no")


def test_a_seed_gives_its_text_with_parts_too(ort: Engine) -> None:
    sampling = Sampling(30, temperature=1, seed=11)
    texts = {Run(ort).go(others=others, sampling=sampling).text for others in (1, 1, 2)}
    assert len(texts) == 1


def test_a_refusal_between_parts_ends_that_sequence_alone(ort: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(ort)
    run.join(1)
    ort.open(0, run.prompt, LONG)

    def refuse(*_: object) -> None:
        raise SequenceError("not this one")

    monkeypatch.setattr(ort, "_begin", refuse)
    steps = list(ort.step())
    assert [type(step.error) for step in steps if step.sequence == 0] == [SequenceError]
    assert ort.release(0) == 0
    monkeypatch.undo()
    assert [step.sequence for step in ort.step()] == [1]
    ort.release(1)


@settings(deadline=None)
@given(
    st.integers(1, 600),
    st.integers(0, 600),
    st.lists(st.booleans(), max_size=60),
    st.sampled_from([0, PART, CHUNK]),
)
def test_a_prompt_is_read_once_whoever_comes_and_goes(
    length: int, cached: int, alone: list[bool], chunk: int
) -> None:
    """Against a model of the native engine: a cache of blocks, and what one step reads of what was begun last."""
    prompt = list(range(length))
    prefixes = KnownPrefixes(1000)
    prefixes.note(prompt[:cached])
    in_cache = cached // PART * PART
    reading, begun, position = (
        Reading(prompt, chunk, prefixes),
        length,
        min(in_cache, (length - 1) // PART * PART),
    )
    for step in range(1000):
        is_alone = alone[step] if step < len(alone) else True
        end = reading.begin_next(alone=is_alone)
        if end is not None:
            if reading.is_cut:
                reading.note_cut(min(in_cache, (length - 1) // PART * PART))
            begun, position = end, min(in_cache, (end - 1) // PART * PART)
        read = min(begun - position, chunk or CHUNK)
        assert read > 0
        assert is_alone or chunk <= PART or read <= PART
        position += read
        in_cache = max(in_cache, position // PART * PART)
        if position == begun == length:
            break
        if position == begun:
            reading.note_part(SimpleNamespace(cached_prompt_tokens=cached), has_ended=True)
    else:
        raise AssertionError("the prompt is never read")


def test_known_prefixes_are_bounded_and_begin_at_the_first_token() -> None:
    numbers = random.Random(1)
    prefixes = KnownPrefixes(4)
    first, second = ([numbers.randrange(1000) for _ in range(70)] for _ in range(2))
    prefixes.note(first)
    assert (prefixes.known(first), prefixes.known(first[:64]), prefixes.known(first[1:])) == (64, 48, 0)
    assert prefixes.known([*first[:32], 1, *first[33:]]) == 32
    prefixes.note(second)
    assert (prefixes.known(first), prefixes.known(second)) == (0, 64)


def test_parts_need_a_cache_that_finds_them() -> None:
    settings = {"search": {"chunk_size": 64}}
    assert chunk_of(settings, {"block_size": PART}) == 64
    assert chunk_of(settings, {"block_size": PART, "prefix_caching": False}) == 0
    assert chunk_of(settings, {"block_size": 2 * PART}) == 0
    assert chunk_of(settings, None) == 0
