"""What is tried again, after how long, and when that ends."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import TYPE_CHECKING

import httpx
import pytest

from phi_client import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    Completion,
    InternalServerError,
    ModelError,
    PhiClient,
    RateLimitError,
    RetryEvent,
    StreamInterruptedError,
    Timeout,
)
from phi_client._call.deadline import Deadline, Limits
from phi_client._call.retrying import RetryBudget, is_retryable, read_retry_after
from phi_client.testing import instant_retries

if TYPE_CHECKING:
    from tests.conftest import Driver, FakeTime, Pieces

OK = {"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}


def ok() -> httpx.Response:
    return httpx.Response(200, json=OK)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again_after_a_wait(phi: Driver, fake_time: FakeTime, status: int) -> None:
    phi.answer(httpx.Response(status), ok())
    assert phi.open().complete().content == "42"
    assert fake_time.waits == [0.25]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 422, 424, 431, 501, 505])
def test_a_lasting_failure_is_not_tried_again(phi: Driver, fake_time: FakeTime, status: int) -> None:
    phi.answer(httpx.Response(status, headers={"Retry-After": "1"}))
    with pytest.raises(APIStatusError) as caught:
        phi.open().complete()
    assert (phi.router.calls.call_count, fake_time.waits, caught.value.attempts) == (1, [], 1)


@pytest.mark.parametrize(
    ("inner", "is_retried"), [("429", True), ("503", True), ("400", False), ("422", False)]
)
def test_a_424_is_tried_again_when_the_status_behind_it_is_passing(
    phi: Driver, inner: str, is_retried: bool
) -> None:
    failure = httpx.Response(424, headers={"ms-azureml-model-error-statuscode": inner})
    phi.answer(failure, ok())
    phi.open("https://phi.westus.inference.ml.azure.com")
    if is_retried:
        assert phi.complete().content == "42"
    else:
        with pytest.raises(ModelError) as caught:
            phi.complete()
        assert caught.value.inner_status == int(inner)
    assert phi.router.calls.call_count == 1 + is_retried


def test_a_score_answer_that_hides_a_passing_failure_is_tried_again(phi: Driver) -> None:
    hidden = {"output": None, "error": {"status_code": 503, "body": "busy"}}
    phi.answer(httpx.Response(200, json=hidden), httpx.Response(200, json={"output": "42"}))
    assert phi.open("https://phi.westus.inference.ml.azure.com/score").complete().content == "42"


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("x"),
        httpx.ConnectTimeout("x"),
        httpx.RemoteProtocolError("x"),
        httpx.ReadError("x"),
    ],
)
def test_a_failed_connection_is_tried_again(phi: Driver, error: Exception) -> None:
    phi.answer(error, ok())
    assert phi.open().complete().content == "42"


@pytest.mark.parametrize(
    ("error", "phase", "sent"),
    [
        (httpx.ReadTimeout("x"), "read", True),
        (httpx.WriteTimeout("x"), "write", True),
        (httpx.PoolTimeout("x"), "pool", False),
    ],
)
def test_a_time_out_while_the_service_may_work_is_not_tried_again(
    phi: Driver, error: Exception, phase: str, sent: bool
) -> None:
    phi.answer(error)
    with pytest.raises(APITimeoutError) as caught:
        phi.open().complete()
    assert (caught.value.phase, caught.value.request_sent) == (phase, sent)
    assert caught.value.limit_s == {"read": 300, "write": 60, "pool": 60}[phase]
    assert caught.value.__cause__ is error
    assert phi.router.calls.call_count == 1


@pytest.mark.parametrize(
    ("error", "sent"),
    [(httpx.ConnectError("x"), False), (httpx.ConnectTimeout("x"), False), (httpx.ReadError("x"), True)],
)
def test_a_lost_connection_says_whether_the_request_was_sent(
    phi: Driver, error: Exception, sent: bool
) -> None:
    phi.answer(error)
    with pytest.raises(APIConnectionError) as caught:
        phi.open(max_retries=0).complete()
    assert caught.value.request_sent is sent


def test_the_last_error_is_raised_with_the_number_of_attempts(phi: Driver, fake_time: FakeTime) -> None:
    phi.answer(*[httpx.Response(500, text="first")] * 3, httpx.Response(503, text="last"))
    with pytest.raises(InternalServerError, match=r"503: last \(after 4 attempts\)") as caught:
        phi.open().complete()
    assert caught.value.attempts == 4
    assert fake_time.waits == [0.25, 0.5, 1.0]


def test_a_call_can_have_its_own_number_of_retries(phi: Driver) -> None:
    phi.answer(*[httpx.Response(500)] * 9)
    with pytest.raises(InternalServerError):
        phi.open().complete("x", max_retries=1)
    assert phi.router.calls.call_count == 2


def test_all_attempts_have_the_same_client_request_id(phi: Driver) -> None:
    phi.answer(httpx.Response(500), ok())
    phi.open().complete()
    assert len({call.request.headers["x-ms-client-request-id"] for call in phi.router.calls}) == 1


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "43"}, 43),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "0"}, None),
        ({"retry-after-ms": "0", "Retry-After": "9"}, 9),
        ({"x-ms-retry-after-ms": "0"}, None),
        ({"Retry-After": "0s", "x-ratelimit-reset-tokens": "2"}, 2),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:30"}, 10),
        ({"Retry-After": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"Retry-After": formatdate(NOW - 30, usegmt=True)}, None),
        ({"x-ratelimit-reset-tokens": "2"}, 2),
        ({"x-ratelimit-reset-tokens": "2", "x-ratelimit-reset-requests": "5s"}, 5),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": ""}, None),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9),
        ({}, None),
    ],
)
def test_the_wait_that_a_service_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, now=lambda: NOW) == seconds


def test_the_service_is_waited_for_as_long_as_it_asks(phi: Driver, fake_time: FakeTime) -> None:
    phi.answer(httpx.Response(429, headers={"Retry-After": "7"}), ok())
    phi.open().complete()
    assert fake_time.waits == [7]


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "0"},
        {"Retry-After": "0.001"},
        {"retry-after-ms": "0"},
        {"x-ms-retry-after-ms": "1"},
        {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"x-ratelimit-reset-requests": "0"},
    ],
)
def test_a_service_that_asks_for_no_wait_gets_the_back_off(
    phi: Driver, fake_time: FakeTime, headers: dict[str, str]
) -> None:
    phi.answer(httpx.Response(429, headers=headers), httpx.Response(429, headers=headers), ok())
    phi.open().complete()
    assert fake_time.waits == [0.25, 0.5]


def test_a_stream_that_was_interrupted_is_never_worth_another_try() -> None:
    partial = Completion(
        content="", reasoning="", finish_reason=None, usage=None, request_id=None, model=None, raw={}
    )
    assert not is_retryable(StreamInterruptedError("cut", partial=partial))


@pytest.mark.parametrize("passed_s", [5.0, 8.0])
def test_a_deadline_that_has_just_passed_is_still_a_limit(passed_s: float) -> None:
    limits = Limits(Timeout(read=None), Deadline(5.0, lambda: passed_s, 0.0))
    assert limits.left_s("read") == limits.left_s("connect") == 0.001
    assert limits.reached("read", request_sent=True).phase == "deadline"


def test_limits_are_looked_at_before_each_wait() -> None:
    now = [0.0]
    limits = Limits(Timeout(read=3.0), Deadline(5.0, lambda: now[0], 0.0))
    assert (limits.left_s("read"), limits.reached("read", request_sent=True).phase) == (3.0, "read")
    now[0] = 4.0
    assert (limits.left_s("read"), limits.reached("read", request_sent=True).phase) == (1.0, "deadline")
    limits.shorten_reads(0.1)
    assert limits.left_s("read") == 0.1
    assert limits.left_s("write") == 1.0


def test_a_wait_beyond_the_deadline_fails_at_once_and_says_so(phi: Driver, fake_time: FakeTime) -> None:
    phi.answer(httpx.Response(429, headers={"Retry-After": "43"}))
    with pytest.raises(RateLimitError, match="wait 43 s, beyond the deadline") as caught:
        phi.open().complete("x", deadline=20)
    assert (fake_time.waits, caught.value.retry_after) == ([], 43)


def test_a_wait_of_hours_is_not_waited_for(phi: Driver, fake_time: FakeTime) -> None:
    phi.answer(httpx.Response(429, headers={"Retry-After": "86400"}))
    with pytest.raises(RateLimitError, match="asks to wait 86400 s"):
        phi.open().complete()
    assert fake_time.waits == []


def test_the_deadline_holds_over_all_attempts(phi: Driver, fake_time: FakeTime) -> None:
    phi.answer(*[httpx.Response(429, headers={"Retry-After": "6"})] * 9)
    with pytest.raises(RateLimitError):
        phi.open(max_retries=9).complete("x", deadline=20)
    assert fake_time.waits == [6, 6, 6]


def test_the_deadline_shortens_the_limits_of_an_attempt(phi: Driver) -> None:
    answers = [httpx.Response(503, headers={"Retry-After": "15"}), ok()]
    limits: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(float(request.extensions["timeout"]["read"]))
        return answers.pop(0)

    phi.router.route().mock(side_effect=answer)
    phi.open().complete("x", deadline=20)
    assert limits == [20, 5]


def test_a_silence_until_the_deadline_is_the_deadlines(phi: Driver) -> None:
    phi.answer(httpx.ReadTimeout("x"))
    with pytest.raises(APITimeoutError, match="within the deadline of") as caught:
        phi.open().complete("x", deadline=20)
    assert caught.value.phase == "deadline"


def test_a_body_that_can_not_be_decoded_is_a_failed_connection(phi: Driver) -> None:
    broken = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip"))
    phi.answer(broken)
    with pytest.raises(APIConnectionError, match="DecodingError"):
        phi.open(max_retries=0).complete()


def test_the_deadline_ends_an_answer_that_drips(
    phi: Driver, pieces: type[Pieces], fake_time: FakeTime
) -> None:
    def a_minute() -> None:
        fake_time.seconds += 60

    drip = pieces(b"{", a_minute, b" ", a_minute, b" ", AssertionError("read on"))
    phi.answer(httpx.Response(200, stream=drip))
    with pytest.raises(APITimeoutError, match="deadline of 100 s") as caught:
        phi.open().complete("x", deadline=100)
    assert (caught.value.phase, caught.value.limit_s) == ("deadline", 100)
    assert drip.is_closed


def test_retries_are_logged_without_what_the_service_said(
    phi: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    phi.answer(httpx.Response(503, text="secret of the service"), ok())
    with caplog.at_level(logging.DEBUG, "phi_client"):
        phi.open().complete("secret prompt")
    assert (
        "attempt 1 at https://phi.eastus2.models.ai.azure.com failed with InternalServerError 503; "
        "the next follows in 0.25 s"
    ) in caplog.text
    assert "secret" not in caplog.text


def test_a_hook_is_told_of_each_retry(phi: Driver) -> None:
    told: list[RetryEvent] = []
    phi.answer(httpx.Response(503), httpx.Response(429, headers={"Retry-After": "2"}), ok())
    phi.open(on_retry=told.append).complete()
    assert [(event.attempt, type(event.error), event.wait_s) for event in told] == [
        (1, InternalServerError, 0.25), (2, RateLimitError, 2.0)
    ]  # fmt: skip
    assert {event.endpoint for event in told} == {"https://phi.eastus2.models.ai.azure.com"}
    assert {event.next_endpoint for event in told} == {event.endpoint for event in told}


def test_what_a_hook_raises_ends_the_call(phi: Driver) -> None:
    def stop(event: RetryEvent) -> None:
        raise KeyError(event.attempt)

    phi.answer(httpx.Response(503), ok())
    with pytest.raises(KeyError):
        phi.open(on_retry=stop).complete()
    assert phi.router.calls.call_count == 1


def test_a_storm_of_failures_uses_up_the_budget_that_all_calls_share(phi: Driver) -> None:
    phi.router.route().mock(return_value=httpx.Response(503))
    phi.open(max_retries=9)
    attempts: list[int] = []
    for _ in range(14):
        with pytest.raises(InternalServerError) as caught:
            phi.complete()
        attempts.append(caught.value.attempts)
    # A hundred retries, and from then on none.
    assert attempts == [10] * 11 + [2] + [1] * 2
    assert "budget for retries is used up" in str(caught.value)


def test_successes_earn_retries_again(phi: Driver) -> None:
    phi.open(max_retries=99)
    phi.router.route().mock(return_value=httpx.Response(503))
    for _ in range(2):
        with pytest.raises(InternalServerError):
            phi.complete()
    phi.router.route().mock(return_value=ok())
    for _ in range(RetryBudget.COST):
        phi.complete()
    phi.answer(httpx.Response(503), ok())
    assert phi.complete().content == "42"


def test_copies_share_the_budget() -> None:
    with PhiClient("emulator") as client:
        assert client.with_options(seed=1)._lanes[0].budget is client._lanes[0].budget


def test_a_budget_is_exact_under_threads() -> None:
    budget = RetryBudget()
    with ThreadPoolExecutor(8) as threads:
        paid = list(threads.map(lambda _: budget.spend(), range(1000)))
    assert sum(paid) == RetryBudget.CAPACITY // RetryBudget.COST


def test_retries_can_be_made_instant_for_tests(phi: Driver, fake_time: FakeTime) -> None:
    phi.answer(httpx.Response(503), httpx.Response(429, headers={"Retry-After": "200"}), ok())
    with instant_retries():
        assert phi.open().complete().content == "42"
    assert fake_time.waits == []
    phi.answer(httpx.Response(503), ok())
    phi.complete()
    assert fake_time.waits == [0.25]
