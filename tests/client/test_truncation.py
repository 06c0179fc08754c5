"""A budget that ends inside the reasoning leaves no answer: that is an error, unless the caller takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import ConfigurationError, ReasoningTruncatedError, Usage
from phi_client.contract.service import SERVERLESS, chat
from phi_client.contract.service.chat import AssistantMessage, ChatCompletion, Choice

if TYPE_CHECKING:
    from tests.conftest import Driver

HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "phi"}
COUNTED = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
USAGE = chat.WireUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7)


def whole(text: str, finish_reason: str) -> httpx.Response:
    message = AssistantMessage(role="assistant", content=text)
    choices = [Choice(index=0, message=message, finish_reason=finish_reason)]
    body = SERVERLESS.write_completion(ChatCompletion(**HEAD, choices=choices, usage=USAGE))
    return httpx.Response(200, content=body, headers={"X-Request-ID": "r-1"})


def streamed(text: str, finish_reason: str) -> httpx.Response:
    writer = SERVERLESS.open_stream("chatcmpl-1", 1, "phi")
    body = writer.begin() + writer.text(text) + writer.end(finish_reason, USAGE) + SERVERLESS.write_done()
    return httpx.Response(200, content=body, headers={"content-type": "text/event-stream"})


def test_complete_raises_with_the_partial_reasoning_and_is_not_retried(phi: Driver) -> None:
    route = phi.open().answer(whole("<think>6*7 is", "length"))
    with pytest.raises(ReasoningTruncatedError, match="max_tokens") as caught:
        phi.complete()
    assert caught.value.partial.reasoning == "6*7 is"
    assert caught.value.partial.usage is not None
    assert caught.value.partial.usage.completion_tokens == 4
    assert "6*7" not in str(caught.value)
    assert route.call_count == 1


def test_a_stream_raises_after_its_last_chunk(phi: Driver) -> None:
    phi.open().answer(streamed("<think>6*7 is", "length"))
    with pytest.raises(ReasoningTruncatedError) as caught:
        phi.stream()
    assert caught.value.partial.reasoning == "6*7 is"


def test_a_caller_may_take_it_as_it_is(phi: Driver) -> None:
    phi.open().answer(whole("<think>6*7 is", "length"), streamed("<think>6*7 is", "length"))
    done = phi.complete(on_truncation="return")
    assert (done.reasoning, done.content, done.answer, done.ends_in_reasoning) == ("6*7 is", "", None, True)
    _, completion = phi.stream(on_truncation="return")
    assert completion is not None
    assert completion.ends_in_reasoning


@pytest.mark.parametrize(
    ("text", "finish_reason"),
    [
        ("<think>6*7=42</think>It is", "length"),  # cut in the answer: there is something to read
        ("<think>6*7=42</think>", "stop"),  # the model said nothing: odd, but not cut
        ("It is forty-", "length"),  # no reasoning at all
    ],
)
def test_what_was_not_cut_in_the_reasoning_is_returned(phi: Driver, text: str, finish_reason: str) -> None:
    phi.open().answer(whole(text, finish_reason))
    assert phi.complete().finish_reason == finish_reason


def test_a_call_that_was_cut_is_returned_because_the_reasoning_was_not(phi: Driver) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a'}}
    message = AssistantMessage(role="assistant", content="<think>hm</think>", tool_calls=[call])
    choices = [Choice(index=0, message=message, finish_reason="length")]
    body = SERVERLESS.write_completion(ChatCompletion(**HEAD, choices=choices, usage=USAGE))
    phi.open().answer(httpx.Response(200, content=body))
    assert phi.complete().tool_calls[0].arguments == '{"a'


def test_another_value_is_a_configuration_error(phi: Driver) -> None:
    phi.open()
    with pytest.raises(ConfigurationError, match="on_truncation"):
        phi.complete(on_truncation="ignore")
