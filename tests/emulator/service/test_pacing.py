"""Tokens go out when they are due, in virtual time: none earlier, none later than model and listener make it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.engine.errors import EngineFailedError
from phi_emulator.engine.protocol import EndReason
from phi_emulator.engine.serving.generation import Generation, Outcome, Piece, Times
from phi_emulator.latency.profile import Profile
from phi_emulator.service.pacing import LATE_S, Pace

from phi_client.contract.clock.base import Clock

EVEN = Profile(first_s=1.0, gap_s=0.5)


class Time:
    """Time that passes by waiting alone."""

    def __init__(self, now: float = 1000.0) -> None:
        self.seconds = now
        self.clock = Clock(now=lambda: self.seconds, sleep_async=self.pass_by)

    async def pass_by(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds += seconds


class Model:
    """In the place of a generation: its n-th token is there so many seconds after the beginning."""

    def __init__(
        self, time: Time, at: Sequence[float], *, silent: Sequence[int] = (), error: Exception | None = None
    ) -> None:
        self._time, self._at, self._silent, self._error = time, at, silent, error
        self._begun = time.seconds
        self.outcome: Outcome | None = None

    async def batches(self) -> AsyncIterator[list[Piece]]:
        left = [(at, Piece(f"{n} ", n)) for n, at in enumerate(self._at, 1) if n not in self._silent]
        while left:
            late = self._begun + left[0][0] - self._time.seconds
            if late > 0:
                await self._time.pass_by(late)
            there = [one for at, one in left if self._begun + at <= self._time.seconds] or [left[0][1]]
            del left[: len(there)]
            yield there
        if self._error is not None:
            raise self._error
        self.outcome = Outcome(EndReason.STOP, 3, len(self._at), 0, Times(0, 0, 0, 0, 0))


def heard(
    time: Time,
    pace: Pace,
    model: Model,
    *,
    whole: bool = False,
    slow_s: float = 0.0,
) -> tuple[list[tuple[float, str]], float]:
    """What went out and when, and when it was over, in seconds after the beginning."""
    begun = time.seconds

    async def listen() -> list[tuple[float, str]]:
        found: list[tuple[float, str]] = []
        async for texts in pace.texts(cast("Generation", model), 3, whole=whole):
            found.append((round(time.seconds - begun, 6), "".join(texts)))
            if slow_s:
                await time.pass_by(slow_s)
        return found

    return asyncio.run(listen()), round(time.seconds - begun, 6)


def paced(time: Time, profile: Profile = EVEN, number: int = 1) -> Pace:
    begun = time.seconds
    return Pace(profile, number, begun=lambda: begun, clock=time.clock)


def test_tokens_of_a_quick_model_go_out_one_by_one_when_they_are_due() -> None:
    time = Time()
    pace = paced(time)
    assert heard(time, pace, Model(time, [0.1] * 4)) == (
        [(1.0, "1 "), (1.5, "2 "), (2.0, "3 "), (2.5, "4 ")],
        2.5,
    )
    assert pace.lateness.tokens == 4
    assert pace.lateness.told == ""
    assert pace.told == "first=1000ms, rate=2/s; answer 1"
    assert pace.held_s == pytest.approx(2.4)


def test_a_model_that_is_late_is_told_and_puts_off_nothing_after_it() -> None:
    time = Time()
    pace = paced(time)
    found, over = heard(time, pace, Model(time, [0.1, 2.2, 2.3, 2.31]))
    assert found == [(1.0, "1 "), (2.2, "2 "), (2.3, "3 "), (2.5, "4 ")]
    assert over == 2.5
    assert pace.lateness.late_tokens == 2
    assert pace.lateness.most_s == pytest.approx(0.7)
    assert pace.told.endswith("; 2 of 4 tokens late, by 700 ms at most")


def test_a_token_that_says_nothing_has_its_time_too() -> None:
    time = Time()
    assert heard(time, paced(time), Model(time, [0.1] * 5, silent=[2, 3, 5])) == (
        [(1.0, "1 "), (2.5, "4 ")],
        3.0,
    )


def test_tokens_of_a_chunk_go_out_together() -> None:
    time = Time()
    profile = Profile(first_s=1, gap_s=0.5, chunk=2)
    assert heard(time, paced(time, profile), Model(time, [0.1] * 5))[0] == [
        (1.0, "1 2 "),
        (2.0, "3 4 "),
        (3.0, "5 "),
    ]


def test_a_whole_answer_takes_as_long_as_its_stream() -> None:
    streamed, whole = Time(), Time()
    profile = Profile(first_s=1, gap_s=0.5, jitter=0.4, first_jitter=0.4, seed=3)
    _, over = heard(streamed, paced(streamed, profile), Model(streamed, [0.1] * 9))
    pace = paced(whole, profile)
    assert heard(whole, pace, Model(whole, [0.1] * 9), whole=True)[1] == over
    assert pace.lateness.tokens == 1


def test_a_whole_answer_of_a_slow_model_is_told_as_late() -> None:
    time = Time()
    pace = paced(time)
    assert heard(time, pace, Model(time, [0.1, 7.0]), whole=True)[1] == 7.0
    assert pace.lateness.told == "late by 5500 ms"


def test_an_answer_without_a_token_takes_the_time_of_the_first() -> None:
    time = Time()
    assert heard(time, paced(time), Model(time, [])) == ([], 1.0)


def test_what_a_fault_holds_puts_off_all_that_follows() -> None:
    time = Time()
    begun, put_off = time.seconds, 0.0

    async def listen() -> list[float]:
        nonlocal put_off
        pace = Pace(EVEN, 1, begun=lambda: begun + put_off, clock=time.clock)
        found: list[float] = []
        async for _ in pace.texts(cast("Generation", Model(time, [0.1] * 4)), 3, whole=False):
            found.append(round(time.seconds - begun, 6))
            if len(found) == 2:
                await time.pass_by(10)
                put_off += 10
        assert pace.lateness.late_tokens == 0
        return found

    assert asyncio.run(listen()) == [1.0, 1.5, 12.0, 12.5]


def test_what_a_listener_holds_up_is_not_the_models_lateness() -> None:
    time = Time()
    pace = paced(time)
    found, _ = heard(time, pace, Model(time, [0.1] * 5), slow_s=1.2)
    assert [at for at, _ in found] == [1.0, 2.2, 3.4]
    assert found[-1][1] == "4 5 "
    assert pace.lateness.late_tokens == 0


def test_an_error_of_the_engine_comes_after_what_was_said() -> None:
    time = Time()
    model = Model(time, [0.1, 0.1], error=EngineFailedError("broken"))

    async def listen() -> list[str]:
        found: list[str] = []
        try:
            async for texts in paced(time).texts(cast("Generation", model), 3, whole=False):
                found += texts
        except EngineFailedError:
            return found
        return ["no error"]

    assert asyncio.run(listen()) == ["1 ", "2 "]


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=12),
    st.builds(
        Profile,
        first_s=st.floats(0, 3),
        prompt_s=st.floats(0, 0.1),
        gap_s=st.floats(0, 1),
        jitter=st.floats(0, 2),
        chunk=st.integers(1, 4),
        seed=st.integers(0, 9),
    ),
    st.floats(0, 1e6),
)
def test_each_token_goes_out_when_it_is_due_and_there_and_not_before_the_one_before(
    steps: list[float], profile: Profile, now: float
) -> None:
    at = [sum(steps[:n]) for n in range(1, len(steps) + 1)]
    time = Time(now)
    pace = paced(time, profile, 4)
    found, _ = heard(time, pace, Model(time, at))
    due_times = profile.due_times(3, 4)
    wanted = [max(there, next(due_times)) for there in at]
    out = [when for when, text in found for _ in text.split()]
    assert out == pytest.approx(wanted, abs=2e-6)
    assert "".join(text for _, text in found) == "".join(f"{n} " for n in range(1, len(at) + 1))
    due_times = profile.due_times(3, 4)
    late = [there - due for there, due in zip(at, due_times, strict=False) if there - due >= LATE_S + 1e-6]
    assert pace.lateness.late_tokens >= len(late)
