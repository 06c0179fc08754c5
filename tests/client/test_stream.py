"""`stream()`: the same completion as `complete()`, and no broken stream that looks like success."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import (
    APIResponseError,
    AsyncChatStream,
    AsyncPhiClient,
    BadRequestError,
    Completion,
    ConfigurationError,
    PhiClient,
    RateLimitError,
    StreamInterruptedError,
    Usage,
)
from phi_client.contract.service import SERVERLESS, chat
from phi_client.contract.service.chat import (
    AssistantMessage,
    ChatCompletion,
    Choice,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Driver, FakeTime, Pieces

HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "phi"}
COUNTED = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
USAGE = chat.WireUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
TEXT = "<think>\n6*7=42\n</think>\n\nIt is \\boxed{42}."


WRITER = SERVERLESS.open_stream("chatcmpl-1", 1, "phi")
data = WRITER.text
BEGIN = WRITER.begin()
END = WRITER.end("stop", USAGE)
DONE = SERVERLESS.write_done()
WHOLE = BEGIN + b"".join(map(data, TEXT)) + END + DONE


def events(*body: bytes | Exception | Callable[[], None], pieces: type[Pieces]) -> httpx.Response:
    headers = {"content-type": "text/event-stream", "X-Request-ID": "r-1"}
    return httpx.Response(200, stream=pieces(*body), headers=headers)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_gives_what_complete_gives(phi: Driver, pieces: type[Pieces], size: int) -> None:
    whole = ChatCompletion(
        **HEAD,
        choices=[Choice(index=0, message=AssistantMessage(content=TEXT), finish_reason="stop")],
        usage=USAGE,
    )
    phi.open()
    cut = [WHOLE[start : start + size] for start in range(0, len(WHOLE), size)]
    phi.answer(
        events(*cut, pieces=pieces),
        httpx.Response(200, json=whole.to_wire(), headers={"X-Request-ID": "r-1"}),
    )
    chunks, streamed = phi.stream()
    assert streamed == phi.complete()
    assert "".join(chunk.reasoning for chunk in chunks) == "6*7=42"
    assert "".join(chunk.content for chunk in chunks) == "It is \\boxed{42}."
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("stop", COUNTED)
    assert streamed is not None
    assert streamed.raw["choices"][0]["message"]["content"] == TEXT


def test_stream_is_asked_for(phi: Driver, pieces: type[Pieces]) -> None:
    phi.answer(events(WHOLE, pieces=pieces))
    phi.open().stream("x")
    assert json.loads(phi.router.calls.last.request.content)["stream"] is True


def test_a_reasoning_field_streams_as_reasoning(phi: Driver, pieces: type[Pieces]) -> None:
    def chunk(**delta: Any) -> bytes:
        return SERVERLESS.write_chunk({**HEAD, "choices": [{"delta": delta}]})

    body = chunk(reasoning_content="6*7", content="") + chunk(reasoning_content="=42") + chunk(content="42")
    phi.answer(events(body + END + DONE, pieces=pieces))
    chunks, done = phi.open().stream()
    assert [chunk.reasoning for chunk in chunks] == ["6*7", "=42", "", ""]
    assert done is not None
    assert (done.reasoning, done.content) == ("6*7=42", "42")


@pytest.mark.parametrize(
    "tail",
    [
        END + DONE,
        END,
        END.replace(b"\n", b"\r\n") + DONE,
        b": ping\n\n" + END + b": ping\n\n" + DONE,
        END.replace(b"data: ", b"data:") + b"data:[DONE]",
        END.removesuffix(b"\n\n"),
        END + b'data: {"choices":[],"usage":null}\n\n' + DONE,
        b'data: {"choices":[],"id":"","object":"","prompt_filter_results":[]}\n\n' + END + DONE,
        b'data: {"choices":[{"delta":{"role":null,"content":null,"tool_calls":null}}],"usage":null}\n\n'
        + END,
        END + DONE + b"data: what comes after the end is not read\n\n",
    ],
)
def test_every_way_to_end_well_is_success(phi: Driver, pieces: type[Pieces], tail: bytes) -> None:
    phi.answer(events(BEGIN + data("<think>a</think>42") + tail, pieces=pieces))
    _, done = phi.open().stream()
    assert done is not None
    assert (done.content, done.finish_reason, done.usage) == ("42", "stop", COUNTED)


def test_usage_may_come_in_a_chunk_of_its_own(phi: Driver, pieces: type[Pieces]) -> None:
    last = SERVERLESS.write_chunk({"choices": [{"delta": {}, "finish_reason": "length"}]})
    usage = SERVERLESS.write_chunk({"choices": [], "usage": USAGE})
    phi.answer(events(data("42") + last + usage + DONE, pieces=pieces))
    _, done = phi.open().stream()
    assert done is not None
    assert (done.usage, done.finish_reason) == (COUNTED, "length")


def test_text_held_back_as_a_possible_tag_is_released_at_the_end(phi: Driver, pieces: type[Pieces]) -> None:
    phi.answer(events(data("a </thi") + END + DONE + data("what comes after the end"), pieces=pieces))
    chunks, done = phi.open().stream()
    assert "".join(chunk.content for chunk in chunks) == "a </thi"
    assert done is not None
    assert done.content == "a </thi"


SOME = data("<think>some reasoning") + data("</think>some content")


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ([], "without a finish reason"),
        ([DONE], "without a finish reason"),
        ([httpx.ReadError("reset")], "the connection failed"),
        ([httpx.RemoteProtocolError("cut")], "the connection failed"),
        ([httpx.ReadTimeout("silent")], "read limit of 300 s"),
        ([b"data: {broken\n\n"], "not JSON"),
        ([b"data: [1]\n\n"], "not an object"),
        ([b'data: {"choices": 5}\n\n'], "does not fit"),
        ([b'data: {"error": {"code": "x", "message": "it broke"}}\n\n'], "it broke"),
        ([b'data: {"object": "error", "message": "it broke", "code": 500}\n\n'], "it broke"),
        ([b"event: error\ndata: it broke\n\n", DONE], "it broke"),
        ([b"data: \xff\n\n"], "not UTF-8"),
        ([END.split(b"finish_reason")[0]], "not JSON"),
    ],
)
def test_a_broken_stream_raises_with_what_came(
    phi: Driver, pieces: type[Pieces], tail: list[bytes | Exception], says: str
) -> None:
    body = pieces(SOME, *tail)
    phi.answer(httpx.Response(200, stream=body, headers={"X-Request-ID": "r-1"}))
    with pytest.raises(StreamInterruptedError, match=says) as caught:
        phi.open().stream()
    partial = caught.value.partial
    assert (partial.reasoning, partial.content) == ("some reasoning", "some content")
    assert partial.finish_reason is None
    assert caught.value.request_sent
    assert "request id r-1" in str(caught.value)
    assert "some content" not in str(caught.value)
    assert phi.router.calls.call_count == 1
    assert body.is_closed


def test_a_service_that_does_not_stream_gives_its_answer_as_one_chunk(phi: Driver) -> None:
    answer = {"choices": [{"message": {"content": "<think>6*7</think>42"}, "finish_reason": "stop"}]}
    phi.answer(httpx.Response(200, json=answer), httpx.Response(200, json=answer))
    chunks, done = phi.open().stream()
    assert [(chunk.reasoning, chunk.content, chunk.finish_reason) for chunk in chunks] == [
        ("6*7", "42", "stop")
    ]
    assert done == phi.complete()


def test_events_under_the_name_of_json_are_events(phi: Driver) -> None:
    events = b'data: {"choices":[{"delta":{"content":"42"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    phi.answer(httpx.Response(200, content=events, headers={"content-type": "application/json"}))
    _, done = phi.open().stream()
    assert done is not None
    assert done.content == "42"


@pytest.mark.parametrize("body", [b"", b": a comment\n\n", b"neither events nor JSON"])
def test_a_body_without_events_is_no_success(phi: Driver, body: bytes) -> None:
    phi.answer(httpx.Response(200, content=body))
    with pytest.raises(StreamInterruptedError, match="no event came"):
        phi.open().stream()


def test_comments_alone_do_not_keep_a_stream_alive(
    phi: Driver, pieces: type[Pieces], fake_time: FakeTime
) -> None:
    def two_seconds() -> None:
        fake_time.seconds += 2

    pings: list[Any] = [two_seconds, b": ping\n\n"] * 5
    phi.answer(events(SOME, *pings, END, DONE, pieces=pieces))
    with pytest.raises(StreamInterruptedError, match="no data event within the read limit of 3 s"):
        phi.open().stream(timeout=3)


def test_data_events_keep_a_slow_stream_alive(phi: Driver, pieces: type[Pieces], fake_time: FakeTime) -> None:
    def two_seconds() -> None:
        fake_time.seconds += 2

    slow: list[Any] = [part for text in "42" for part in (two_seconds, b": ping\n\n", data(text))]
    phi.answer(events(*slow, END, DONE, pieces=pieces))
    _, done = phi.open().stream(timeout=3)
    assert done is not None
    assert done.content == "42"


def test_the_deadline_ends_a_stream_with_what_came(
    phi: Driver, pieces: type[Pieces], fake_time: FakeTime
) -> None:
    def a_minute() -> None:
        fake_time.seconds += 60

    phi.answer(events(data("a"), a_minute, data("b"), a_minute, data("c"), END, DONE, pieces=pieces))
    with pytest.raises(StreamInterruptedError, match="deadline of 100 s") as caught:
        phi.open().stream(deadline=100)
    assert caught.value.partial.content == "abc"


@pytest.mark.parametrize("leave_after", [1, 3])
def test_leaving_early_closes_the_connection(phi: Driver, pieces: type[Pieces], leave_after: int) -> None:
    body = pieces(BEGIN, data("a"), data("b"), data("c"), AssertionError("read on"))
    phi.answer(httpx.Response(200, stream=body))
    chunks, _ = phi.open().stream(leave_after=leave_after)
    assert len(chunks) == leave_after
    assert body.is_closed


def test_a_stream_is_tried_again_before_it_begins_and_never_after(phi: Driver, pieces: type[Pieces]) -> None:
    phi.answer(
        httpx.Response(503), httpx.ConnectError("refused"), events(SOME, httpx.ReadError("x"), pieces=pieces)
    )
    with pytest.raises(StreamInterruptedError):
        phi.open().stream()
    assert phi.router.calls.call_count == 3


def test_an_error_before_the_stream_closes_the_connection(phi: Driver, pieces: type[Pieces]) -> None:
    # A body that is read to its end closes itself, so this one is not.
    body = pieces(b"no", b" " * 100_000, AssertionError("read on"))
    phi.answer(httpx.Response(400, stream=body))
    with pytest.raises(BadRequestError, match="no"):
        phi.open().stream()
    assert body.is_closed


def test_choices_beyond_the_first_are_left_out(phi: Driver, pieces: type[Pieces]) -> None:
    other = {"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}
    mixed = SERVERLESS.write_chunk({"choices": [{"index": 0, "delta": {"content": "42"}}, other]})
    phi.answer(events(mixed + END + DONE, pieces=pieces))
    _, done = phi.open().stream()
    assert done is not None
    assert (done.content, done.finish_reason) == ("42", "stop")


def test_an_error_before_the_stream_is_the_same_as_without(phi: Driver) -> None:
    phi.answer(httpx.Response(429, json={"error": {"code": "429", "message": "slow down"}}))
    with pytest.raises(RateLimitError, match="slow down"):
        phi.open(max_retries=0).stream()


def test_the_score_route_refuses_to_stream_and_says_why(phi: Driver) -> None:
    with pytest.raises(ConfigurationError, match="`/score` route, which never streams"):
        phi.open("https://phi.westus.inference.ml.azure.com/score").stream()
    assert phi.router.calls.call_count == 0


def test_a_completion_is_there_only_at_the_end(phi: Driver, pieces: type[Pieces]) -> None:
    phi.answer(events(WHOLE, pieces=pieces))
    client = phi.open().client
    if isinstance(client, AsyncPhiClient):
        stream: Any = client.stream("x")
        with pytest.raises(ConfigurationError, match="not open"):
            phi.run(anext(stream))

        async def entered() -> None:
            async with stream:
                _ = stream.completion

        with pytest.raises(ConfigurationError, match="not been read"):
            phi.run(entered())
    else:
        assert isinstance(client, PhiClient)
        plain = client.stream("x")
        with pytest.raises(ConfigurationError, match="not open"):
            next(plain)
        with plain, pytest.raises(ConfigurationError, match="not been read"):
            _ = plain.completion


def event(**delta: str) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if not delta else None}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


EVENTS = [
    event(content="<think>6"),
    event(content="*7</think>4"),
    event(content="2"),
    event(),
    b"data: [DONE]\n\n",
]
HEADERS = {"content-type": "text/event-stream", "x-request-id": "r-1"}


def opened(phi: Driver) -> Any:
    """A stream of the client, behind a sync face."""
    phi.answer(httpx.Response(200, content=b"".join(EVENTS), headers=HEADERS))
    phi.open()
    assert phi.client is not None
    return phi.client.stream("x")


def test_one_side_of_a_stream_can_be_read_alone(phi: Driver) -> None:
    async def deltas(stream: AsyncChatStream, side: str) -> list[str]:
        async with stream:
            return [text async for text in getattr(stream, side)()]

    for side, expected in (("text_deltas", "42"), ("reasoning_deltas", "6*7")):
        stream = opened(phi)
        if phi.is_async:
            assert "".join(phi.run(deltas(stream, side))) == expected
        else:
            with stream:
                assert "".join(getattr(stream, side)()) == expected


def test_a_stream_tells_its_head_from_the_start_and_what_came_so_far(phi: Driver) -> None:
    def look(stream: Any) -> None:
        assert (stream.request_id, stream.status_code) == ("r-1", 200)
        assert stream.headers["x-request-id"] == "r-1"
        assert (stream.so_far.content, stream.so_far.finish_reason) == ("", None)
        assert "so far" in repr(stream)

    async def read(stream: AsyncChatStream) -> Completion:
        async with stream:
            look(stream)
            await anext(stream)
            return await stream.until_done()

    stream = opened(phi)
    if phi.is_async:
        done = phi.run(read(stream))
    else:
        with stream:
            look(stream)
            next(stream)
            done = stream.until_done()
    assert (done.reasoning, done.content) == ("6*7", "42")
    assert stream.so_far == done
    assert "whole" in repr(stream)


def test_a_stream_that_was_closed_is_read_no_further(phi: Driver) -> None:
    async def read(stream: AsyncChatStream) -> None:
        async with stream:
            await anext(stream)
            await stream.close()
            await stream.close()
            with pytest.raises(ConfigurationError, match="has been left"):
                await stream.until_done()
        with pytest.raises(ConfigurationError, match="opened once"):
            await stream.__aenter__()

    stream = opened(phi)
    if phi.is_async:
        phi.run(read(stream))
        return
    with stream:
        next(stream)
        stream.close()
        stream.close()
        with pytest.raises(ConfigurationError, match="has been left"):
            stream.until_done()
    with pytest.raises(ConfigurationError, match="opened once"):
        stream.__enter__()


BROKEN = [httpx.ReadTimeout("silent"), httpx.ReadError("reset"), httpx.RemoteProtocolError("cut")]


@pytest.mark.parametrize("end", BROKEN)
def test_what_breaks_off_after_the_finish_reason_costs_no_answer(
    phi: Driver, pieces: type[Pieces], end: Exception
) -> None:
    phi.answer(httpx.Response(200, stream=pieces(*EVENTS[:-1], end), headers=HEADERS))
    _, done = phi.open().stream()
    assert done is not None
    assert (done.reasoning, done.content, done.finish_reason) == ("6*7", "42", "stop")


@pytest.mark.parametrize("end", BROKEN)
def test_what_breaks_off_before_it_is_an_interruption(
    phi: Driver, pieces: type[Pieces], end: Exception
) -> None:
    phi.answer(httpx.Response(200, stream=pieces(*EVENTS[:-2], end), headers=HEADERS))
    with pytest.raises(StreamInterruptedError) as caught:
        phi.open().stream()
    assert (caught.value.partial.reasoning, caught.value.partial.content) == ("6*7", "42")


def test_the_raw_of_a_stream_has_what_the_raw_of_an_answer_has(phi: Driver) -> None:
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    head = {"id": "c", "created": 1, "model": "phi", "system_fingerprint": None, "service_tier": "default"}
    said = {
        "content": None,
        "refusal": "I won't",
        "reasoning": "why",
        "reasoning_content": None,
        "tool_calls": calls,
    }
    filtered = {"hate": {"filtered": False}}
    whole = {
        **head,
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": "stop"}
            | {"content_filter_results": filtered, "stop_reason": 7}
        ],
        "usage": None,
    }
    deltas = [
        {"role": "assistant", "refusal": "I ", "reasoning": "w", "reasoning_content": None},
        {"refusal": "won't", "reasoning": "hy", "tool_calls": [{"index": 0, **calls[0]}]},
    ]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    end = {
        "index": 0,
        "delta": {},
        "finish_reason": "stop",
        "content_filter_results": filtered,
        "stop_reason": 7,
    }
    events = [*chunks, {**head, "obfuscation": "xyz", "choices": [end]}]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    phi.answer(
        httpx.Response(200, json=whole),
        httpx.Response(200, text=text, headers={"content-type": "text/event-stream"}),
    )
    done = phi.open().complete()
    streamed = phi.stream()[1]
    assert streamed is not None
    assert (streamed, streamed.raw) == (done, whole)


WHOLE_ANSWER = {"choices": [{"index": 0, "message": {"content": "42"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain", ""])
def test_a_whole_answer_under_a_wrong_name_is_read_all_the_same(phi: Driver, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    phi.answer(httpx.Response(200, content=json.dumps(WHOLE_ANSWER, indent=1).encode(), headers=headers))
    chunks, completion = phi.open().stream()
    assert completion is not None
    assert ([chunk.content for chunk in chunks], completion.content) == (["42"], "42")


@pytest.mark.parametrize("body", ['{"error": {"message": "no such model"}}', "<html>no such model</html>"])
def test_what_a_service_says_instead_of_events_under_their_name_is_kept(phi: Driver, body: str) -> None:
    phi.answer(httpx.Response(200, text=body, headers={"content-type": "text/event-stream"}))
    with pytest.raises(StreamInterruptedError, match="no such model") as caught:
        phi.open(max_retries=0).stream()
    assert caught.value.body is not None


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_complete_reads_a_stream_that_nobody_asked_for(phi: Driver, kind: str) -> None:
    deltas: list[dict[str, Any]] = [
        {"index": 0, "delta": {"content": "<think>why</th"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "ink>42"}, "finish_reason": "stop"},
    ]
    events = (
        "".join(f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in deltas) + "data: [DONE]\n\n"
    )
    phi.answer(*(httpx.Response(200, text=events, headers={"content-type": kind}) for _ in range(2)))
    whole = phi.open().complete()
    assert (whole.reasoning, whole.content, whole.finish_reason) == ("why", "42", "stop")
    assert phi.stream()[1] == whole


@pytest.mark.parametrize(
    "said",
    [{"error": {"message": "it broke"}}, {"message": "it broke", "statusCode": 503}, {"detail": "it broke"}],
)
def test_an_error_among_events_is_told_by_both_calls(phi: Driver, said: dict[str, Any]) -> None:
    text, kind = f"data: {json.dumps(said)}\n\n", "text/event-stream"
    phi.answer(*(httpx.Response(200, text=text, headers={"content-type": kind}) for _ in range(2)))
    phi.open(max_retries=0)
    with pytest.raises(APIResponseError, match="it broke"):
        phi.complete()
    with pytest.raises(StreamInterruptedError, match="it broke"):
        phi.stream()


def test_complete_refuses_a_stream_without_an_end(phi: Driver) -> None:
    cut = {"choices": [{"index": 0, "delta": {"content": "4"}, "finish_reason": None}]}
    phi.answer(httpx.Response(200, text=f"data: {json.dumps(cut)}\n\n"))
    with pytest.raises(APIResponseError, match="without an end"):
        phi.open(max_retries=0).complete()
