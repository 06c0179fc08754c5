"""How many run at once, and when the next may start: learned from refusals and from `x-ratelimit-*` headers."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest
from phi_emulator.service.rate_limits import LimitExceededError, Limits, RateLimits

from phi_client import APIResponseError, APITimeoutError, CredentialError, ErrorBody, ModelError, PhiError
from phi_client._call.errors import class_for_status
from phi_client._call.retrying import read_retry_after
from phi_client._map.pacing import Pacer, Ticket
from phi_client.contract.clock.base import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKENS = 10.0


class Line:
    """A pacer whose time stands still until a test lets it pass."""

    def __init__(self, ceiling: int = 32) -> None:
        self.seconds = 0.0
        self.pacer = Pacer(ceiling, Clock(now=lambda: self.seconds))

    def answer(self, status: int = 200, **headers: str) -> Ticket:
        """One request and its answer."""
        ticket = self.pacer.start(TOKENS)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pacer.observe(ticket, named, error_of(status, named))
        self.pacer.end(ticket, TOKENS)
        return ticket

    def start(self, tokens: float = TOKENS) -> Ticket:
        """A request that is over at once, without an answer of its own."""
        ticket = self.pacer.start(tokens)
        self.pacer.end(ticket, None)
        return ticket

    def wait_s(self, tokens: float = TOKENS) -> float:
        return self.pacer.wait_s(tokens)


def error_of(status: int, headers: Mapping[str, str], inner: int | None = None) -> PhiError | None:
    """What a status comes to; `inner` is that of a container behind a front door."""
    if status == 200:
        return None
    body = ErrorBody(message="", status=inner)
    return class_for_status(status, body)(
        "", status_code=status, body=body, retry_after=read_retry_after(headers), headers=headers
    )


def test_it_begins_with_four_and_doubles_in_each_round_up_to_the_ceiling() -> None:
    line = Line(ceiling=10)
    assert line.pacer.concurrency == 4
    for _ in range(4):
        line.answer()
    assert line.pacer.concurrency == 8
    for _ in range(9):
        line.answer()
    assert line.pacer.concurrency == 10
    for _ in range(10):
        assert line.wait_s() == 0
        line.pacer.start(TOKENS)
    assert line.wait_s() == math.inf


def test_a_ceiling_below_four_is_kept() -> None:
    assert Line(ceiling=1).pacer.concurrency == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_halves_it_once_for_all_that_were_out(status: int) -> None:
    line = Line()
    for _ in range(12):
        line.answer()
    out = [line.pacer.start(TOKENS) for _ in range(8)]
    for ticket in out:
        line.pacer.observe(ticket, {}, error_of(status, {}))
        line.pacer.end(ticket, 0)
    assert line.pacer.concurrency == 8
    line.answer(status)
    assert line.pacer.concurrency == 4


def test_after_a_refusal_it_grows_by_one_for_each_round_and_never_falls_below_one() -> None:
    line = Line()
    for _ in range(6):
        line.answer(429)
    assert line.pacer.concurrency == 1
    line.answer()
    assert line.pacer.concurrency == 2
    for _ in range(3):
        line.answer()
    assert line.pacer.concurrency == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"x_ratelimit_reset_tokens": "43"}, 43),
        ({"retry_after": "86400"}, 300),
        ({}, 0),
    ],
)
def test_nothing_starts_while_the_service_asks_to_wait(headers: dict[str, str], seconds: float) -> None:
    line = Line()
    line.answer(429, **headers)
    assert line.wait_s() == pytest.approx(seconds)
    line.seconds += seconds
    assert line.wait_s() == 0


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_what_is_left_of_a_limit_is_not_overdrawn(kind: str) -> None:
    line = Line()
    cost = 1 if kind == "requests" else 10
    headers = {f"x_ratelimit_limit_{kind}": str(5 * cost), f"x_ratelimit_remaining_{kind}": str(4 * cost)}
    line.answer(200, **headers)
    for _ in range(4):
        line.seconds += 1
        assert line.wait_s() == 0
        line.start()
    assert line.wait_s() == pytest.approx(56)
    line.seconds = 60
    assert line.wait_s() == 0


def test_tokens_that_were_not_used_leave_room() -> None:
    line = Line()
    line.answer(x_ratelimit_limit_tokens="100", x_ratelimit_remaining_tokens="90")
    ticket = line.pacer.start(90)
    assert line.wait_s(tokens=20) > 0
    line.pacer.end(ticket, 5)
    assert line.wait_s(tokens=20) == 0


def test_what_others_use_is_taken_into_account_for_a_minute() -> None:
    line = Line()
    line.answer(x_ratelimit_limit_requests="10", x_ratelimit_remaining_requests="2")
    line.start()
    line.start()
    assert line.wait_s() == pytest.approx(60)


def test_without_a_limit_what_remains_is_enough_to_know() -> None:
    line = Line()
    line.answer(x_ratelimit_remaining_requests="1")
    assert line.wait_s() == 0
    line.start()
    assert line.wait_s() == pytest.approx(60)


@pytest.mark.parametrize("value", ["0", "-1", "", "many", "nan"])
def test_values_that_say_nothing_are_not_taken_for_an_empty_quota(value: str) -> None:
    line = Line()
    line.answer(x_ratelimit_remaining_requests=value, x_ratelimit_limit_requests=value)
    line.answer(x_ratelimit_remaining_tokens=value, x_ratelimit_limit_tokens="-1")
    assert line.wait_s() == 0


def test_tokens_below_zero_beside_a_limit_are_none() -> None:
    line = Line()
    line.answer(x_ratelimit_limit_tokens="1000", x_ratelimit_remaining_tokens="-50")
    assert 0 < line.wait_s() <= 60


def test_a_request_larger_than_the_whole_limit_goes_alone() -> None:
    line = Line()
    line.answer(x_ratelimit_limit_tokens="100", x_ratelimit_remaining_tokens="90")
    assert line.wait_s(tokens=5000) == pytest.approx(60)
    line.seconds = 60
    assert line.wait_s(tokens=5000) == 0


def test_a_request_that_is_repeated_counts_from_its_repetition() -> None:
    line = Line()
    line.answer(x_ratelimit_limit_requests="1", x_ratelimit_remaining_requests="0")
    line.seconds = 60
    ticket = line.pacer.start(TOKENS)
    line.pacer.repeat(ticket, 0)
    line.pacer.repeat(ticket, 30)
    line.pacer.repeat(ticket, 30)
    line.seconds = 125
    assert line.wait_s() == pytest.approx(25)


def test_an_older_answer_does_not_replace_what_a_newer_one_said() -> None:
    line = Line()
    older, newer = line.pacer.start(TOKENS), line.pacer.start(TOKENS)
    full: dict[str, Any] = {"x-ratelimit-limit-requests": "9", "x-ratelimit-remaining-requests": "0"}
    line.pacer.observe(newer, full, None)
    line.pacer.observe(older, full | {"x-ratelimit-remaining-requests": "8"}, None)
    assert line.wait_s() > 0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("limits", [Limits(requests_per_minute=30), Limits(tokens_per_minute=3000)])
def test_a_service_that_tells_its_limits_never_refuses(limits: Limits, seed: int) -> None:
    """Two hundred requests of two sizes to the emulator's own limits."""
    chance = random.Random(seed)
    line = Line()
    service = RateLimits(now=lambda: line.seconds)
    running: list[tuple[float, Ticket, Any, float]] = []
    answered = refused = 0
    while answered < 200:
        budget = chance.choice([60.0, 120.0])
        wait_s = line.wait_s(budget)
        ends = min((one[0] for one in running), default=math.inf)
        if wait_s == 0:
            ticket = line.pacer.start(budget)
            try:
                admission = service.admit(limits, int(budget))
            except LimitExceededError as error:
                refused += 1
                asked = {"retry-after": str(error.retry_after_s)}
                line.pacer.observe(ticket, asked, error_of(429, asked))
                line.pacer.end(ticket, 0.0)
                continue
            headers = {
                f"x-ratelimit-{what}-{kind}": str(value)
                for kind, limit, left in (
                    ("requests", limits.requests_per_minute, admission.remaining_requests),
                    ("tokens", limits.tokens_per_minute, admission.remaining_tokens),
                )
                if limit is not None
                for what, value in (("limit", limit), ("remaining", left))
            }
            running.append((line.seconds + chance.uniform(0.5, 5), ticket, admission, budget / 2))
            line.pacer.observe(ticket, headers, None)
        elif ends < line.seconds + wait_s:
            line.seconds = ends
            done = min(running, key=lambda one: one[0])
            running.remove(done)
            answered += 1
            service.settle(done[2], int(done[3]))
            line.pacer.end(done[1], done[3])
        else:
            line.seconds += wait_s + 0.001
        assert line.seconds < 3600
    assert refused == 0


def test_what_ends_after_its_minute_leaves_the_count_right() -> None:
    line = Line()
    line.answer(x_ratelimit_limit_tokens="100", x_ratelimit_remaining_tokens="90")
    late = line.pacer.start(60)
    line.seconds = 61
    assert line.wait_s(tokens=100) == 0
    line.pacer.end(late, 10)
    line.pacer.repeat(late, 5)
    assert line.wait_s(tokens=100) == 0
    line.start(90)
    assert line.wait_s(tokens=20) == pytest.approx(60)


@pytest.mark.parametrize(("status", "inner"), [(429, None), (503, None), (424, 429), (424, 503), (200, 429)])
def test_a_refusal_is_seen_wherever_it_hides(status: int, inner: int | None) -> None:
    """Behind a front door it is in a 424, and `/score` answers 200."""
    line = Line()
    for _ in range(12):
        line.answer()
    body = ErrorBody(message="", status=inner)
    error = ModelError("", status_code=status, body=body) if inner else error_of(status, {})
    before, ticket = line.pacer.concurrency, line.pacer.start(TOKENS)
    line.pacer.observe(ticket, {}, error)
    line.pacer.end(ticket, 0)
    assert line.pacer.concurrency == before // 2
    assert not line.pacer.is_growing


@pytest.mark.parametrize(
    "error",
    [
        *[error_of(status, {}) for status in (400, 401, 403, 404, 408, 422, 424, 500, 502, 504)],
        error_of(424, {}, 500),
        APITimeoutError("", phase="read", limit_s=1, request_sent=True),
        APIResponseError(""),
        CredentialError(""),
        ValueError(),
    ],
)
def test_an_error_says_nothing_of_how_many_a_service_takes(error: Exception) -> None:
    line = Line()
    for _ in range(20):
        ticket = line.pacer.start(TOKENS)
        line.pacer.observe(ticket, {}, error)
        line.pacer.end(ticket, None)
    assert (line.pacer.concurrency, line.wait_s()) == (4, 0)
