"""Several endpoints: tried in order, each hop visible, and never a hop for what is the caller's own fault."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import (
    APIConnectionError,
    BadRequestError,
    ConfigurationError,
    InternalServerError,
    PhiError,
    RateLimitError,
    RetryEvent,
    StreamInterruptedError,
)
from phi_client.contract.emulator import EMULATOR_KEY

if TYPE_CHECKING:
    from tests.conftest import Driver, FakeTime

FIRST = "https://first.eastus2.models.ai.azure.com"
SECOND = "https://second.services.ai.azure.com"
THIRD = "https://third.westus.inference.ml.azure.com"
BOTH = f"{FIRST} {SECOND}/openai/v1"
OK = {"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}
EVENTS = b'data: {"choices":[{"delta":{"content":"42"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def serve(phi: Driver, url: str, *answers: httpx.Response | Exception) -> None:
    phi.router.route(host=url.removeprefix("https://")).mock(side_effect=list(answers))


def asked(phi: Driver) -> list[str]:
    return [f"https://{call.request.url.host}" for call in phi.router.calls]


def opened(phi: Driver, endpoint: str = BOTH, api_key: str = "key-1 key-2", **arguments: Any) -> Driver:
    return phi.open(endpoint, api_key, model="phi", **arguments)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(429, headers={"Retry-After": "40"}),
        httpx.Response(503),
        httpx.Response(408),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("dropped"),
    ],
)
def test_a_passing_failure_goes_on_to_the_next_endpoint_at_once(
    phi: Driver, fake_time: FakeTime, failure: httpx.Response | Exception
) -> None:
    serve(phi, FIRST, failure)
    serve(phi, SECOND, httpx.Response(200, json=OK))
    done = opened(phi).complete()
    assert (done.content, done.endpoint, fake_time.waits) == ("42", SECOND, [])
    assert [(hop.endpoint, type(hop.error).__mro__[-4]) for hop in done.hops] == [(FIRST, PhiError)]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_the_callers_own_fault_is_not_carried_on(phi: Driver, status: int) -> None:
    serve(phi, FIRST, httpx.Response(status))
    with pytest.raises(PhiError) as caught:
        opened(phi).complete()
    assert asked(phi) == [FIRST]
    assert caught.value.hops == ()


def test_a_time_out_while_the_service_works_is_not_carried_on(phi: Driver) -> None:
    serve(phi, FIRST, httpx.ReadTimeout("silence"))
    with pytest.raises(APIConnectionError):
        opened(phi).complete()
    assert asked(phi) == [FIRST]


def test_each_endpoint_gets_its_own_key_and_dialect_and_no_others(phi: Driver) -> None:
    serve(phi, FIRST, httpx.Response(503))
    serve(phi, SECOND, httpx.Response(503))
    serve(phi, THIRD, httpx.Response(200, json=OK))
    done = opened(phi, f"{BOTH} {THIRD}/v1", "key-1 key-2 key-3").complete()
    sent = [
        (
            call.request.url.path,
            call.request.headers.get("authorization"),
            call.request.headers.get("api-key"),
        )
        for call in phi.router.calls
    ]
    assert sent == [
        ("/chat/completions", "Bearer key-1", None),
        ("/openai/v1/chat/completions", None, "key-2"),
        ("/v1/chat/completions", "Bearer key-3", None),
    ]
    assert [hop.endpoint for hop in done.hops] == [FIRST, SECOND]


def test_the_last_endpoint_gets_the_retries(phi: Driver, fake_time: FakeTime) -> None:
    serve(phi, FIRST, httpx.Response(503))
    serve(phi, SECOND, httpx.Response(503), httpx.Response(429), httpx.Response(200, json=OK))
    assert opened(phi).complete().content == "42"
    assert asked(phi) == [FIRST, SECOND, SECOND, SECOND]
    assert fake_time.waits == [0.25, 0.5]


def test_when_all_fail_the_last_error_tells_of_the_hops(phi: Driver) -> None:
    serve(phi, FIRST, httpx.Response(429))
    serve(phi, SECOND, httpx.Response(400, json={"error": {"code": "x", "message": "no"}}))
    with pytest.raises(BadRequestError, match="1 endpoints before it failed too") as caught:
        opened(phi).complete()
    (hop,) = caught.value.hops
    assert hop.endpoint == FIRST
    assert isinstance(hop.error, RateLimitError)


def test_a_stream_goes_on_before_its_first_event_only(phi: Driver) -> None:
    serve(phi, FIRST, httpx.Response(503), httpx.Response(200, content=b'data: {"choices":[]}\n\n'))
    serve(phi, SECOND, httpx.Response(200, content=EVENTS))
    _, done = opened(phi).stream()
    assert done is not None
    assert (done.content, done.endpoint, [hop.endpoint for hop in done.hops]) == ("42", SECOND, [FIRST])
    with pytest.raises(StreamInterruptedError):
        phi.stream()
    assert asked(phi) == [FIRST, SECOND, FIRST]


def test_hops_are_logged_and_told_to_the_hook(phi: Driver, caplog: pytest.LogCaptureFixture) -> None:
    told: list[RetryEvent] = []
    serve(phi, FIRST, httpx.Response(503))
    serve(phi, SECOND, httpx.Response(200, json=OK))
    with caplog.at_level(logging.INFO, "phi_client"):
        opened(phi, on_retry=told.append).complete()
    assert f"attempt 1 at {FIRST} failed with InternalServerError 503" in caplog.text
    assert f"at {SECOND}" in caplog.text
    assert [(event.endpoint, event.next_endpoint, event.wait_s) for event in told] == [(FIRST, SECOND, 0.0)]


def test_the_deadline_covers_all_endpoints(phi: Driver, fake_time: FakeTime) -> None:
    def late(request: httpx.Request) -> httpx.Response:
        fake_time.seconds += 10
        return httpx.Response(503)

    phi.router.route(host=FIRST.removeprefix("https://")).mock(side_effect=late)
    with pytest.raises(InternalServerError):
        opened(phi, deadline=9).complete()
    assert asked(phi) == [FIRST]


def test_model_info_is_asked_of_the_next_endpoint_too(phi: Driver) -> None:
    serve(phi, FIRST, httpx.Response(503))
    serve(phi, SECOND, httpx.Response(200, json={"id": "phi", "object": "model"}))
    assert opened(phi).get_model_info().model_name == "phi"
    assert phi.router.calls.last.request.url.path == "/openai/v1/models/phi"


def test_the_environment_can_list_endpoints(phi: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHI_ENDPOINT", f"  {FIRST}\n {SECOND} emulator ")
    monkeypatch.setenv("PHI_API_KEY", "key-1 key-2 -")
    monkeypatch.setenv("PHI_MODEL", "- phi -")
    serve(phi, FIRST, httpx.Response(503))
    serve(phi, SECOND, httpx.Response(503))
    phi.router.route(host="127.0.0.1").mock(return_value=httpx.Response(200, json=OK))
    phi.open(None, None).complete()
    first, second, third = (call.request for call in phi.router.calls)
    assert first.headers["authorization"] == "Bearer key-1"
    assert second.headers["api-key"] == "key-2"
    assert third.headers["authorization"] == f"Bearer {EMULATOR_KEY}"
    assert b'"model"' not in first.content
    assert b'"model":"phi"' in second.content


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"api_key": "one-key"}, "`api_key` has 1 words for 2 endpoints"),
        ({"api_key": "a b c"}, "`api_key` has 3 words for 2 endpoints"),
        ({"api_key": "a b", "model": "x y z"}, "`model` has 3 words for 2 endpoints"),
        ({"endpoint": f"{FIRST} nonsense", "api_key": "a b"}, "no scheme"),
        ({"endpoint": " ", "api_key": "a"}, "endpoint"),
    ],
)
def test_lists_that_do_not_fit_are_refused(phi: Driver, arguments: dict[str, str], says: str) -> None:
    given = {"endpoint": BOTH} | arguments
    with pytest.raises(ConfigurationError, match=says) as caught:
        phi.open(given.pop("endpoint"), given.pop("api_key"), **{"model": "phi", **given})
    assert "one-key" not in str(caught.value)


@pytest.mark.parametrize("endpoint", [f"{SECOND}/models", f"{SECOND}/openai/v1"])
def test_a_foundry_resource_needs_a_model(phi: Driver, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="`PHI_MODEL`"):
        phi.open(endpoint, "k").complete()
    serve(phi, SECOND, httpx.Response(200, json=OK))
    phi.open(endpoint, "k", deployment="my-phi").complete()
    assert b'"model":"my-phi"' in phi.router.calls.last.request.content


def test_the_retirement_of_models_is_noted_once(
    phi: Driver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phi_client._call.log._warned", set())
    for _ in range(2):
        phi.open(f"{SECOND}/models", "k", model="phi")
    assert caplog.text.count("announced the retirement of `/models`") == 1
