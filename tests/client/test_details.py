"""What an answer brings beside its text: tool calls, logprobs, ids and headers, whole and as it streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import (
    APIConnectionError,
    APIStatusError,
    PhiError,
    ReasoningTruncatedError,
    StreamInterruptedError,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
)
from phi_client._call.details import read_logprobs, read_tool_call_deltas, read_tool_calls

if TYPE_CHECKING:
    from tests.conftest import Driver, Pieces

KEY = "planted-key-0123456789abcdef"
CALL = {"id": "c-1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOKEN = {
    "token": "4",
    "logprob": -0.5,
    "bytes": [52],
    "top_logprobs": [{"token": "5", "logprob": -2, "bytes": None}],
}
LOGPROBS = {"content": [TOKEN]}
HEADERS = {"X-Request-ID": "r-1", "x-ms-region": "East US 2"}


def whole(message: dict[str, Any], **choice: Any) -> httpx.Response:
    body = {"choices": [{"message": message, "finish_reason": "stop", **choice}]}
    return httpx.Response(200, json=body, headers=HEADERS)


def streamed(pieces: type[Pieces], *choices: dict[str, Any]) -> httpx.Response:
    events = [b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n" for choice in choices]
    return httpx.Response(200, stream=pieces(*events), headers=HEADERS)


def test_tool_calls_are_typed(phi: Driver) -> None:
    phi.answer(whole({"content": "", "tool_calls": [CALL, {"type": "odd"}, 7]}, finish_reason="tool_calls"))
    done = phi.open().complete()
    assert done.tool_calls == (ToolCall("c-1", "add", '{"a": 1}'),)
    assert done.finish_reason == "tool_calls"


def test_tool_calls_that_stream_in_pieces_are_put_together(phi: Driver, pieces: type[Pieces]) -> None:
    def piece(index: int, **call: Any) -> dict[str, Any]:
        return {"delta": {"tool_calls": [{"index": index, **call}]}}

    phi.answer(
        streamed(
            pieces,
            piece(0, id="c-1", type="function", function={"name": "add", "arguments": '{"a"'}),
            piece(1, id="c-2", function={"name": "sub", "arguments": "{}"}),
            piece(0, function={"arguments": ": 1}"}),
            {"delta": {}, "finish_reason": "tool_calls"},
        )
    )
    chunks, done = phi.open().stream()
    assert [chunk.tool_calls for chunk in chunks[:3]] == [
        (ToolCallDelta(0, "c-1", "add", '{"a"'),),
        (ToolCallDelta(1, "c-2", "sub", "{}"),),
        (ToolCallDelta(0, arguments=": 1}"),),
    ]
    assert done is not None
    assert done.tool_calls == (ToolCall("c-1", "add", '{"a": 1}'), ToolCall("c-2", "sub", "{}"))
    assert done.message["tool_calls"][0] == CALL


@pytest.mark.parametrize(
    ("raw", "call"),
    [
        ({"id": 7, "function": {"name": "f", "arguments": {"a": 1}}}, ToolCall("7", "f", '{"a":1}')),
        ({"id": None, "function": {"name": "f", "arguments": None}}, ToolCall("", "f", "")),
        ({"function": {"name": "f", "arguments": ["\ud800"]}}, ToolCall("", "f", '["\\ud800"]')),
    ],
)
def test_arguments_that_came_as_json_are_its_text(raw: dict[str, Any], call: ToolCall) -> None:
    assert read_tool_calls([raw]) == (call,)


@pytest.mark.parametrize("index", [None, "x", [], {}, 1e400, float("nan"), True])
def test_a_piece_without_a_number_has_that_of_its_place(index: object) -> None:
    function = {"function": {"name": "f"}}
    deltas = read_tool_call_deltas([{"index": 0, **function}, {"index": index, **function}])
    assert [delta.index for delta in deltas] == [0, 1]


@pytest.mark.parametrize(
    ("raw", "token"),
    [
        ({"token": None, "logprob": "x", "bytes": ["x"]}, TokenLogprob("", 0.0)),
        ({"token": "a", "logprob": 10**400, "bytes": [300]}, TokenLogprob("a", 0.0)),
        ({"token": "a", "logprob": [], "bytes": "a", "top_logprobs": 5}, TokenLogprob("a", 0.0)),
        (5, TokenLogprob("", 0.0)),
    ],
)
def test_a_logprob_of_any_form_is_read(raw: object, token: TokenLogprob) -> None:
    assert read_logprobs({"content": [raw]}) == (token,)


def test_the_message_goes_back_into_the_next_call(phi: Driver) -> None:
    phi.answer(
        whole({"content": "<think>a</think>", "tool_calls": [CALL]}), whole({"content": "<think>a</think>3"})
    )
    done = phi.open().complete("What is 1 + 2?")
    assert done.message == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": done.tool_calls[0].id, "content": "3"}
    done = phi.complete([done.message, result])
    assert json.loads(phi.router.calls.last.request.content)["messages"] == [
        {"role": "assistant", "content": "", "tool_calls": [CALL]}, result
    ]  # fmt: skip
    assert done.message == {"role": "assistant", "content": "3"}
    assert done.tool_calls == ()


def test_logprobs_are_typed_whole_and_streamed(phi: Driver, pieces: type[Pieces]) -> None:
    phi.answer(
        whole({"content": "44"}, logprobs={"content": [TOKEN, TOKEN]}),
        streamed(
            pieces,
            {"delta": {"content": "4"}, "logprobs": LOGPROBS},
            {"delta": {"content": "4"}, "logprobs": LOGPROBS, "finish_reason": "stop"},
        ),
        whole({"content": "44"}, logprobs=None),
    )
    done = phi.open().complete("x", logprobs=True, top_logprobs=1)
    sent = phi.router.calls.last.request
    assert sent.headers["extra-parameters"] == "pass-through"
    assert json.loads(sent.content)["top_logprobs"] == 1
    four = TokenLogprob("4", -0.5, b"4", (TokenLogprob("5", -2.0),))
    assert done.logprobs == (four, four)
    _, other = phi.stream()
    assert other is not None
    assert other.logprobs == done.logprobs
    assert phi.complete().logprobs is None


def test_ids_and_headers_are_on_results(phi: Driver, pieces: type[Pieces]) -> None:
    phi.answer(
        whole({"content": "42"}), streamed(pieces, {"delta": {"content": "42"}, "finish_reason": "stop"})
    )
    done = phi.open().complete("x", headers={"X-MS-Client-Request-Id": "mine"})
    assert (done.request_id, done.client_request_id) == ("r-1", "mine")
    assert done.headers["x-ms-region"] == "East US 2"
    _, other = phi.stream()
    assert other is not None
    assert other.client_request_id == phi.router.calls.last.request.headers["x-ms-client-request-id"]
    assert other.headers["x-request-id"] == "r-1"


@pytest.mark.parametrize("by_stream", [False, True])
def test_ids_headers_and_the_body_are_on_errors(phi: Driver, by_stream: bool) -> None:
    phi.answer(httpx.Response(400, text='{"error": {"message": "no"}, "more": 1}', headers=HEADERS))
    with pytest.raises(APIStatusError) as caught:
        (phi.open().stream if by_stream else phi.open().complete)()
    error = caught.value
    assert error.client_request_id == phi.router.calls.last.request.headers["x-ms-client-request-id"]
    assert (error.request_id, error.headers["x-ms-region"]) == ("r-1", "East US 2")
    assert error.body.raw == '{"error": {"message": "no"}, "more": 1}'


def test_an_error_without_an_answer_says_as_what_it_was_sent(phi: Driver) -> None:
    phi.answer(httpx.ReadTimeout("silent"))
    with pytest.raises(APIConnectionError, match="as request mine") as caught:
        phi.open().complete("x", headers={"x-ms-client-request-id": "mine"})
    assert caught.value.client_request_id == "mine"


def test_an_error_with_a_partial_answer_has_its_id(phi: Driver, pieces: type[Pieces]) -> None:
    cut = {"delta": {"content": "<think>a"}}
    phi.answer(streamed(pieces, cut), streamed(pieces, {**cut, "finish_reason": "length"}))
    phi.open(headers={"x-ms-client-request-id": "mine"})
    kinds: list[type[PhiError]] = [StreamInterruptedError, ReasoningTruncatedError]
    for kind in kinds:
        with pytest.raises(kind) as caught:
            phi.stream()
        assert caught.value.client_request_id == "mine"


def test_a_header_that_repeats_the_key_is_not_kept(phi: Driver) -> None:
    echo = {**HEADERS, "x-echo": f"Bearer {KEY}"}
    phi.answer(httpx.Response(400, headers=echo), httpx.Response(200, json={"choices": [{}]}, headers=echo))
    with pytest.raises(APIStatusError) as caught:
        phi.open(api_key=KEY).complete()
    assert caught.value.headers["x-echo"] == "Bearer [secret]"
    assert phi.complete().headers["x-echo"] == "Bearer [secret]"
