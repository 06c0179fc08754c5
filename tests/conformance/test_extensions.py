"""Forms and tools on the bundled model, as `openai`, `azure-ai-inference` and our own client ask for them.

The model knows arithmetic and no tools: what it says in a form is not looked at, that it keeps the form is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, cast

import jsonschema_rs
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.models import AssistantMessage as AzureAssistantMessage
from azure.ai.inference.models import (
    ChatCompletionsToolDefinition,
    ChatRequestMessage,
    FunctionDefinition,
    JsonSchemaFormat,
    StreamingChatCompletionsUpdate,
    ToolMessage,
    UserMessage,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from openai import APIStatusError, BadRequestError, OpenAI
from openai.types.chat import (
    ChatCompletionMessage,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)
from phi_emulator import Emulator, EmulatorConfig
from pydantic import BaseModel, ConfigDict, Field

from phi_client import BadRequestError as PhiBadRequestError
from phi_client import FunctionTool, PhiClient, ResponseFormat

QUESTION = "What is 17 * 24?"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


class Length(BaseModel):
    """A form that even a tiny model gets to the end of."""

    model_config = ConfigDict(extra="forbid")

    value: int = Field(ge=0, le=999)
    unit: Literal["m", "km"]


SCHEMA = Length.model_json_schema()
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOL: ChatCompletionToolParam = {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}
OWN_TOOL: FunctionTool = {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}
OWN_FORMAT: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "length", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def extended() -> Iterator[Emulator]:
    with Emulator(EmulatorConfig(port=0, extensions=True)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def openai(extended: Emulator) -> Iterator[OpenAI]:
    with OpenAI(base_url=extended.endpoint_of("openai_v1"), api_key=extended.key, max_retries=0) as client:
        yield client


def split(text: str | None) -> tuple[str, str]:
    thinking, mark, answer = (text or "").partition("</think>")
    assert mark
    assert thinking.startswith("<think>")
    return thinking, answer


def only_call(message: ChatCompletionMessage) -> ChatCompletionMessageFunctionToolCall:
    calls = message.tool_calls or []
    assert len(calls) == 1
    assert calls[0].type == "function"
    return calls[0]


def fits(text: str) -> bool:
    return jsonschema_rs.is_valid(SCHEMA, json.loads(text))


def test_openai_gets_json_that_fits_and_reasoning_as_without_it(openai: OpenAI) -> None:
    create = openai.chat.completions.create
    plain = create(model="m", messages=MESSAGES, temperature=0)
    form = create(
        model="m",
        messages=MESSAGES,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "length", "schema": SCHEMA, "strict": True},
        },
    )
    (thinking, answer), (unguided, _) = (split(done.choices[0].message.content) for done in (form, plain))
    assert thinking == unguided
    assert fits(answer)
    assert form.choices[0].finish_reason == "stop"


def test_openai_parses_a_pydantic_model(extended: Emulator) -> None:
    # The package reads the whole content as JSON, so the reasoning must be elsewhere.
    config = EmulatorConfig(port=0, extensions=True, reasoning="reasoning_content")
    with Emulator(config) as emulator:
        base = emulator.endpoint_of("openai_v1")
        with OpenAI(base_url=base, api_key=emulator.key, max_retries=0) as client:
            done = client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Length, seed=1)
    assert isinstance(done.choices[0].message.parsed, Length)


def test_openai_gets_an_object_and_a_match(openai: OpenAI) -> None:
    create = openai.chat.completions.create
    done = create(model="m", messages=MESSAGES, seed=1, response_format={"type": "json_object"})
    assert isinstance(json.loads(split(done.choices[0].message.content)[1]), dict)
    pattern: Any = {"type": "regex", "regex": r"\d{1,3} (m|km)/h"}
    done = create(model="m", messages=MESSAGES, seed=1, response_format=pattern)
    assert re.fullmatch(pattern["regex"], split(done.choices[0].message.content)[1].strip())


def test_a_seed_repeats_a_form_beside_other_requests(extended: Emulator) -> None:
    def ask(guided: bool) -> str:
        with PhiClient(extended.endpoint, extended.key) as client:
            wanted: dict[str, Any] = {"response_format": OWN_FORMAT} if guided else {}
            return client.complete(QUESTION, seed=5, **wanted).content

    with ThreadPoolExecutor(6) as pool:
        contents = list(pool.map(ask, [True, False] * 4))
    assert len(set(contents[::2])) == len(set(contents[1::2])) == 1
    assert fits(contents[0])
    assert "boxed" in contents[1]


def test_openai_streams_the_form_that_it_gets_whole(openai: OpenAI) -> None:
    create = openai.chat.completions.create
    form: Any = {"type": "json_schema", "json_schema": {"name": "length", "schema": SCHEMA}}
    done = create(model="m", messages=MESSAGES, seed=3, response_format=form)
    with create(model="m", messages=MESSAGES, seed=3, response_format=form, stream=True) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == done.choices[0].message.content


def test_openai_gets_calls_and_goes_on_with_their_answers(openai: OpenAI) -> None:
    create = openai.chat.completions.create
    done = create(
        model="m", messages=MESSAGES, tools=[TOOL], tool_choice="required", parallel_tool_calls=False, seed=1
    )
    choice = done.choices[0]
    call = only_call(choice.message)
    assert call.function.name == "add"
    assert jsonschema_rs.is_valid(PARAMETERS, json.loads(call.function.arguments))
    assert choice.finish_reason == "tool_calls"
    answer: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "408"}
    told = cast("ChatCompletionMessageParam", choice.message.model_dump(exclude_none=True))
    after = create(model="m", messages=[*MESSAGES, told, answer], tools=[TOOL], max_tokens=20)
    assert after.usage is not None
    assert done.usage is not None
    assert after.usage.prompt_tokens > done.usage.prompt_tokens
    assert after.choices[0].finish_reason == "length"


def test_openai_streams_the_call_that_it_gets_whole(openai: OpenAI) -> None:
    create = openai.chat.completions.create
    named: Any = {"type": "function", "function": {"name": "add"}}
    done = create(model="m", messages=MESSAGES, tools=[TOOL], tool_choice=named, seed=4)
    with create(model="m", messages=MESSAGES, tools=[TOOL], tool_choice=named, seed=4, stream=True) as stream:
        choices = [chunk.choices[0] for chunk in stream if chunk.choices]
    pieces = [piece for choice in choices for piece in choice.delta.tool_calls or ()]
    assert [piece.function.name for piece in pieces if piece.function and piece.function.name] == ["add"]
    arguments = "".join(piece.function.arguments or "" for piece in pieces if piece.function)
    call = only_call(done.choices[0].message)
    assert arguments == call.function.arguments
    assert choices[-1].finish_reason == done.choices[0].finish_reason == "tool_calls"


def test_openai_may_call_or_not(openai: OpenAI) -> None:
    done = openai.chat.completions.create(
        model="m", messages=MESSAGES, tools=[TOOL], tool_choice="auto", temperature=0
    )
    choice = done.choices[0]
    assert (choice.finish_reason == "tool_calls") == bool(choice.message.tool_calls)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (
            {"type": "json_schema", "json_schema": {"name": "s", "schema": {"not": {}}}},
            'Unimplemented keys: ["not"]',
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "s", "schema": {"multipleOf": 99_999_989}}},
            "takes too long or too much memory to compile",
        ),
        ({"type": "regex", "regex": "(?=a)"}, "look-around"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_openai_is_told_what_is_wrong_with_a_form(openai: OpenAI, form: Any, why: str, stream: bool) -> None:
    with pytest.raises(BadRequestError, match=re.escape(why)):
        openai.chat.completions.create(model="m", messages=MESSAGES, response_format=form, stream=stream)


def test_openai_is_told_what_is_malformed(openai: OpenAI) -> None:
    form: Any = {"type": "json_schema"}
    with pytest.raises(APIStatusError) as caught:
        openai.chat.completions.create(model="m", messages=MESSAGES, response_format=form)
    assert caught.value.status_code == 422


@pytest.mark.parametrize("path", ["", "/serverless", "/managed-compute", "/models"])
def test_azure_ai_inference_gets_forms_and_calls(extended: Emulator, path: str) -> None:
    form = JsonSchemaFormat(name="length", schema=SCHEMA, description="A length.", strict=True)
    tool = ChatCompletionsToolDefinition(function=FunctionDefinition(name="add", parameters=PARAMETERS))
    messages: list[ChatRequestMessage] = [UserMessage(QUESTION)]
    credential = AzureKeyCredential(extended.key)
    with ChatCompletionsClient(
        extended.root + path, credential, model="phi", seed=1, max_tokens=1500
    ) as client:
        formed = client.complete(messages=messages, response_format=form)
        called = client.complete(messages=messages, tools=[tool], tool_choice="required")
        calls = called.choices[0].message.tool_calls or []
        history = [AzureAssistantMessage(tool_calls=calls), ToolMessage("408", tool_call_id=calls[0].id)]
        after = client.complete(messages=[*messages, *history], tools=[tool], max_tokens=20)
        stream: Iterable[StreamingChatCompletionsUpdate] = client.complete(
            messages=messages, tools=[tool], tool_choice="required", stream=True
        )
        updates = list(stream)
    assert fits(split(formed.choices[0].message.content)[1])
    assert {call.function.name for call in calls} == {"add"}
    assert all(jsonschema_rs.is_valid(PARAMETERS, json.loads(call.function.arguments)) for call in calls)
    assert called.choices[0].finish_reason == "tool_calls"
    assert after.usage.prompt_tokens > called.usage.prompt_tokens
    pieces = [piece for update in updates for piece in update.choices[0].delta.tool_calls or ()]
    assert "".join(piece.function.arguments for piece in pieces) == "".join(
        call.function.arguments for call in calls
    )


def test_azure_ai_inference_is_told_what_is_wrong(extended: Emulator) -> None:
    form = JsonSchemaFormat(name="s", schema={"type": "nonsense"})
    with (
        ChatCompletionsClient(extended.root, AzureKeyCredential(extended.key)) as client,
        pytest.raises(HttpResponseError, match="Invalid type: nonsense"),
    ):
        client.complete(messages=[{"role": "user", "content": QUESTION}], response_format=form)


@pytest.mark.parametrize("dialect", ["serverless", "managed_compute", "foundry_models", "openai_v1"])
def test_our_client_gets_forms_and_calls(extended: Emulator, dialect: str) -> None:
    with PhiClient(extended.endpoint_of(dialect), extended.key, model="m") as client:
        done = client.complete(QUESTION, response_format=OWN_FORMAT, seed=1)
        called = client.complete(QUESTION, tools=[OWN_TOOL], tool_choice="required", seed=1)
        with client.stream(QUESTION, tools=[OWN_TOOL], tool_choice="required", seed=1) as stream:
            list(stream)
        parsed = client.parse(QUESTION, Length, max_reasks=0, response_format=OWN_FORMAT, seed=1)
        history = [{"role": "user", "content": QUESTION}, called.message]
        answers = [{"role": "tool", "tool_call_id": call.id, "content": "1"} for call in called.tool_calls]
        # What the model makes of answers that it never learned to read is endless, so it is cut.
        cut: dict[str, Any] = {"max_tokens": 20, "on_truncation": "return"}
        after = client.complete([*history, *answers], tools=[OWN_TOOL], **cut)
    assert after.finish_reason == "length"
    assert done.reasoning.startswith("17*24")
    assert fits(done.content)
    assert called.finish_reason == "tool_calls"
    assert all(jsonschema_rs.is_valid(PARAMETERS, json.loads(call.arguments)) for call in called.tool_calls)
    streamed = stream.completion
    assert [(call.name, call.arguments) for call in streamed.tool_calls] == [
        (call.name, call.arguments) for call in called.tool_calls
    ]
    assert (streamed.content, streamed.reasoning) == (called.content, called.reasoning)
    assert isinstance(parsed.parsed, Length)


def test_our_client_gets_text_that_an_expression_matches(extended: Emulator) -> None:
    with PhiClient(extended.endpoint, extended.key) as client:
        done = client.complete(QUESTION, response_format={"type": "regex", "regex": r"[a-f]{3}/\d"}, seed=1)
    assert re.fullmatch(r"[a-f]{3}/\d", done.content)


def test_our_client_is_told_what_is_wrong(extended: Emulator) -> None:
    form: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"$ref": "#/x"}}}
    with (
        PhiClient(extended.endpoint, extended.key) as client,
        pytest.raises(PhiBadRequestError, match="/x"),
    ):
        client.complete(QUESTION, response_format=form)


def test_a_limit_of_tokens_cuts_a_form_and_says_so(extended: Emulator) -> None:
    with PhiClient(extended.endpoint, extended.key) as client:
        whole = client.complete(QUESTION, response_format=OWN_FORMAT, temperature=0)
        assert whole.usage is not None
        cut = client.complete(
            QUESTION, response_format=OWN_FORMAT, temperature=0, max_tokens=whole.usage.completion_tokens - 6
        )
    assert cut.finish_reason == "length"
    assert whole.content.startswith(cut.content)
    assert cut.content not in ("", whole.content)
