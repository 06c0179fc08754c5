"""Drafts: what is proposed has stood there before, and is proposed as long as it pays."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.engine.native.drafts import LENGTH, Drafter, Lookup, Payoff

# Few different tokens, so that texts repeat themselves.
TEXTS = st.lists(st.integers(0, 3), max_size=60)


@given(TEXTS, TEXTS, st.integers(1, 8))
def test_what_is_found_followed_the_last_tokens_before(
    prompt: list[int], answer: list[int], most: int
) -> None:
    lookup = Lookup(prompt)
    for token in answer:
        lookup.find(most)
        lookup.add(token)
    text = prompt + answer
    found = lookup.find(most)
    last = text[-LENGTH:]
    starts = [at for at in range(LENGTH, len(text)) if text[at - LENGTH : at] == last and len(text) >= LENGTH]
    assert bool(found) == bool(starts)
    if found:
        whole = text + found
        assert len(found) == most
        assert found == whole[starts[-1] : starts[-1] + most]


@given(TEXTS, st.lists(st.booleans(), max_size=60))
def test_it_makes_no_difference_when_is_looked(text: list[int], looks: list[bool]) -> None:
    eager, lazy = Lookup([]), Lookup([])
    for token, look in zip(text, looks, strict=False):
        eager.add(token)
        lazy.add(token)
        now = eager.find(3)
        if look:
            assert lazy.find(3) == now


def test_the_work_for_a_token_does_not_grow_with_the_text() -> None:
    class Counted(list[int]):
        """Counts the tokens that are read from it."""

        read = 0

        def __getitem__(self, key: slice) -> list[int]:  # type: ignore[override]  # only slices are taken
            found = super().__getitem__(key)
            self.read += len(found)
            return found

    work = []
    for length in (100, 10_000):
        lookup = Lookup([])
        text = lookup._tokens = Counted()
        for token in range(length):
            lookup.add(token)
            lookup.find(7)
        work.append(text.read / length)
        assert lookup.remembered <= length
    assert work[1] <= work[0] * 1.1


class Steps:
    """Plays a model whose plain step takes `plain_s`, and a draft `cost` of it."""

    def __init__(self, *, cost: float, plain_s: float = 0.1) -> None:
        self.payoff = Payoff()
        self.cost, self.plain_s = cost, plain_s
        self.steps = self.drafted = 0
        self.seconds = 0.0

    def answer(self, prompt: Sequence[int], text: Sequence[int], most: int = 7) -> None:
        """Generate `text`."""
        drafter = Drafter(prompt, self.payoff)
        done = 0
        while done < len(text):
            drafts = drafter.propose(min(most, len(text) - done - 1))
            assert len(drafts) <= most
            given = 1
            for draft, token in zip(drafts, text[done:], strict=False):
                if draft != token:
                    break
                given += 1
            seconds = self.plain_s * (1 + self.cost * len(drafts))
            assert drafter.note_step(text[done : done + given], seconds) == given - 1
            for token in text[done : done + given]:
                drafter.add(token)
            done += given
            self.steps += 1
            self.drafted += len(drafts)
            self.seconds += seconds


REPEATING = [*range(40), *range(100, 140)] * 5
# After three tokens that stood there before always comes another one.
DECEIVING = [token for turn in range(600) for token in (1, 2, 3, 1000 + turn)]


def test_a_text_that_repeats_takes_fewer_steps_and_less_time() -> None:
    steps = Steps(cost=0.3)
    steps.answer([], REPEATING)
    assert steps.steps < len(REPEATING) * 0.5
    assert steps.seconds < len(REPEATING) * steps.plain_s * 0.8


@pytest.mark.parametrize("cost", [0.1, 0.3, 0.6, 1.0])
def test_drafts_that_never_come_true_are_left_out_and_cost_next_to_nothing(cost: float) -> None:
    steps = Steps(cost=cost)
    steps.answer([], DECEIVING)
    learning = steps.seconds
    steps.answer([], DECEIVING)
    plain = len(DECEIVING) * steps.plain_s
    assert learning < plain * 1.02
    assert steps.seconds - learning < plain * 1.015


def test_drafts_that_cost_too_much_are_left_out_even_if_they_come_true() -> None:
    steps = Steps(cost=1.0)
    steps.answer([], REPEATING)
    plain = len(REPEATING) * steps.plain_s
    assert steps.seconds < plain * 1.02


def test_steps_too_short_to_look_for_drafts_have_none() -> None:
    steps = Steps(cost=0.1, plain_s=0.0005)
    steps.answer([], REPEATING)
    assert steps.drafted == 0


def test_what_did_not_pay_is_tried_again_and_taken_up_when_it_does() -> None:
    steps = Steps(cost=0.3)
    steps.answer([], DECEIVING)
    before = steps.steps
    steps.answer([], REPEATING * 10)
    assert steps.steps - before < len(REPEATING) * 10 * 0.5


def test_a_sequence_goes_on_with_what_the_one_before_taught() -> None:
    steps = Steps(cost=0.3)
    steps.answer([], DECEIVING)
    drafted = steps.drafted
    steps.answer([], DECEIVING[:80])
    assert steps.drafted - drafted <= 3


def test_one_disturbed_step_does_not_end_drafts() -> None:
    payoff = Payoff()
    for _ in range(5):
        payoff.note_plain(0.1)
    payoff.note_drafts(2, 2, 0.13)
    payoff.note_drafts(2, 2, 0.13)
    payoff.note_drafts(2, 2, 9.0)
    assert payoff.choose(7) >= 2
