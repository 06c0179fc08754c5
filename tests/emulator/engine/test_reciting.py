"""Any engine recites: in its own tokens, cut as it is told, and beside what it says itself."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.engine.errors import UnscriptedError
from phi_emulator.engine.machine.builds import has_engine_api
from phi_emulator.engine.protocol import EndReason, Engine, Message, Recital, Sampling, Step
from phi_emulator.engine.scripted import Reciting, ScriptedEngine
from phi_emulator.models import resolve_model

from tests.emulator.engine.conftest import NO_ENGINE
from tests.emulator.engine.driver import Driver
from tests.emulator.loading import load_scripted

WORDS = "one two three four five"


def plain() -> Reciting:
    return Reciting(ScriptedEngine(lambda messages: "its own words"))


def steps_of(engine: Engine, recital: Recital, max_tokens: int = 500) -> list[Step]:
    engine.open(1, engine.encode([Message("user", "x")]), Sampling(max_tokens, recital=recital))
    found: list[Step] = []
    while not found or found[-1].end is None:
        found += engine.step()
    engine.release(1)
    return found


@pytest.mark.parametrize("end", EndReason)
def test_it_ends_as_it_is_told(end: EndReason) -> None:
    assert steps_of(plain(), Recital(WORDS, None, end))[-1].end is end


def test_an_answer_is_cut_at_its_limit() -> None:
    found = steps_of(plain(), Recital(WORDS, None, EndReason.CONTENT_FILTER), max_tokens=3)
    assert ("".join(step.text for step in found), found[-1].end) == ("one two", EndReason.LENGTH)
    assert sum(step.token is not None for step in found) == 3


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.lists(st.integers(1, 9), max_size=12),
    st.integers(1, 60),
)
@settings(max_examples=200, deadline=None)
def test_its_pieces_are_cut_where_it_says_and_its_tokens_are_counted_as_ever(
    text: str, lengths: list[int], most: int
) -> None:
    cuts = [place for place in accumulate(lengths) if place < len(text)]
    whole, cut = steps_of(plain(), Recital(text), most), steps_of(plain(), Recital(text, cuts), most)
    said = "".join(step.text for step in cut)
    assert said == "".join(step.text for step in whole)
    assert [step.token for step in cut if step.token is not None] == [
        step.token for step in whole if step.token is not None
    ]
    assert cut[-1].end is whole[-1].end
    places = [*(place for place in cuts if place < len(said)), *([len(said)] if said else [])]
    assert [step.text for step in cut if step.text] == [
        said[start:stop] for start, stop in zip([0, *places], places, strict=False)
    ]


def test_others_run_beside_it_and_it_asks_nobody_for_itself() -> None:
    inner = ScriptedEngine(lambda messages: "its own words")
    driver = Driver(Reciting(inner))
    driver.open(1, "x", Sampling(50))
    driver.open(2, "x", Sampling(50, recital=Recital(WORDS)))
    driver.finish()
    assert driver.texts == {1: "its own words", 2: WORDS}
    before = inner.steps
    driver.open(3, "x", Sampling(50, recital=Recital(WORDS)))
    driver.finish()
    assert (driver.texts[3], inner.steps) == (WORDS, before)


def test_one_that_is_released_says_no_more() -> None:
    engine = plain()
    engine.open(1, engine.encode([Message("user", "x")]), Sampling(50, recital=Recital(WORDS)))
    assert [*engine.step()]
    assert engine.release(1) == 0
    assert engine.release(1) == 0
    assert [*engine.step()] == []


def test_with_a_models_tokens_a_text_is_said_as_it_stands() -> None:
    if not has_engine_api():
        pytest.skip(NO_ENGINE)
    engine = Reciting(load_scripted(resolve_model().folder, context_length=131_072))
    assert engine.info.context_length == 131_072
    assert (engine.info.model, engine.info.execution_provider) == ("scripted", "none")
    for text in (
        "a<|end|>b<|endoftext|>",
        '<|tool_call|>[{"name": "f", "arguments": {}}]<|/tool_call|>',
        "\n\n \t ",
        "",
        "é\u0301 🎉 日本 \ue000",
    ):
        assert "".join(step.text for step in steps_of(engine, Recital(text))) == text
    assert sum(step.token is not None for step in steps_of(engine, Recital("<|tool_call|>"))) == 1


def test_prompt_and_recital_have_the_models_own_tokens(ort: Engine) -> None:
    driver = Driver(Reciting(ort))
    prompt = driver.open(1, "What is 17 * 24?", Sampling(200, temperature=0))
    driver.finish()
    assert driver.open(2, "What is 17 * 24?", Sampling(200, recital=Recital(driver.texts[1]))) == prompt
    driver.finish()
    assert driver.texts[2] == driver.texts[1]
    # The model may say a text in other tokens than its tokenizer would; it does so seldom.
    assert abs(driver.tokens[2] - driver.tokens[1]) <= 3


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
@settings(deadline=None)
def test_any_text_is_said_by_some_tokens(any_text: Any, text: str) -> None:
    assert "".join(piece for _, piece in any_text.pieces(text)) == text


@pytest.fixture(scope="module")
def any_text() -> Any:
    if not has_engine_api():
        pytest.skip(NO_ENGINE)
    return load_scripted(resolve_model().folder)


def test_what_no_tokens_say_is_refused_alone() -> None:
    def pieces(text: str) -> Any:
        raise ValueError(f"no tokens say a text of {len(text)} characters")

    engine = Reciting(ScriptedEngine(lambda messages: "", pieces=pieces))
    with pytest.raises(UnscriptedError, match="no tokens say a text of 3 characters"):
        engine.open(1, engine.encode([Message("user", "x")]), Sampling(5, recital=Recital("abc")))
