"""`complete()` and `get_model_info()`: what is sent, and what a caller gets."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import (
    APIResponseError,
    AuthenticationError,
    BadRequestError,
    ChatMessage,
    ConfigurationError,
    ContentFilterError,
    InternalServerError,
    ModelError,
    NotFoundError,
    UnprocessableEntityError,
)
from phi_client.contract.error_body import HELP_TEXT
from phi_client.contract.messages import ContentPart, PartType
from phi_client.contract.service import MANAGED_COMPUTE, MANAGED_COMPUTE_OLDER, SERVERLESS
from phi_client.contract.service.chat import AssistantMessage, ChatCompletion, Choice, WireUsage

if TYPE_CHECKING:
    from tests.conftest import Driver

MANAGED = "https://phi.westus.inference.ml.azure.com"


def completion(text: str = r"<think>6*7=42</think>\boxed{42}", **message: Any) -> ChatCompletion:
    return ChatCompletion(
        id="chatcmpl-1",
        created=1,
        model="phi",
        choices=[Choice(index=0, message=AssistantMessage(content=text, **message), finish_reason="stop")],
        usage=WireUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7),
    )


def ok(answer: ChatCompletion | None = None, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(200, content=SERVERLESS.write_completion(answer or completion()), headers=headers)


def sent(driver: Driver) -> httpx.Request:
    request: httpx.Request = driver.router.calls.last.request
    return request


def sent_body(driver: Driver) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(sent(driver).content)
    return body


def test_a_completion_has_answer_content_and_reasoning(phi: Driver) -> None:
    phi.answer(ok(headers={"X-Request-ID": "r-1, r-1"}))
    done = phi.open().complete()
    assert (done.answer, done.content, done.reasoning) == ("42", r"\boxed{42}", "6*7=42")
    assert (done.finish_reason, done.model, done.request_id) == ("stop", "phi", "r-1")
    assert done.usage is not None
    assert done.usage.total_tokens == 7
    assert done.raw["choices"][0]["content_filter_results"]["hate"]["severity"] == "safe"


def test_a_reasoning_field_of_its_own_wins_over_a_tag(phi: Driver) -> None:
    phi.answer(ok(completion("<think>shadow</think>42", reasoning_content=" in its field ")))
    done = phi.open().complete()
    assert (done.reasoning, done.content) == ("in its field", "42")


@pytest.mark.parametrize("field", ["", " "])
def test_an_empty_reasoning_field_leaves_the_tag_to_say_it(phi: Driver, field: str) -> None:
    phi.answer(ok(completion("<think>here</think>42", reasoning_content=field)))
    done = phi.open().complete()
    assert (done.reasoning, done.content) == ("here", "42")


def test_a_boxed_number_in_the_reasoning_is_no_answer(phi: Driver) -> None:
    phi.answer(ok(completion(r"<think>maybe \boxed{41}")))
    done = phi.open().complete()
    assert (done.answer, done.content) == (None, "")


def test_a_prompt_is_sent_with_the_recommended_sampling(phi: Driver) -> None:
    phi.answer(ok())
    phi.open().complete("hello")
    assert sent_body(phi) == {
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.8,
        "top_p": 0.95,
        "max_tokens": 32768,
    }
    assert str(sent(phi).url) == (
        "https://phi.eastus2.models.ai.azure.com/chat/completions?api-version=2024-05-01-preview"
    )


def test_none_sends_nothing_and_a_value_outside_its_range_is_the_services_to_judge(phi: Driver) -> None:
    phi.answer(ok())
    phi.open().complete("x", temperature=5, top_p=None, max_tokens=None, stop=["."], seed=7)
    assert sent_body(phi) == {
        "messages": [{"role": "user", "content": "x"}], "temperature": 5, "stop": ["."], "seed": 7
    }  # fmt: skip


def test_messages_of_both_kinds_are_sent_without_earlier_reasoning(phi: Driver) -> None:
    phi.answer(ok())
    phi.open().complete(
        [
            ChatMessage.model_validate({"role": "system", "content": "be brief"}),
            {"role": "assistant", "content": "<think>old</think>4", "reasoning_content": "old"},
            {"role": "user", "content": [{"type": "text", "text": "about </think>"}], "name": "me"},
            {"role": "user", "content": "<think>mine</think>too"},
        ]
    )
    assert sent_body(phi)["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": [{"type": "text", "text": "about </think>"}], "name": "me"},
        {"role": "user", "content": "<think>mine</think>too"},
    ]


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": "<think>cut off"}, ""),
        ({"content": "never opened</think>4"}, "4"),
        ({"content": "<think></think>4", "reasoning_content": "old"}, "4"),
        ({"content": "the tag </think> ends it", "reasoning_content": "old"}, "the tag </think> ends it"),
        ({"content": "4"}, "4"),
    ],
)
def test_an_earlier_answers_reasoning_is_not_sent_back_wherever_it_stands(
    phi: Driver, message: dict[str, str], content: str
) -> None:
    phi.answer(ok())
    phi.open().complete([{"role": "assistant", **message}, {"role": "user", "content": "and 5?"}])
    assert sent_body(phi)["messages"][0] == {"role": "assistant", "content": content}


def test_extra_keys_are_merged_and_announced(phi: Driver) -> None:
    phi.answer(ok())
    phi.open(model="phi-4").complete("x", extra={"top_k": 5}, headers={"x-trace": "1"})
    assert sent_body(phi)["top_k"] == 5
    assert sent_body(phi)["model"] == "phi-4"
    assert sent(phi).headers["extra-parameters"] == "pass-through"
    assert sent(phi).headers["x-trace"] == "1"


def test_each_request_says_who_sends_it(phi: Driver) -> None:
    phi.answer(ok())
    phi.open().complete()
    assert sent(phi).headers["user-agent"].startswith("phi-client/")
    assert len(sent(phi).headers["x-ms-client-request-id"]) == 36
    assert sent(phi).headers["authorization"].startswith("Bearer ")
    assert "extra-parameters" not in sent(phi).headers


def test_managed_compute_is_asked_without_api_version_and_for_its_deployment(phi: Driver) -> None:
    phi.answer(httpx.Response(200, content=MANAGED_COMPUTE.write_completion(completion())))
    phi.open(MANAGED, deployment="blue").complete()
    assert str(sent(phi).url) == f"{MANAGED}/chat/completions"
    assert sent(phi).headers["azureml-model-deployment"] == "blue"


@pytest.mark.parametrize("older", [True, False])
def test_the_score_route_completes(phi: Driver, older: bool) -> None:
    container = MANAGED_COMPUTE_OLDER if older else MANAGED_COMPUTE
    phi.answer(httpx.Response(200, content=container.write_score(completion())))
    done = phi.open(f"{MANAGED}/score").complete("hello", max_tokens=9)
    assert (done.answer, done.reasoning) == ("42", "6*7=42")
    assert done.finish_reason == (None if older else "stop")
    assert sent_body(phi)["input_data"]["input_string"] == [{"role": "user", "content": "hello"}]
    assert sent_body(phi)["input_data"]["parameters"]["max_tokens"] == 9


@pytest.mark.parametrize("body", [b"{}", b'{"output": null}', b"", b"<html>"])
def test_a_score_answer_without_output_is_an_error(phi: Driver, body: bytes) -> None:
    phi.answer(httpx.Response(200, content=body))
    with pytest.raises(APIResponseError):
        phi.open(f"{MANAGED}/score").complete()


def test_an_engine_error_behind_score_is_a_model_error(phi: Driver) -> None:
    body = b'{"output": null, "error": {"status_code": 400, "body": {"message": "too long"}}}'
    phi.answer(httpx.Response(200, content=body))
    with pytest.raises(ModelError, match="too long") as caught:
        phi.open(f"{MANAGED}/score").complete()
    assert caught.value.inner_status == 400


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices": []}', b"<html>", b"[]", b'{"choices": 5}'])
def test_a_success_that_fits_nothing_is_an_error(phi: Driver, body: bytes) -> None:
    phi.answer(httpx.Response(200, content=body, headers={"X-Request-ID": "r-1"}))
    with pytest.raises(APIResponseError, match="request id r-1"):
        phi.open().complete()


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (400, {"detail": "Extra parameters"}, BadRequestError, "400: Extra parameters"),
        (401, {"statusCode": 401, "message": "bad key"}, AuthenticationError, "check `api_key`"),
        (404, None, NotFoundError, "tried https://phi.eastus2.models.ai.azure.com/chat/completions;"),
        (
            422,
            {"error": {"code": "Invalid input", "message": "no"}},
            UnprocessableEntityError,
            "422 Invalid input: no",
        ),
        (501, {"error": "never"}, InternalServerError, "501: never"),
        (302, None, Exception, "redirects are not followed"),
    ],
)
def test_an_error_status_has_its_class_and_one_line(
    phi: Driver, status: int, body: Any, kind: type[Exception], says: str
) -> None:
    content = b"" if body is None else json.dumps(body).encode() + HELP_TEXT.encode()
    phi.answer(
        httpx.Response(status, content=content, headers={"X-Request-ID": "r-1", "Location": "https://evil.example"})
    )  # fmt: skip
    with pytest.raises(kind) as caught:
        phi.open().complete("the prompt")
    assert says in str(caught.value)
    assert "request id r-1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert phi.router.calls.call_count == 1


def test_a_filtered_prompt_has_its_categories(phi: Driver) -> None:
    verdict = {"jailbreak": {"filtered": True, "detected": True}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": verdict}
    body = {"error": {"message": "filtered", "code": "content_filter", "status": 400, "innererror": inner}}
    phi.answer(httpx.Response(400, json=body))
    with pytest.raises(ContentFilterError) as caught:
        phi.open().complete()
    assert caught.value.categories == verdict
    assert phi.router.calls.call_count == 1


def test_an_error_body_without_end_is_read_no_further_than_needed(phi: Driver, pieces: Any) -> None:
    endless = pieces(*[b"x" * 60_000] * 2, AssertionError("read on"))
    phi.answer(httpx.Response(400, stream=endless))
    with pytest.raises(BadRequestError):
        phi.open().complete()
    assert endless.is_closed


def test_the_info_route_names_the_model(phi: Driver) -> None:
    body = {"model_name": "phi-4-mini-reasoning", "model_type": "chat-completion", "new": 1}
    phi.answer(httpx.Response(200, json=body))
    info = phi.open(f"{MANAGED}/score").get_model_info()
    assert (info.model_name, str(sent(phi).url)) == ("phi-4-mini-reasoning", f"{MANAGED}/info")


def test_an_info_route_that_is_not_there_is_not_found(phi: Driver) -> None:
    answer = SERVERLESS.write_error(SERVERLESS.unknown_route)
    phi.answer(httpx.Response(answer.status, content=answer.body, headers=dict(answer.headers)))
    with pytest.raises(NotFoundError, match="NOT FOUND"):
        phi.open().get_model_info()


@pytest.mark.parametrize(
    "messages",
    [
        b"bytes",
        {"role": "user", "content": "x"},
        ChatMessage.model_validate({"role": "user", "content": "x"}),
        5,
        ["x"],
        [{"role": "user", "content": object()}],
    ],
)
def test_messages_of_no_known_kind_are_refused(phi: Driver, messages: Any) -> None:
    with pytest.raises(ConfigurationError, match="message"):
        phi.open().complete(messages)


def test_models_and_mappings_of_any_kind_are_sent_as_what_they_are(phi: Driver) -> None:
    phi.answer(ok())
    tool = MappingProxyType({"type": "function", "function": MappingProxyType({"name": "add"})})
    parts = (ContentPart(type=PartType.TEXT, text="x"), {"type": "text", "text": "y"})
    phi.open().complete([{"role": "user", "content": parts}], tools=(tool,), extra={"ids": {7}})
    body = sent_body(phi)
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}
    ]
    assert body["tools"] == [{"type": "function", "function": {"name": "add"}}]
    assert body["ids"] == [7]


def test_an_unknown_option_is_refused_by_name(phi: Driver) -> None:
    with pytest.raises(TypeError, match="'temprature'"):
        phi.open().complete("x", temprature=1)


def test_half_a_surrogate_pair_is_sent_escaped(phi: Driver) -> None:
    phi.answer(ok())
    phi.open().complete("\ud800")
    assert rb"\ud800" in sent(phi).content
