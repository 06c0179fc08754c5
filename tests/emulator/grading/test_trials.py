"""Lines: what is written is read again, and what can't be read is said."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.grading.answers import KINDS, write_text
from phi_emulator.grading.scenarios import Scope, fixed_trials, random_trials, simpler
from phi_emulator.grading.trials import Trial, TrialError, read_trial

SCOPES = [
    Scope(streams=True, body=6000, tokens=30, ends=(100, 300), patience=3600, short=30),
    Scope(streams=False, body=600, tokens=20, ends=(), patience=None, short=2),
]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("seed", range(20))
def test_a_trial_is_read_from_its_own_line(scope: Scope, seed: int) -> None:
    for trial in itertools.chain(
        fixed_trials(scope, seed), itertools.islice(random_trials(scope, seed), 100)
    ):
        assert str(read_trial(str(trial))) == str(trial)
        for other in simpler(trial):
            assert str(read_trial(str(other))) == str(other) != str(trial)


def test_the_same_seed_makes_the_same_trials_and_another_one_others() -> None:
    def lines(seed: int) -> list[str]:
        return [str(trial) for trial in itertools.islice(random_trials(SCOPES[0], seed), 50)]

    assert lines(1) == lines(1) != lines(2)


def test_whole_answers_meet_no_fault_of_streams() -> None:
    for trial in itertools.islice(random_trials(SCOPES[1], 0), 500):
        assert not any(step.is_of_streams for step in trial.steps)


def test_a_trial_that_gets_simpler_ends() -> None:
    trial = read_trial("unopened seed=5 pieces=3 | 1 cut_body bytes=60000 how=end | 2- retry_after form=date")
    for _ in range(200):
        following = next(simpler(trial), None)
        if following is None:
            break
        trial = following
    assert str(trial) == str(Trial())


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("", "KIND seed=NUMBER"),
        ("plain", "KIND seed=NUMBER"),
        ("strange seed=1 pieces=7", "kinds are"),
        ("plain seed=1 pieces=0", "KIND seed=NUMBER"),
        ("plain seed=1 pieces=7 | stall", "begin with its number"),
        ("plain seed=1 pieces=7 | 0 stall", "begin with its number"),
        ("plain seed=1 pieces=7 | 1 stal", "did you mean `stall`"),
        ("plain seed=1 pieces=7 | 1 stall tokens=x", "is no number"),
        ("plain seed=1 pieces=7 | 1 redirect", "write `redirect status=307 to=port`"),
        ("plain seed=1 pieces=7 | 1 redirect status=200 to=port", "with a status of"),
        ("plain seed=1 pieces=7" + " | 1 wait" * 30, "20 at most"),
    ],
)
def test_a_line_that_is_no_trial_is_told_why(line: str, word: str) -> None:
    with pytest.raises(TrialError, match=word):
        read_trial(line)


@given(st.text(max_size=80))
def test_any_text_is_a_trial_or_an_error(line: str) -> None:
    with suppress(TrialError):
        read_trial(line)


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_of_a_text_are_found_in_it_once_and_in_no_other(kind: str) -> None:
    texts = [write_text(kind, seed, number) for seed in range(1, 30) for number in range(1, 4)]
    for text in texts:
        assert text.found_in(text.text)[1] == [*range(len(text.answer))]
        assert sorted(text.found_in(text.text)[0]) == [*range(len(text.thoughts))]
        assert sum(other.found_in(text.text) == ([], []) for other in texts) == len(texts) - 1


def test_a_number_is_found_with_separators() -> None:
    text = write_text("no-thoughts", 1, 1)
    number = f"{int(text.answer[-1]):,}"
    assert "," in number
    assert text.found_in(f"= {number}")[1] == [len(text.answer) - 1]
