"""Limits slide: what counts is the last minute, not the last full minute."""

from __future__ import annotations

import random

import pytest
from phi_emulator.service.rate_limits import (
    MOST_DEPLOYMENTS,
    Admission,
    Deployments,
    LimitExceededError,
    Limits,
    RateLimits,
)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0


class Limited:
    """A deployment whose limits stay as they are."""

    def __init__(self, state: RateLimits, limits: Limits) -> None:
        self.state, self.limits = state, limits
        self.settle, self.withdraw = state.settle, state.withdraw

    def admit(self, tokens: int) -> Admission:
        return self.state.admit(self.limits, tokens)

    @property
    def is_idle(self) -> bool:
        return self.state.is_idle


def limited(**limits: int) -> tuple[Limited, Time]:
    time = Time()
    return Limited(RateLimits(now=lambda: time.now), Limits(**limits)), time


def refused_for(limits: Limited, tokens: int = 1) -> int:
    with pytest.raises(LimitExceededError) as caught:
        limits.admit(tokens)
    return caught.value.retry_after_s


def test_without_limits_everything_is_let_in() -> None:
    limits, _ = limited()
    for _ in range(1000):
        limits.admit(10**6)


def test_requests_are_counted_over_the_last_minute() -> None:
    limits, time = limited(requests_per_minute=2)
    assert limits.admit(1).remaining_requests == 1
    time.now += 40
    assert limits.admit(1).remaining_requests == 0
    assert refused_for(limits) == 20
    time.now += 20
    limits.admit(1)
    assert refused_for(limits) == 40


def test_tokens_are_reserved_and_then_counted_as_taken() -> None:
    limits, time = limited(tokens_per_minute=100)
    first = limits.admit(90)
    assert first.remaining_tokens == 10
    assert refused_for(limits, 20) == 60
    limits.settle(first, 30)
    time.now += 1
    assert limits.admit(70).remaining_tokens == 0
    # The first leaves in 59 seconds, which is not enough for 40 more.
    assert refused_for(limits, 30) == 59
    assert refused_for(limits, 40) == 60


def test_a_request_larger_than_the_limit_is_let_in_alone() -> None:
    limits, time = limited(tokens_per_minute=100)
    limits.admit(500)
    assert refused_for(limits, 1) == 60
    time.now += 60
    limits.admit(500)


def test_requests_at_once_are_limited_until_one_ends() -> None:
    limits, time = limited(max_concurrent=1)
    first = limits.admit(1)
    time.now += 3600
    assert refused_for(limits) == 1
    limits.settle(first, None)
    limits.settle(first, None)
    limits.admit(1)
    assert refused_for(limits) == 1


def test_a_refusal_says_which_limit_it_is_and_what_else_is_left() -> None:
    limits, _ = limited(requests_per_minute=3, tokens_per_minute=100, max_concurrent=2)
    first = limits.admit(60)
    with pytest.raises(LimitExceededError) as caught:
        limits.admit(60)
    assert (caught.value.limit, caught.value.remaining_requests) == ("tokens", 2)
    limits.admit(10)
    with pytest.raises(LimitExceededError) as caught:
        limits.admit(1)
    assert (caught.value.limit, caught.value.remaining_requests) == ("concurrency", 1)
    limits.settle(first, 20)
    limits.settle(limits.admit(1), 1)
    with pytest.raises(LimitExceededError) as caught:
        limits.admit(1)
    assert (caught.value.limit, caught.value.remaining_requests) == ("requests", 0)


def test_what_ends_after_its_minute_changes_nothing_any_more() -> None:
    limits, time = limited(tokens_per_minute=100)
    first = limits.admit(90)
    time.now += 61
    assert limits.admit(90).remaining_tokens == 10
    limits.settle(first, 0)
    assert refused_for(limits, 11) == 60


def test_what_is_refused_after_all_counts_for_nothing() -> None:
    limits, time = limited(requests_per_minute=2, tokens_per_minute=100, max_concurrent=2)
    refused, kept = limits.admit(40), limits.admit(40)
    limits.withdraw(refused)
    limits.withdraw(refused)
    assert limits.admit(60).remaining_tokens == 0
    limits.withdraw(kept)
    time.now += 61
    assert limits.is_idle is False
    late = limits.admit(100)
    time.now += 61
    limits.withdraw(late)
    assert limits.admit(100).remaining_requests == 1


def test_nothing_that_is_left_is_negative() -> None:
    limits, time = limited(requests_per_minute=5, tokens_per_minute=100)
    running = [limits.admit(500)]
    told = [running[0].remaining_tokens]
    chance = random.Random(7)
    for _ in range(2000):
        time.now += chance.choice([0, 0, 1, 30])
        if running and chance.random() < 0.5:
            one = running.pop(chance.randrange(len(running)))
            if chance.random() < 0.5:
                limits.withdraw(one)
            else:
                limits.settle(one, chance.choice([None, 0, 700]))
            continue
        try:
            running.append(limits.admit(chance.randrange(300)))
            told += [running[-1].remaining_requests, running[-1].remaining_tokens]
        except LimitExceededError as error:
            told += [error.remaining_requests, error.retry_after_s]
    assert all(number is not None and number >= 0 for number in told)
    for one in running:
        limits.withdraw(one)
    time.now += 61
    assert limits.is_idle


def test_without_limits_nothing_is_kept() -> None:
    limits, _ = limited()
    limits.settle(limits.admit(1), 1)
    limits.admit(1)
    assert limits.is_idle


ONE = Limits(requests_per_minute=1)


def test_a_change_of_limits_forgets_nothing() -> None:
    time = Time()
    state = RateLimits(now=lambda: time.now)
    none, few, more = Limits(), Limits(requests_per_minute=2), Limits(requests_per_minute=3, max_concurrent=2)
    uncounted = state.admit(none, 5)
    first, second = state.admit(few, 10), state.admit(few, 20)
    assert refused_for(Limited(state, few)) == 60
    assert refused_for(Limited(state, more)) == 1
    state.settle(second, 1)
    assert state.admit(more, 30).remaining_requests == 0
    # Of one that began while there were no limits nothing is taken back.
    state.settle(uncounted, 99)
    state.withdraw(uncounted)
    assert refused_for(Limited(state, Limits(tokens_per_minute=41)), 1) == 60
    state.withdraw(first)
    assert state.admit(Limits(tokens_per_minute=41), 10).remaining_tokens == 0


def test_names_without_end_do_not_reset_the_limit_of_one_in_use() -> None:
    time = Time()
    deployments = Deployments(now=lambda: time.now)
    deployments.of("mine").admit(ONE, 1)
    for number in range(3000):
        deployments.of(number)
    assert refused_for(Limited(deployments.of("mine"), ONE)) == 60


def test_busy_deployments_without_end_share_one_limit() -> None:
    time = Time()
    deployments = Deployments(now=lambda: time.now)
    for number in range(MOST_DEPLOYMENTS + 1):
        deployments.of(number).admit(ONE, 1)
    assert refused_for(Limited(deployments.of("one more"), ONE)) == 60
    time.now += 60
    deployments.of("one more").admit(ONE, 1)
    assert deployments.of("one more") is deployments.of("one more")
