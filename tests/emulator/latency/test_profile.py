"""When tokens are due: seeded, in order, on the mean that is asked for, the same on every machine."""

from __future__ import annotations

import statistics
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.latency.profile import Profile


def due(profile: Profile, tokens: int, *, number: int = 1, prompt: int = 0) -> list[float]:
    return list(islice(profile.due_times(prompt, number), tokens))


def test_without_jitter_the_times_are_those_of_the_profile() -> None:
    profile = Profile(first_s=0.5, prompt_s=0.01, gap_s=0.025)
    assert due(profile, 4, prompt=10) == pytest.approx([0.6, 0.625, 0.65, 0.675])


def test_tokens_of_a_chunk_come_together() -> None:
    assert due(Profile(first_s=1, gap_s=0.1, chunk=3), 7) == pytest.approx([1, 1, 1, 1.3, 1.3, 1.3, 1.6])


def test_the_same_seed_and_number_give_the_same_times_and_others_give_others() -> None:
    profile = Profile(first_s=1, gap_s=0.1, jitter=0.3, first_jitter=0.3, seed=7)
    assert due(profile, 50) == due(profile, 50)
    assert due(profile, 50) != due(profile, 50, number=2)
    assert due(profile, 50) != due(Profile(first_s=1, gap_s=0.1, jitter=0.3, first_jitter=0.3, seed=8), 50)


def test_the_times_of_a_seed_are_those_of_every_machine() -> None:
    profile = Profile(first_s=1, gap_s=0.1, jitter=0.3, first_jitter=0.5, seed=7)
    assert due(profile, 4) == pytest.approx([0.63568, 0.76429, 0.87794, 0.96611], abs=1e-4)


JITTERS = st.floats(0, 10)
PROFILES = st.builds(
    Profile,
    first_s=st.floats(0, 3),
    gap_s=st.floats(0, 10),
    jitter=JITTERS,
    first_jitter=JITTERS,
    chunk=st.integers(1, 5),
    seed=st.integers(0, 2**63 - 1),
)


@given(PROFILES, st.integers(1, 10**6))
def test_times_never_go_backwards(profile: Profile, number: int) -> None:
    times = due(profile, 40, number=number)
    assert times[0] >= 0
    assert all(earlier <= later for earlier, later in pairwise(times))


@pytest.mark.parametrize("jitter", [0.1, 0.5, 1.0])
def test_jitter_is_the_standard_deviation_around_the_mean(jitter: float) -> None:
    profile = Profile(gap_s=0.02, jitter=jitter, first_jitter=jitter, first_s=1, seed=1)
    gaps = [later - earlier for earlier, later in pairwise(due(profile, 20_000))]
    assert statistics.fmean(gaps) == pytest.approx(0.02, rel=0.05)
    assert statistics.stdev(gaps) / statistics.fmean(gaps) == pytest.approx(jitter, rel=0.1)
    firsts = [due(profile, 1, number=number)[0] for number in range(2000)]
    assert statistics.fmean(firsts) == pytest.approx(1, rel=0.1)


def test_the_gaps_do_not_depend_on_the_jitter_of_the_first_token() -> None:
    even = due(Profile(first_s=1, gap_s=0.1, jitter=0.3, seed=7), 9)
    uneven = due(Profile(first_s=1, gap_s=0.1, jitter=0.3, first_jitter=0.5, seed=7), 9)
    assert [b - a for a, b in pairwise(even)] == pytest.approx([b - a for a, b in pairwise(uneven)])
