"""The faults of `docs/explanation/faults.md` on real sockets: the client is right in each row, sync and async."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from phi_client import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    AsyncPhiClient,
    BadRequestError,
    ContentFilterError,
    ModelError,
    PhiClient,
    PhiError,
    RateLimitError,
    ReasoningTruncatedError,
    StreamInterruptedError,
    Usage,
)
from phi_client.contract.clock.base import Clock
from phi_client.testing import with_clock
from tests.fault_server import (
    ANSWER,
    CATEGORIES,
    PARTIAL_CONTENT,
    PARTIAL_REASONING,
    REASONED_JSON,
    REASONING,
    SCENARIOS,
    FaultServer,
    Route,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Driver, FakeTime

KEY = "a-key-that-must-never-be-shown-00"
PINGS = {"stream-pings", "stream-pings-only"}


class Product(BaseModel):
    product: int


class Table:
    """A driver whose client speaks to routes of the fault server over real sockets."""

    def __init__(self, phi: Driver, server: FaultServer, clock: Clock) -> None:
        self.phi = phi
        self.server = server
        self.clock = clock
        self._clients: list[PhiClient | AsyncPhiClient] = []

    def meet(self, *script: str, **options: Any) -> Route:
        """Point the client at a new route with this script."""
        route = self.server.route(*script)
        options = {"dialect": "serverless", **options}
        kind = AsyncPhiClient if self.phi.is_async else PhiClient
        client = self.phi.client = kind(route.url, KEY, **options)
        with_clock(client, self.clock)
        self._clients.append(client)
        return route

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            if isinstance(client, AsyncPhiClient):
                self.phi.run(client.close())
            else:
                client.close()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def table(phi: Driver, server: FaultServer, fake_time: FakeTime) -> Iterator[Table]:
    table = Table(phi, server, fake_time.clock())
    yield table
    table.close()


def interruption(table: Table, scenario: str, **options: Any) -> StreamInterruptedError:
    route = table.meet(scenario)
    with pytest.raises(StreamInterruptedError) as caught:
        table.phi.stream(**options)
    assert len(route.requests) == 1
    return caught.value


def assert_keeps_what_came(error: StreamInterruptedError | ReasoningTruncatedError) -> None:
    partial = error.partial
    assert (partial.reasoning, partial.content) == (PARTIAL_REASONING, PARTIAL_CONTENT)


@pytest.mark.parametrize("chance", [0.1, 0.9])
@pytest.mark.parametrize(
    "scenario", ["429", "500", "502", "408", "503", "504", "dropped-before-answer", "reset-before-answer"]
)
def test_a_failure_without_advice_is_retried_after_a_back_off_with_jitter(
    table: Table, fake_time: FakeTime, scenario: str, chance: float
) -> None:
    table.clock = replace(table.clock, random=lambda: chance)
    route = table.meet(scenario, scenario)
    assert table.phi.complete().content == ANSWER
    assert fake_time.waits == [0.5 * chance, chance]
    assert len(route.requests) == 3


@pytest.mark.parametrize(
    ("scenario", "seconds"),
    [
        ("429-reset-tokens", 2),
        ("429-retry-after", 2),
        ("429-retry-after-ms", 1.5),
        ("429-x-ms-retry-after-ms", 1.5),
        ("429-http-date", pytest.approx(29.5, abs=1)),
    ],
)
def test_the_wait_that_the_service_asks_for_is_kept(
    table: Table, fake_time: FakeTime, scenario: str, seconds: float
) -> None:
    route = table.meet(scenario)
    assert table.phi.complete().content == ANSWER
    assert fake_time.waits == [seconds]
    assert len(route.requests) == 2


@pytest.mark.parametrize("scenario", ["429-all--1", "429-all-0", "429-help-text", "429-empty"])
def test_a_429_that_tells_nothing_is_retried_after_a_back_off(
    table: Table, fake_time: FakeTime, scenario: str
) -> None:
    table.meet(scenario)
    assert table.phi.complete().content == ANSWER
    assert fake_time.waits == [0.25]


def test_a_429_of_help_text_alone_says_that_there_is_no_reason(table: Table) -> None:
    table.meet("429-help-text", max_retries=0)
    with pytest.raises(RateLimitError, match="429: the service gave no reason"):
        table.phi.complete()


def test_a_filtered_prompt_is_an_error_of_its_own_with_the_categories(table: Table) -> None:
    route = table.meet("400-content-filter")
    with pytest.raises(ContentFilterError, match="triggering Microsoft's content management") as caught:
        table.phi.complete()
    assert caught.value.categories == CATEGORIES
    assert caught.value.code == "content_filter"
    assert len(route.requests) == 1


@pytest.mark.parametrize("scenario", ["stream-cut", "stream-cut-with-done"])
def test_a_stream_without_a_finish_reason_is_no_success(table: Table, scenario: str) -> None:
    error = interruption(table, scenario)
    assert "without a finish reason" in error.message
    assert_keeps_what_came(error)


@pytest.mark.parametrize("scenario", ["stream-reset", "stream-dropped"])
def test_a_connection_lost_in_mid_stream_keeps_what_came(table: Table, scenario: str) -> None:
    error = interruption(table, scenario)
    assert "the connection failed" in error.message
    assert isinstance(error.__cause__, APIConnectionError)
    assert_keeps_what_came(error)


def test_an_invalid_chunk_is_an_error_of_the_clients_own(table: Table) -> None:
    error = interruption(table, "stream-invalid-json")
    assert "not JSON" in error.message
    assert_keeps_what_came(error)


@pytest.mark.parametrize("scenario", ["stream-error-object", "stream-error-event"])
def test_an_error_in_mid_stream_is_raised_with_what_the_service_said(table: Table, scenario: str) -> None:
    error = interruption(table, scenario)
    assert error.body is not None
    assert error.body.message == "it broke"
    assert_keeps_what_came(error)


@pytest.mark.parametrize("scenario", sorted(PINGS))
def test_comments_alone_are_silence(table: Table, fake_time: FakeTime, scenario: str) -> None:
    def half_a_second_later() -> float:
        fake_time.seconds += 0.5
        return fake_time.seconds

    table.clock = replace(table.clock, now=half_a_second_later)
    route = table.meet(scenario)
    with pytest.raises(StreamInterruptedError, match="no data event within the read limit of 3 s") as caught:
        table.phi.stream(timeout=3)
    assert caught.value.partial.content == (PARTIAL_CONTENT if scenario == "stream-pings" else "")
    assert route.was_left.wait(10)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_cut_answer_is_flagged_on_the_result(table: Table, reason: str) -> None:
    table.meet(f"stream-{reason.replace('_', '-')}")
    chunks, done = table.phi.stream()
    assert done is not None
    assert (done.content, done.finish_reason) == (PARTIAL_CONTENT, reason)
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [reason]


def test_a_budget_that_ends_in_the_reasoning_is_an_error_unless_taken_as_it_is(table: Table) -> None:
    table.meet("stream-length-in-reasoning")
    with pytest.raises(ReasoningTruncatedError) as caught:
        table.phi.stream()
    assert caught.value.partial.reasoning == PARTIAL_REASONING
    _, done = table.phi.stream(on_truncation="return")
    assert done is not None
    assert (done.reasoning, done.content, done.finish_reason) == (PARTIAL_REASONING, "", "length")


def test_json_after_reasoning_is_content_alone(table: Table) -> None:
    table.meet("reasoned-json")
    done = table.phi.complete()
    assert json.loads(done.content) == REASONED_JSON
    assert done.reasoning == REASONING


def test_json_after_reasoning_is_parsed_from_one_answer(table: Table) -> None:
    route = table.meet("reasoned-json")
    done = table.phi.parse("What is 6 * 7?", Product)
    assert (done.parsed.model_dump(), done.completion.reasoning) == (REASONED_JSON, REASONING)
    assert len(route.requests) == 1


WHOLE: dict[str, type[PhiError] | None] = {
    "ok": None,
    "429": None,
    "429-reset-tokens": None,
    "429-retry-after": None,
    "429-retry-after-ms": None,
    "429-x-ms-retry-after-ms": None,
    "429-http-date": None,
    "429-all--1": None,
    "429-all-0": None,
    "429-help-text": None,
    "429-empty": None,
    "408": None,
    "500": None,
    "502": None,
    "503": None,
    "504": None,
    "424-429": None,
    "424-400": ModelError,
    "400-content-filter": ContentFilterError,
    "400-help-text": BadRequestError,
    "400-plain-text": BadRequestError,
    "400-endless": BadRequestError,
    "302-other-origin": APIStatusError,
    "header-too-large": None,
    "dropped-before-answer": None,
    "reset-before-answer": None,
    "body-cut": APIConnectionError,
    "empty": APIResponseError,
    "empty-object": APIResponseError,
    "doubled-request-id": None,
    "reasoned-json": None,
}
"""What each scenario that is no stream comes to: an answer, perhaps after a retry, or an error."""

STREAMED: dict[str, type[PhiError] | None] = {
    **WHOLE,
    "empty": StreamInterruptedError,
    "stream-crlf": None,
    "stream-comments": None,
    "stream-empty-choices": None,
    "stream-separate-usage": None,
    "stream-no-done": None,
    "stream-length": None,
    "stream-content-filter": None,
    "stream-length-in-reasoning": ReasoningTruncatedError,
    "stream-cut": StreamInterruptedError,
    "stream-cut-with-done": StreamInterruptedError,
    "stream-invalid-json": StreamInterruptedError,
    "stream-error-object": StreamInterruptedError,
    "stream-error-event": StreamInterruptedError,
    "stream-dropped": StreamInterruptedError,
    "stream-reset": StreamInterruptedError,
}


def test_every_scenario_of_the_server_is_in_the_table() -> None:
    assert set(STREAMED) | PINGS == set(SCENARIOS)


@pytest.mark.parametrize(("scenario", "kind"), WHOLE.items())
def test_a_completion_ends_in_the_answer_or_the_right_error(
    table: Table, scenario: str, kind: type[PhiError] | None
) -> None:
    route = table.meet(scenario)
    if kind is None:
        done = table.phi.complete()
        assert (done.reasoning, done.finish_reason) == (REASONING, "stop")
    else:
        with pytest.raises(kind) as caught:
            table.phi.complete()
        assert type(caught.value) is kind
        assert "Please check this guide" not in str(caught.value)
    # What passes is asked for again, but for an answer that broke off: its tokens are billed.
    assert len(route.requests) == 1 + (SCENARIOS[scenario].passes and kind is None)


@pytest.mark.parametrize(("scenario", "kind"), STREAMED.items())
def test_a_stream_ends_in_the_answer_or_the_right_error(
    table: Table, scenario: str, kind: type[PhiError] | None
) -> None:
    table.meet(scenario)
    if kind is not None:
        with pytest.raises(kind) as caught:
            table.phi.stream()
        assert type(caught.value) is kind
        return
    chunks, done = table.phi.stream()
    assert done is not None
    assert done.content in (ANSWER, PARTIAL_CONTENT) or json.loads(done.content) == REASONED_JSON
    assert "".join(chunk.content for chunk in chunks) == done.content
    assert done.finish_reason is not None
    assert done.usage == Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)


def test_a_doubled_request_id_is_named_once(table: Table) -> None:
    table.meet("doubled-request-id")
    assert table.phi.complete(headers={"x-ms-client-request-id": "r-1"}).request_id == "r-1"


def test_an_answer_shorter_than_promised_is_no_answer(table: Table) -> None:
    table.meet("body-cut", max_retries=0)
    with pytest.raises(APIConnectionError) as caught:
        table.phi.complete()
    assert caught.value.request_sent


def test_a_redirect_takes_nothing_to_another_origin(table: Table) -> None:
    with FaultServer() as other:
        trap = other.route("ok")
        table.server.elsewhere = trap.url
        table.meet("302-other-origin")
        with pytest.raises(APIStatusError, match="redirects are not followed"):
            table.phi.complete()
        assert len(trap.requests) == 0


def test_an_endless_error_is_left(table: Table) -> None:
    route = table.meet("400-endless")
    with pytest.raises(BadRequestError):
        table.phi.complete()
    assert route.was_left.wait(10)


def test_the_server_hears_that_a_stream_is_left(table: Table) -> None:
    route = table.meet("stream-pings")
    chunks, _ = table.phi.stream(leave_after=1)
    assert len(chunks) == 1
    assert route.was_left.wait(10)
