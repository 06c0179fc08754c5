"""Drafts on the bundled model: the same answers, in fewer steps."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from phi_emulator.engine.protocol import EndReason, Engine, Message, Sampling
from phi_emulator.engine.serving.generation import Outcome
from phi_emulator.engine.serving.source import Counts
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.models import resolve_model

from tests.emulator.engine.conftest import make_ort
from tests.emulator.engine.driver import Driver

REPEATS = "What is 48 + 377? " * 3
QUESTIONS = [
    "What is 17 * 24?",
    "Tom has 12 apples and buys 30 more. How many apples does Tom have now?",
    "Solve 3x + 5 = 20",
    "What is the capital of France?",
    "936 / 12",
    REPEATS,
]
GREEDY = Sampling(max_tokens=300, temperature=0)


class Clock:
    """Makes every step take a tenth of a second, drafts or not: so they always pay."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


def drafting() -> Engine:
    return make_ort(clock=Clock())


@pytest.fixture
def drafts() -> Iterator[Engine]:
    engine = drafting()
    yield engine
    engine.close()


@pytest.fixture
def plain() -> Iterator[Engine]:
    engine = make_ort(clock=lambda: 0.0)  # no step takes any time, so there is nothing to gain
    yield engine
    engine.close()


class Counting(Driver):
    """Counts steps, drafts, and those that came true."""

    steps = drafted = accepted = 0

    def run(self, sequence: int, question: str, sampling: Sampling) -> tuple[str, int, EndReason]:
        prompt = self.engine.encode([Message("user", question)])
        self.engine.open(sequence, prompt, sampling)
        text, tokens = "", 0
        for _ in range(2000):
            self.steps += 1
            for step in self.engine.step():
                text += step.text
                tokens += step.token is not None
                self.drafted += step.drafted_tokens
                self.accepted += step.accepted_tokens
                if step.end is not None:
                    self.engine.release(sequence)
                    return text, tokens, step.end
        raise AssertionError("still running")


# Hot answers are short ones: without AVX-512 rows that are computed together are rounded otherwise than one alone, and
# where thousands of tokens are nearly as likely as each other, that shows within hundreds of them.
@pytest.mark.parametrize(
    ("max_tokens", "temperature"),
    [(most, heat) for most in (1, 2, 3, 9, 40, 300) for heat in (0, 0.8, 3.0) if most * heat < 300],
)
def test_answers_are_the_same_with_drafts_and_without(
    drafts: Engine, plain: Engine, max_tokens: int, temperature: float
) -> None:
    with_drafts, without = Counting(drafts), Counting(plain)
    for number, question in enumerate(QUESTIONS):
        sampling = Sampling(max_tokens, temperature, top_p=0.95, seed=number)
        assert with_drafts.run(number, question, sampling) == without.run(number, question, sampling)
    assert without.drafted == 0
    if max_tokens == 300:
        assert with_drafts.accepted > 0
        assert with_drafts.steps == without.steps - with_drafts.accepted


def test_a_deterministic_engine_makes_no_drafts() -> None:
    engine = make_ort(clock=Clock(), deterministic=True)
    driver = Counting(engine)
    for number, question in enumerate(QUESTIONS):
        driver.run(number, question, GREEDY)
    assert driver.drafted == 0
    engine.close()


def test_sequences_beside_each_other_have_no_drafts(drafts: Engine) -> None:
    for number in range(2):
        drafts.open(number, drafts.encode([Message("user", REPEATS)]), GREEDY)
    running = 2
    while running == 2:
        for step in drafts.step():
            assert step.drafted_tokens == 0
            running -= step.end is not None


def test_a_newcomer_beside_a_sequence_with_drafts_changes_neither(drafts: Engine, plain: Engine) -> None:
    expected = [Counting(plain).run(number, QUESTIONS[number], GREEDY)[0] for number in range(2)]
    driver = Driver(drafts)
    driver.open(0, QUESTIONS[0], GREEDY)
    for _ in range(30):
        driver.step()
    driver.open(1, QUESTIONS[1], GREEDY)
    driver.finish()
    assert [driver.texts[0], driver.texts[1]] == expected


def test_a_sequence_released_among_its_drafts_gives_no_further_step(drafts: Engine) -> None:
    driver = Counting(drafts)
    for number, question in enumerate(QUESTIONS):
        driver.run(number, question, GREEDY)
    drafts.open(100, drafts.encode([Message("user", QUESTIONS[0])]), GREEDY)
    accepted = 0
    for _ in range(200):
        for step in drafts.step():
            assert not accepted, "it had been released"
            accepted = step.accepted_tokens
            if accepted:
                drafts.release(100)
        if accepted:
            break
    assert accepted
    assert list(drafts.step()) == []
    assert driver.run(101, QUESTIONS[1], GREEDY)[2] is EndReason.STOP


def test_a_prompt_that_was_answered_with_drafts_is_cached(drafts: Engine) -> None:
    driver = Driver(drafts)
    for number in range(2):
        prompt = driver.open(number, REPEATS, GREEDY)
        driver.finish()
    assert driver.cached[1] >= (len(prompt) // 16 - 1) * 16 > 0
    assert driver.texts[0] == driver.texts[1]


STOPS = [("</think>",), ("40",), ("8",), (" + ", "unseen"), ("boxed",), ("Tom has 4",)]


def test_stop_strings_among_drafts_cut_text_and_counts_as_they_do_without() -> None:
    async def ask(worker: Worker) -> list[tuple[str, Outcome | None]]:
        answers = []
        for question in QUESTIONS:
            prompt = await worker.encode([Message("user", question)])
            for stop in STOPS:
                generation = worker.submit(prompt, Sampling(max_tokens=200, temperature=0, stop=stop))
                answers.append(("".join([piece async for piece in generation]), generation.outcome))
        return answers

    def served(make: Callable[[], Engine]) -> tuple[list[tuple[str, Outcome | None]], Counts]:
        worker = Worker(make, clock=lambda: 0.0)
        worker.start()
        try:
            return asyncio.run(ask(worker)), worker.counts
        finally:
            worker.stop()

    answers, counts = served(drafting)
    expected, expected_counts = served(lambda: make_ort(clock=lambda: 0.0))
    assert answers == expected
    assert expected_counts.drafted_tokens == 0
    assert 0 < counts.accepted_tokens < counts.drafted_tokens
    assert counts.completion_tokens == expected_counts.completion_tokens


def test_a_folder_whose_search_options_forbid_drafts_is_served_without(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(resolve_model().folder, folder)
    settings = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    settings["search"]["repetition_penalty"] = 1.1
    (folder / "genai_config.json").write_text(json.dumps(settings), encoding="utf-8")
    engine = make_ort(folder, clock=Clock())
    driver = Counting(engine)
    for number, question in enumerate(QUESTIONS):
        driver.run(number, question, Sampling(max_tokens=100, temperature=0))
    assert driver.drafted == 0
    engine.close()
