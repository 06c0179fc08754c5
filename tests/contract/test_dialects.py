"""What one end writes the other reads, in every dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client.contract.answers import AnswerView
from phi_client.contract.error_body import ErrorBody
from phi_client.contract.events import DONE, EventDecoder, ServerSentEvent
from phi_client.contract.model_info import ModelInfo
from phi_client.contract.service import (
    FOUNDRY_MODELS,
    MANAGED_COMPUTE,
    MANAGED_COMPUTE_OLDER,
    OPENAI_V1,
    SERVERLESS,
    SURFACES,
    Surface,
)
from phi_client.contract.service.chat import (
    AssistantMessage,
    ChatCompletion,
    ChatRequest,
    Choice,
    WireUsage,
)
from phi_client.contract.service.refusals import Refusal, RefusedError, container_error
from phi_client.contract.service.stream import Chunk
from phi_client.contract.wire import ContractError

BOTH = pytest.mark.parametrize("dialect", SURFACES.values(), ids=SURFACES.keys())
dialects = st.sampled_from(list(SURFACES.values()))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_texts = texts.filter(bool)

messages = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": texts}),
    st.fixed_dictionaries(
        {
            "role": st.just("user"),
            "content": st.lists(
                st.fixed_dictionaries({"type": st.just("text"), "text": some_texts}), min_size=1, max_size=3
            ),
        }
    ),
    st.fixed_dictionaries({"role": st.just("assistant")}, optional={"content": st.none() | texts}),
)
requests = st.fixed_dictionaries(
    {"messages": st.lists(messages, min_size=1, max_size=3)},
    optional={
        "model": texts,
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "max_tokens": st.none() | st.integers(0, 2**31 - 1),
        "stop": texts | st.lists(texts, min_size=1, max_size=2),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "presence_penalty": st.floats(-2, 2),
        "stream": st.booleans(),
        "response_format": st.fixed_dictionaries({"type": st.sampled_from(["text", "json_object"])}),
        "top_k": st.integers(),
        "logit_bias": st.dictionaries(texts, st.integers(), max_size=2),
    },
).map(ChatRequest.model_validate)
usages = st.builds(
    WireUsage,
    prompt_tokens=st.integers(0, 9999),
    completion_tokens=st.integers(0, 9999),
    total_tokens=st.integers(0, 9999),
)
finish_reasons = st.sampled_from([None, "stop", "length", "content_filter", "eclipse"])
completions = st.builds(
    ChatCompletion,
    id=texts,
    created=st.integers(0, 2**40),
    model=texts,
    choices=st.lists(
        st.builds(
            Choice,
            index=st.integers(0, 3),
            message=st.builds(AssistantMessage, content=st.none() | texts),
            finish_reason=finish_reasons,
        ),
        max_size=2,
    ),
    usage=usages,
)
chunks = st.fixed_dictionaries(
    {
        "id": texts,
        "choices": st.lists(
            st.fixed_dictionaries(
                {
                    "index": st.integers(0, 3),
                    "delta": st.fixed_dictionaries({"content": st.none() | texts}),
                    "finish_reason": finish_reasons,
                    "logprobs": st.none(),
                }
            ),
            max_size=2,
        ),
    },
    optional={"usage": usages.map(WireUsage.to_wire)},
)


@given(dialects, requests)
def test_a_request_that_is_written_is_read(dialect: Surface, request: ChatRequest) -> None:
    if dialect.needs_model:
        request = request.model_copy(update={"model": request.model or "m"})
    wire = dialect.write_chat_request(request.to_wire())
    assert wire.body is not None
    assert dialect.read_chat_request(wire.headers, wire.body, route=wire.path) == request


@given(requests)
def test_a_score_request_that_is_written_is_read(request: ChatRequest) -> None:
    wire = MANAGED_COMPUTE.write_chat_request(request.to_wire(), route="/score")
    assert wire.body is not None
    # The older container drops what it does not know, and `/score` never streams.
    known = {
        key: value
        for key, value in request.to_wire().items()
        if key in ChatRequest.model_fields and key not in ("stream", "model")
    }
    assert MANAGED_COMPUTE.read_score_request(wire.body).to_wire() == known


@given(dialects, completions)
def test_a_completion_that_is_written_is_read(dialect: Surface, completion: ChatCompletion) -> None:
    shaped = dialect.shape_completion(completion)
    read = dialect.read_completion(dialect.write_completion(completion))
    assert isinstance(read, AnswerView)
    assert ChatCompletion.model_validate(read.raw) == shaped
    assert [(choice.index, choice.content, choice.finish_reason) for choice in read.choices] == [
        (choice.index, choice.message.content or "", choice.finish_reason) for choice in shaped.choices
    ]
    assert dialect.shape_completion(shaped) == shaped


@given(dialects, completions)
def test_shaping_keeps_what_the_model_said(dialect: Surface, completion: ChatCompletion) -> None:
    shaped = dialect.shape_completion(completion)
    assert [choice.message.content for choice in shaped.choices] == [
        choice.message.content for choice in completion.choices
    ]
    assert [choice.finish_reason for choice in shaped.choices] == [
        choice.finish_reason for choice in completion.choices
    ]
    assert completion.usage is not None
    assert shaped.usage is not None
    assert shaped.usage.total_tokens == completion.usage.total_tokens


@given(dialects, chunks)
def test_a_chunk_that_is_written_is_read(dialect: Surface, chunk: Chunk) -> None:
    (event,) = EventDecoder().feed(dialect.write_chunk(chunk))
    shaped = dialect.shape_chunk(chunk)
    read = dialect.read_event(event)
    assert isinstance(read, AnswerView)
    assert read.raw == shaped
    assert [(choice.content, choice.finish_reason) for choice in read.choices] == [
        (choice["delta"]["content"] or "", choice["finish_reason"]) for choice in chunk["choices"]
    ]
    assert dialect.shape_chunk(shaped) == shaped


letters = st.text(st.characters(exclude_categories=[])) | st.sampled_from(
    ['"', "\\", "\u2028", "\r\n\r\n", "data: [DONE]\n\n", "\x00", "\ud83d", "é漢🙂"]
)


@given(dialects, letters, letters, letters, st.booleans())
def test_a_text_in_a_stream_is_written_as_its_chunk_would_be(
    dialect: Surface, answer_id: str, model: str, text: str, asks_usage: bool
) -> None:
    asked = asks_usage and dialect.streams_usage == "on request"
    head = {"id": answer_id, "object": "chat.completion.chunk", "created": 1, "model": model}
    head |= {"system_fingerprint": "fp_1"} if dialect.tells_details else {}
    writer = dialect.open_stream(answer_id, 1, model, fingerprint="fp_1", asks_usage=asks_usage)
    for write, delta in (
        (writer.text, {"content": text}),
        (writer.reasoning, {"content": "", "reasoning_content": text}),
    ):
        choice = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}
        chunk = head | {"choices": [choice]} | ({"usage": None} if asked else {})
        written, whole = write(text), dialect.write_chunk(chunk)
        # Half of a surrogate pair has no UTF-8: it is escaped, and in a whole chunk all that is not ASCII beside it.
        is_utf8 = not any("\ud800" <= letter <= "\udfff" for letter in answer_id + model + text)
        assert (written == whole) if is_utf8 else json.loads(written[6:]) == json.loads(whole[6:])
        assert written[:6] + written[-2:] == b"data: \n\n"
        assert written.count(b"\n") == 2


@given(dialects, texts, texts)
def test_a_stream_is_read_as_what_was_written(dialect: Surface, text: str, reasoning: str) -> None:
    writer = dialect.open_stream("x", 1, "m", asks_usage=True)
    usage = WireUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    sent = [writer.begin(), writer.reasoning(reasoning), writer.text(text), writer.tool_call(call)]
    decoder = EventDecoder()
    events = decoder.feed(b"".join(sent) + writer.end("stop", usage) + dialect.write_done())
    read = [json.loads(event.data) for event in events[:-1]]
    deltas = [choice["delta"] for chunk in read for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == text
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == reasoning
    assert [delta["tool_calls"] for delta in deltas if delta.get("tool_calls")] == [[call]]
    assert [chunk["usage"] for chunk in read if chunk.get("usage")] == [usage.to_wire()]
    assert events[-1] == ServerSentEvent(DONE)


infos = st.builds(
    ModelInfo, model_name=texts, model_type=st.just("chat-completion"), model_provider_name=texts
)


@given(dialects, infos)
def test_model_info_that_is_written_is_read(dialect: Surface, info: ModelInfo) -> None:
    assert dialect.read_info(dialect.write_info(info)) == info


@given(dialects, some_texts.filter(lambda key: key == key.strip()))
def test_a_key_that_is_written_is_read(dialect: Surface, key: str) -> None:
    name, value = dialect.write_key(key)
    assert dialect.read_key({name.upper(): value}) == key


@pytest.mark.parametrize("dialect", [SERVERLESS, MANAGED_COMPUTE])
def test_a_stream_has_the_recorded_shape(dialect: Surface) -> None:
    usage = WireUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    writer = dialect.open_stream("x", 1, "m")
    decoder = EventDecoder()
    events = decoder.feed(
        writer.begin() + writer.text("Hi") + writer.end("stop", usage) + dialect.write_done()
    )
    first, middle, last = (json.loads(event.data) for event in events[:-1])
    assert events[-1] == ServerSentEvent(DONE)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    # The container's model of a chunk has no `logprobs`.
    logprobs = {} if dialect is MANAGED_COMPUTE else {"logprobs": None}
    assert middle["choices"][0] == {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None} | logprobs
    assert "usage" not in first
    assert "usage" not in middle
    assert last["choices"][0]["delta"] == {"content": ""}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert {event["object"] for event in (first, middle, last)} == {"chat.completion.chunk"}


@BOTH
def test_an_error_inside_a_stream_is_read_as_an_error(dialect: Surface) -> None:
    (event,) = EventDecoder().feed(dialect.write_stream_error("it broke"))
    assert dialect.read_event(event) == ErrorBody(message="it broke")
    object_event = ServerSentEvent('{"error": {"code": "x", "message": "it broke"}}')
    assert dialect.read_event(object_event) == ErrorBody(message="it broke", code="x")


@BOTH
@pytest.mark.parametrize("data", ["", "{", "[]", "text", '{"choices": [1]}'])
def test_an_event_that_is_no_chunk_is_refused(dialect: Surface, data: str) -> None:
    with pytest.raises(ContractError):
        dialect.read_event(ServerSentEvent(data))


@BOTH
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"choices": "x"}'])
def test_an_answer_that_is_no_completion_is_refused(dialect: Surface, body: bytes) -> None:
    with pytest.raises(ContractError):
        dialect.read_completion(body)


def error_in(refusal: Refusal) -> dict[str, Any]:
    assert not isinstance(refusal.body, str)
    error: dict[str, Any] = refusal.body["error"]
    return error


def read_status(dialect: Surface, body: bytes, **headers: str) -> int:
    with pytest.raises(RefusedError) as caught:
        dialect.read_chat_request({name.replace("_", "-"): value for name, value in headers.items()}, body)
    return caught.value.refusal.status


@BOTH
@pytest.mark.parametrize(
    "body", [b"", b"  ", b"{", b"[]", b"null", b"\xff", b'{"messages": []}', b"[" * 100_000,
             rb'{"messages": [{"role": "user", "content": "\ud800"}]}']
)  # fmt: skip
def test_a_body_that_is_no_request_is_a_422_with_details(dialect: Surface, body: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        dialect.read_chat_request({}, body)
    refusal = caught.value.refusal
    assert refusal.status == 422
    error = error_in(refusal)
    assert {key: error[key] for key in ("code", "status", "message")} == {
        "code": "Invalid input", "status": 422, "message": "invalid input error"
    }  # fmt: skip
    assert error["details"][0]["loc"][0] == "body"
    json.dumps(error, allow_nan=False).encode()


def nested(levels: int) -> bytes:
    """A request that has so many levels of objects and lists, in a key that nobody knows."""
    inner = levels - 1
    return (
        b'{"messages": [{"role": "user", "content": "x"}], "x": ' + b"[" * inner + b"1" + b"]" * inner + b"}"
    )


@pytest.mark.parametrize("policy", ["drop", "pass-through"])
@pytest.mark.parametrize("dialect", [SERVERLESS, MANAGED_COMPUTE], ids=lambda dialect: dialect.name)
def test_as_deep_a_body_is_taken_as_can_be_written_again(dialect: Surface, policy: str) -> None:
    headers = {"extra-parameters": policy}
    assert dialect.read_chat_request(headers, nested(200)).messages
    with pytest.raises(RefusedError) as caught:
        dialect.read_chat_request(headers, nested(201))
    assert error_in(caught.value.refusal)["details"][0]["type"] == "json_invalid"


def test_the_details_of_a_wrong_role_are_those_quoted_from_azure() -> None:
    body = b'{"messages": [{"role": "developer", "content": "x"}]}'
    with pytest.raises(RefusedError) as caught:
        SERVERLESS.read_chat_request({}, body)
    assert error_in(caught.value.refusal)["details"] == [
        {
            "type": "enum",
            "loc": ["body", "messages", 0, "role"],
            "msg": "Input should be 'system', 'user', 'assistant' or 'tool'",
            "input": "developer",
            "ctx": {"expected": "'system', 'user', 'assistant' or 'tool'"},
        }
    ]


EXTRA = b'{"messages": [{"role": "user", "content": "x"}], "n": 1}'


def test_unknown_parameters_follow_the_header() -> None:
    assert read_status(SERVERLESS, EXTRA) == 400
    assert read_status(SERVERLESS, EXTRA, extra_parameters="error") == 400
    assert read_status(SERVERLESS, EXTRA, extra_parameters="ignore") == 400
    assert SERVERLESS.read_chat_request({"Extra-Parameters": "drop"}, EXTRA).extra == {}
    assert SERVERLESS.read_chat_request({"extra-parameters": "pass-through"}, EXTRA).extra == {"n": 1}


def test_unknown_parameters_without_a_header_follow_the_surface() -> None:
    assert MANAGED_COMPUTE.read_chat_request({}, EXTRA).extra == {"n": 1}
    assert read_status(MANAGED_COMPUTE, EXTRA, extra_parameters="error") == 400
    assert read_status(MANAGED_COMPUTE_OLDER, EXTRA) == 400


@pytest.mark.parametrize("dialect", [SERVERLESS, MANAGED_COMPUTE], ids=lambda dialect: dialect.name)
def test_the_v1_route_never_refuses_unknown_parameters(dialect: Surface) -> None:
    request = dialect.read_chat_request({"extra-parameters": "error"}, EXTRA, route="/v1/chat/completions")
    assert request.extra == {"n": 1}


@BOTH
def test_extra_keys_send_the_header_where_there_is_one(dialect: Surface) -> None:
    plain = ChatRequest.model_validate({"messages": [{"role": "user", "content": "x"}]})
    extra = ChatRequest.model_validate_json(EXTRA)
    assert "extra-parameters" not in dialect.write_chat_request(plain.to_wire()).headers
    sent = dialect.write_chat_request(extra.to_wire()).headers.get("extra-parameters")
    assert sent == ("pass-through" if dialect is not OPENAI_V1 else None)


def test_openai_v1_takes_unknown_keys_whatever_the_header_says() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 1}'
    for value in ("error", "drop", "nonsense"):
        assert OPENAI_V1.read_chat_request({"extra-parameters": value}, body).extra == {"n": 1}


def test_a_model_must_be_named_on_a_foundry_resource() -> None:
    body = b'{"messages": [{"role": "user", "content": "x"}]}'
    assert read_status(FOUNDRY_MODELS, body) == 400
    assert read_status(OPENAI_V1, body) == 400
    named = FOUNDRY_MODELS.read_chat_request({"X-MS-Model-Mesh-Model-Name": "phi"}, body)
    assert named.model == "phi"


def test_openai_v1_takes_a_key_in_either_header() -> None:
    assert OPENAI_V1.read_key({"api-key": "k"}) == "k"
    assert OPENAI_V1.read_key({"Authorization": "Bearer k"}) == "k"
    assert OPENAI_V1.write_key("k") == ("api-key", "k")


def test_openai_v1_describes_a_model_by_its_name_or_in_a_list() -> None:
    assert OPENAI_V1.write_info_request(model="phi 4/x").path == "/openai/v1/models/phi%204%2Fx"
    assert OPENAI_V1.write_info_request().path == "/openai/v1/models"
    listed = b'{"object": "list", "data": [{"id": "phi", "object": "model", "owned_by": "Microsoft"}]}'
    assert OPENAI_V1.read_info(listed).model_name == "phi"
    for body in (b"{}", b'{"data": [1]}', b'{"id": 1}', b"["):
        with pytest.raises(ContractError):
            OPENAI_V1.read_info(body)


def test_the_api_version_is_sent_where_there_is_one() -> None:
    request = ChatRequest.model_validate_json(EXTRA)
    assert SERVERLESS.write_chat_request(request.to_wire()).query == {"api-version": "2024-05-01-preview"}
    assert SERVERLESS.write_chat_request(request.to_wire(), api_version="x").query == {"api-version": "x"}
    assert MANAGED_COMPUTE.write_chat_request(request.to_wire(), api_version="x").query == {}


def test_only_managed_compute_names_a_deployment() -> None:
    request = ChatRequest.model_validate_json(EXTRA)
    assert (
        MANAGED_COMPUTE.write_chat_request(request.to_wire(), deployment="blue").headers[
            "azureml-model-deployment"
        ]
        == "blue"
    )
    assert (
        "azureml-model-deployment"
        not in SERVERLESS.write_chat_request(request.to_wire(), deployment="blue").headers
    )


@pytest.mark.parametrize(
    ("dialect", "headers", "status"),
    [
        (SERVERLESS, {}, 400),
        (SERVERLESS, {"api-key": "k"}, 400),
        (SERVERLESS, {"Authorization": "Basic k"}, 401),
        (SERVERLESS, {"Authorization": "Bearer "}, 401),
        (MANAGED_COMPUTE, {}, 401),
        (MANAGED_COMPUTE, {"Authorization": "k"}, 401),
        (FOUNDRY_MODELS, {}, 401),
        (FOUNDRY_MODELS, {"Authorization": "Bearer k"}, 401),
        (OPENAI_V1, {}, 401),
        (OPENAI_V1, {"api-key": " "}, 401),
        (OPENAI_V1, {"Authorization": "Basic k"}, 401),
    ],
)
def test_a_missing_or_malformed_key_is_refused(
    dialect: Surface, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(RefusedError) as caught:
        dialect.read_key(headers)
    assert caught.value.refusal.status == status


def test_a_doubled_request_id_is_undone() -> None:
    assert SERVERLESS.read_request_id({"x-request-id": "a-1, a-1"}) == "a-1"
    assert SERVERLESS.read_request_id({}) is None


def test_response_headers_are_those_of_the_surface() -> None:
    usage = WireUsage(prompt_tokens=3, completion_tokens=4)
    whole = SERVERLESS.response_headers(request_id="r", session="dep-m-1", usage=usage)
    assert whole == {
        "X-Request-ID": "r", "x-ms-rai-invoked": "true", "azureml-model-session": "dep-m-1",
        "Request-Context": "appId=cid-v1:00000000-0000-0000-0000-000000000000",
        "prompt_token_len": "3", "sampling_token_len": "4",
    }  # fmt: skip
    assert "prompt_token_len" not in SERVERLESS.response_headers(request_id="r")
    assert MANAGED_COMPUTE.response_headers(request_id="r", deployment="blue", usage=usage) == {
        "x-request-id": "r", "server": "azureml-frontdoor", "azureml-model-deployment": "blue"
    }  # fmt: skip


def test_score_is_read_in_both_body_forms() -> None:
    chat = (
        b'{"input_data": {"input_string": [{"role": "user", "content": "x"}], "parameters":'
        b' {"max_new_tokens": 9, "do_sample": false, "top_p": 0.5, "return_full_text": false}}}'
    )
    text = b'{"input_data": ["x"], "params": {"max_gen_len": 9, "temperature": 0.5}}'
    user = {"role": "user", "content": "x"}
    assert MANAGED_COMPUTE.read_score_request(chat).to_wire() == {
        "messages": [user], "max_tokens": 9, "temperature": 0, "top_p": 0.5
    }  # fmt: skip
    assert MANAGED_COMPUTE.read_score_request(text).to_wire() == {
        "messages": [user], "max_tokens": 9, "temperature": 0.5
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"input_data": {}}', b'{"input_data": []}', b'{"input_data": ["a", "b"]}',
     b'{"input_data": ["a"], "params": [1]}', b'{"input_data": {"input_string": "a"}}',
     b'{"input_data": {"input_string": [{"role": "user", "content": "x"}], "parameters": {"temperature": 9}}}'],
)  # fmt: skip
def test_a_score_body_of_no_form_is_answered_with_an_empty_object(body: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        MANAGED_COMPUTE.read_score_request(body)
    assert (caught.value.refusal.status, caught.value.refusal.body) == (200, {})


def test_serverless_has_no_score_route() -> None:
    with pytest.raises(RefusedError) as caught:
        SERVERLESS.read_score_request(b"{}")
    assert caught.value.refusal.status == 404


@pytest.mark.parametrize("older", [True, False])
def test_a_score_answer_is_read_in_both_generations(older: bool) -> None:
    completion = ChatCompletion(
        id="x",
        model="m",
        choices=[
            Choice(index=0, message=AssistantMessage(content="<think>a</think>b"), finish_reason="stop")
        ],
        usage=WireUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
    )
    written = (MANAGED_COMPUTE_OLDER if older else MANAGED_COMPUTE).write_score(completion)
    read = MANAGED_COMPUTE.read_completion(written, route="/score")
    assert isinstance(read, AnswerView)
    assert read.choices[0].content == "<think>a</think>b"
    assert read.choices[0].finish_reason == (None if older else "stop")
    assert (read.usage is None) == older


@pytest.mark.parametrize("body", [b"{}", b'{"output": null}', b'{"output": 1}', b"[]", b""])
def test_a_score_answer_without_output_is_refused(body: bytes) -> None:
    with pytest.raises(ContractError):
        MANAGED_COMPUTE.read_completion(body, route="/score")


@pytest.mark.parametrize(
    "said",
    [{"message": {"reasoning": "6*7"}}, {"message": {"role": "assistant"}, "reasoning_content": "6*7"}],
)
def test_a_score_answer_may_say_nothing_but_its_reasoning(said: dict[str, Any]) -> None:
    body = json.dumps({"output": None, "finish_reason": "length", **said}).encode()
    read = MANAGED_COMPUTE.read_completion(body, route="/score")
    assert isinstance(read, AnswerView)
    (choice,) = read.choices
    assert (choice.content, choice.reasoning_content, choice.finish_reason) == ("", "6*7", "length")


def test_an_engine_error_behind_score_keeps_its_status() -> None:
    answer = MANAGED_COMPUTE.write_error(MANAGED_COMPUTE.score_refusal(container_error(503, "busy")))
    assert answer.status == 200
    read = MANAGED_COMPUTE.read_completion(answer.body, route="/score")
    assert isinstance(read, ErrorBody)
    assert (read.status, read.message) == (503, "busy")
