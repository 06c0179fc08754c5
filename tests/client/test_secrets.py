"""Planted keys and prompts are searched for wherever an application might show or keep something."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import ConfigurationError, PhiClient, PhiError
from phi_client._call.exchange import MAX_ANSWER_BYTES
from phi_client._call.redaction import redact_prompts

if TYPE_CHECKING:
    from tests.conftest import Driver, Pieces

KEY = "planted-key-0123456789abcdef"
PROMPT = "planted prompt: my bank account holds 1234 dollars"
OTHER = "planted answer of an earlier turn"
MESSAGES = [
    {"role": "assistant", "content": OTHER},
    {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
]


def echo(request: httpx.Request) -> httpx.Response:
    """A service that repeats all that it was sent, in words and in details."""
    said = f"cannot work with {dict(request.headers)} and {request.content.decode()}: {PROMPT} and {OTHER}"
    body = {
        "error": {"code": "bad", "message": said, "details": [{"loc": ["body"], "msg": "m", "input": said}]}
    }
    return httpx.Response(418, json=body, headers={"x-request-id": "r-1"})


def echo_event(request: httpx.Request) -> httpx.Response:
    said = json.dumps({"error": {"message": f"{request.headers.get('authorization')} {PROMPT}"}})
    return httpx.Response(200, content=b"data: " + said.encode() + b"\n\n")


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def break_protocol(request: httpx.Request) -> httpx.Response:
    raise httpx.LocalProtocolError(f"Illegal header value {request.headers['authorization']!r}")


def nonsense(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=f"{request.headers['authorization']} is no JSON")


def shown(error: BaseException) -> str:
    """All that is commonly shown or kept of an error: its text, its reprs, its traceback."""
    return "\n".join((str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))))


def variables(error: BaseException | None) -> str:
    """The variables of the frames that an error holds, but for those of the test's own."""
    held: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                held += (repr(value) for value in frame.f_locals.values())
        error = error.__cause__ or error.__context__
    return "\n".join(held)


@pytest.mark.parametrize("reply", [echo, refuse, break_protocol, nonsense])
def test_no_error_shows_the_key_or_the_prompt(
    phi: Driver, reply: Any, caplog: pytest.LogCaptureFixture
) -> None:
    phi.router.route().mock(side_effect=reply)
    with caplog.at_level(logging.DEBUG), pytest.raises(PhiError) as caught:
        phi.open(api_key=KEY, max_retries=0).complete(MESSAGES)
    for text in (shown(caught.value), caplog.text, repr(phi.client), repr(vars(phi.client or object()))):
        for planted in (KEY, PROMPT, OTHER):
            assert planted not in text
    assert KEY not in variables(caught.value)
    assert KEY.encode() not in pickle.dumps(caught.value)


def test_the_debug_log_tells_ids_and_sizes_and_no_more(phi: Driver, caplog: pytest.LogCaptureFixture) -> None:
    answer = {"choices": [{"message": {"content": OTHER}, "finish_reason": "stop"}]}
    phi.answer(httpx.Response(200, json=answer, headers={"x-request-id": "r-1"}))
    with caplog.at_level(logging.DEBUG, logger="phi_client"):
        phi.open(api_key=KEY).complete(PROMPT, headers={"x-ms-client-request-id": "mine", "x-other": KEY})
    size = len(phi.router.calls.last.request.content)
    url = "https://phi.eastus2.models.ai.azure.com/chat/completions"
    assert [record.getMessage() for record in caplog.records if record.name == "phi_client"] == [
        f"POST {url}: {size} bytes, as mine", f"{url} answered 200 to mine, request id r-1"
    ]  # fmt: skip
    for planted in (KEY, PROMPT, OTHER):
        assert planted not in caplog.text


def test_no_error_in_a_stream_shows_the_key_or_the_prompt(
    phi: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    phi.router.route().mock(side_effect=echo_event)
    with caplog.at_level(logging.DEBUG), pytest.raises(PhiError) as caught:
        phi.open(api_key=KEY).stream(MESSAGES)
    assert "[secret]" in str(caught.value)
    for planted in (KEY, PROMPT, OTHER):
        assert planted not in shown(caught.value) + caplog.text


def test_a_failed_connection_leaves_no_key_in_the_variables_of_any_frame() -> None:
    # A real transport, whose frames hold the headers while it sends.
    with PhiClient("http://127.0.0.1:1", KEY, max_retries=0) as client, pytest.raises(PhiError) as caught:
        client.complete(PROMPT)
    held = variables(caught.value)
    assert "Exchange(" in held
    assert KEY not in held


def test_a_key_in_the_wrong_place_is_not_repeated(phi: Driver) -> None:
    for endpoint, key in (
        (f"https://user:{KEY}@phi.eastus2.models.ai.azure.com", "k"),
        (f"https://phi.eastus2.models.ai.azure.com?key={KEY}", "k"),
        ("https://phi.eastus2.models.ai.azure.com", f"{KEY}\n{KEY}"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            phi.open(endpoint, key)
        assert KEY not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        phi.open().complete("x", headers={"x-key": KEY + "\n"})
    assert KEY not in str(caught.value)


def test_a_validation_error_says_where_and_what_but_not_the_value(phi: Driver) -> None:
    details = [
        {
            "type": "less_than_equal",
            "loc": ["body", "temperature"],
            "msg": "Input should be <= 1",
            "input": PROMPT,
        }
    ]
    body = {
        "error": {
            "code": "Invalid input",
            "status": 422,
            "message": "invalid input error",
            "details": details,
        }
    }
    phi.answer(httpx.Response(422, json=body))
    with pytest.raises(PhiError, match=r"temperature: Input should be <= 1") as caught:
        phi.open().complete(PROMPT)
    assert PROMPT not in shown(caught.value)


def test_short_words_of_a_prompt_are_left_in_a_message() -> None:
    request = json.dumps({"messages": [{"role": "user", "content": "is"}]}).encode()
    assert redact_prompts("this is it", request) == "this is it"
    assert redact_prompts("this is it", b"no json") == "this is it"


def test_an_answer_without_end_is_given_up(phi: Driver, pieces: type[Pieces]) -> None:
    block = b" " * (MAX_ANSWER_BYTES // 4)
    phi.answer(
        httpx.Response(200, stream=pieces(block, block, block, block, b" ", AssertionError("read on")))
    )
    with pytest.raises(PhiError, match="longer than"):
        phi.open().complete()


def test_a_chain_of_causes_that_is_a_ring_is_no_trap(phi: Driver) -> None:
    def ring(request: httpx.Request) -> httpx.Response:
        error = httpx.ConnectError("refused", request=request)
        raise error from error

    phi.router.route().mock(side_effect=ring)
    with pytest.raises(PhiError, match="the connection failed"):
        phi.open(max_retries=0).complete()
