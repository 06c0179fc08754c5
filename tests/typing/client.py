"""Read by type checkers, never run: the types that a user sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, assert_type

import httpx
from azure.ai.inference.models import UserMessage
from azure.core.credentials import AzureKeyCredential
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

import phi_client
from phi_client import (
    APIStatusError,
    AsyncPhiClient,
    ChatMessage,
    Completion,
    CompletionChunk,
    ErrorBody,
    FinishReason,
    FunctionTool,
    MapItem,
    MapResult,
    Message,
    MessageDict,
    ModelInfo,
    ParsedCompletion,
    PhiClient,
    PhiError,
    Price,
    ResponseFormat,
    RetryEvent,
    Role,
    Solution,
    StreamInterruptedError,
    SystemMessageDict,
    Timeout,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMessageDict,
    Usage,
    UserMessageDict,
)


def sync() -> None:
    with PhiClient("emulator", timeout=Timeout(read=20)) as client:
        done = client.complete("What is 6 * 7?", max_tokens=None, stop=["."], extra={"top_k": 5})
        assert_type(done, Completion)
        assert_type(done.answer, str | None)
        assert_type(done.content, str)
        assert_type(done.reasoning, str)
        assert_type(done.finish_reason, FinishReason | None)
        assert_type(done.usage, Usage | None)
        assert_type(done.raw, dict[str, Any])
        assert_type(done.tool_calls, tuple[ToolCall, ...])
        assert_type(done.logprobs, tuple[TokenLogprob, ...] | None)
        assert_type(done.headers, Mapping[str, str])
        assert_type(done.client_request_id, str)
        again: list[Message] = [
            {"role": "user", "content": "x"},
            done.message,
            ChatMessage.model_validate({}),
        ]
        assert_type(client.complete(again), Completion)
        assert_type(client.get_model_info(), ModelInfo)
        assert_type(client.with_options(seed=7), PhiClient)
        with client.stream([{"role": "user", "content": "x"}]) as stream:
            for chunk in stream:
                assert_type(chunk, CompletionChunk)
                assert_type(chunk.tool_calls, tuple[ToolCallDelta, ...])
        assert_type(stream.completion, Completion)


async def asynchronous() -> None:
    async with AsyncPhiClient(api_key="k") as client:
        assert_type(await client.complete([ChatMessage.model_validate({})]), Completion)
        async with client.stream("x", deadline=60) as stream:
            async for chunk in stream:
                assert_type(chunk.reasoning, str)
        assert_type(stream.completion, Completion)
        assert_type(await client.get_model_info(), ModelInfo)
        await client.close()


class Division(BaseModel):
    quotient: int


def helpers(client: PhiClient) -> None:
    parsed = client.parse("Divide 100 by 7.", Division, max_reasks=1, seed=1)
    assert_type(parsed, ParsedCompletion[Division])
    assert_type(parsed.parsed.quotient, int)
    assert_type(parsed.usage, Usage | None)
    solution = client.solve("What is 6 * 7?", samples=3, temperature=1)
    assert_type(solution, Solution)
    assert_type(solution.votes[0].answer, str)
    result = client.map(["x"], checkpoint="c.jsonl", prices={"phi": Price(prompt=1, completion=2)}, seed=1)
    assert_type(result, MapResult[str])
    assert_type(result[0], MapItem[str])
    assert_type(result[0].input, str)
    assert_type(result[0].outcome, Completion | PhiError)
    assert_type(result[1:], tuple[MapItem[str], ...])
    for item in client.map_as_completed([[{"role": "user", "content": "x"}]]):
        assert_type(item.input, list[dict[str, str]])


async def async_helpers(client: AsyncPhiClient) -> None:
    assert_type(await client.parse("Divide 100 by 7.", Division), ParsedCompletion[Division])
    assert_type(await client.solve("What is 6 * 7?"), Solution)
    assert_type(await client.map(["x"]), MapResult[str])
    async for item in client.map_as_completed(["x"]):
        assert_type(item, MapItem[str])


def mistakes_of_helpers(client: PhiClient) -> None:
    client.parse("x", dict)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    client.map([5])  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    client.map(["x"], concurency=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def mistakes(client: PhiClient) -> None:

    client.complete("x", temprature=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.complete("x", temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.complete(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def options(client: PhiClient, tool: FunctionTool, tools: list[dict[str, Any]], choice: ToolChoice) -> None:
    """Typed mappings, plain ones and literals all fit."""
    client.complete("x", tools=[tool], tool_choice=choice, response_format={"type": "json_object"})
    client.complete("x", tools=tools, tool_choice="auto", logprobs=True, top_logprobs=3)
    client.complete("x", tools=[{"type": "function", "function": {"name": "add", "parameters": {}}}])
    schema: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    client.complete(
        "x", response_format=schema, tool_choice={"type": "function", "function": {"name": "add"}}
    )


def message_dicts(
    client: PhiClient, done: Completion, theirs: ChatCompletionMessage, azure: UserMessage
) -> None:
    """Each form of a message has its keys, for an editor and for a checker; other SDKs' messages fit as they are."""
    system: SystemMessageDict = {"role": "system", "content": "Be short."}
    user: UserMessageDict = {"role": Role.USER, "content": [{"type": "text", "text": "x"}]}
    tool: ToolMessageDict = {"role": "tool", "content": "5", "tool_call_id": "c-1"}
    mine: list[MessageDict] = [system, user, {"role": "assistant", "content": "y"}, tool]
    client.complete(mine)
    client.complete([system, done, theirs, azure, {"role": "user", "content": "x"}])
    assert_type(Role.USER.value, Literal["user"])
    assert_type(phi_client.__version__, str)


def mistaken_messages() -> None:
    _1: UserMessageDict = {"role": "usr", "content": "x"}  # type: ignore[typeddict-item]  # pyright: ignore[reportAssignmentType]
    _2: UserMessageDict = {"role": "user", "contents": "x"}  # type: ignore[typeddict-item]  # pyright: ignore[reportAssignmentType]
    _3: ToolMessageDict = {"role": "tool", "content": "5"}  # type: ignore[typeddict-item]  # pyright: ignore[reportAssignmentType]


def what_people_try_first(client: PhiClient, http: httpx.Timeout, key: AzureKeyCredential) -> None:
    """What is taken fits; a word of another SDK is a mistake for a type checker too."""
    PhiClient(
        ["emulator", "emulator"], [key, None], model=["a", None], timeout=http, fallback_on=(401, "timeout")
    )
    PhiClient("emulator", credential=key, credential_scope="s", allow_http=True)
    client.complete("x", model="m", max_completion_tokens=5, timeout=http, response_format="json_object")
    client.parse("x", Division, model="m")
    client.with_options(model="m")
    PhiClient(base_url="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.complete("x", stream=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.chat  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018
    client.complete("x").choices  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018


def hook(event: RetryEvent) -> None:
    assert_type(event.error, PhiError)
    assert_type(event.wait_s, float)


def own_connections(http: httpx.Client, http_async: httpx.AsyncClient) -> None:
    PhiClient(http_client=http, on_retry=hook)
    AsyncPhiClient(http_client=http_async, on_retry=hook)
    PhiClient(http_client=http_async)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def status(error: APIStatusError) -> None:
    assert_type(error.headers, dict[str, str])
    assert_type(error.body, ErrorBody)
    assert_type(error.body.raw, str)
    assert_type(error.client_request_id, str)


def partial(error: StreamInterruptedError) -> None:
    assert_type(error.partial, Completion)
    assert_type(error.request_sent, bool)


def credentials() -> None:
    """The credentials of azure-identity fit the protocols."""
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415
    from azure.identity.aio import DefaultAzureCredential as AsyncDefaultAzureCredential  # noqa: PLC0415

    PhiClient(credential=DefaultAzureCredential())
    AsyncPhiClient(credential=AsyncDefaultAzureCredential())
