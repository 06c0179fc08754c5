"""What may be given as messages, tools and formats: plain mappings, and the objects of other SDKs as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.ai.inference import models as azure
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage

from phi_client import ChatMessage, Completion, ConfigurationError, Role
from phi_client._call.messages import sent_messages
from phi_client.contract.wire import dump_json

if TYPE_CHECKING:
    from tests.conftest import Driver

OK = {"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}
CALL = {"id": "c-1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


def body_of(phi: Driver, messages: Any, **options: Any) -> Any:
    phi.answer(httpx.Response(200, json=OK))
    phi.open().complete(messages, **options)
    return json.loads(phi.router.calls.last.request.content)


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (azure.SystemMessage("be short"), {"role": "system", "content": "be short"}),
        (azure.UserMessage("x"), {"role": "user", "content": "x"}),
        (
            azure.UserMessage(content=[azure.TextContentItem(text="x")]),
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
        ),
        (azure.AssistantMessage("y"), {"role": "assistant", "content": "y"}),
        (azure.AssistantMessage("<think>z</think>y"), {"role": "assistant", "content": "y"}),
        (
            azure.AssistantMessage(
                tool_calls=[
                    azure.ChatCompletionsToolCall(
                        id="c-1", function=azure.FunctionCall(name="add", arguments="{}")
                    )
                ]
            ),
            {"role": "assistant", "tool_calls": [CALL]},
        ),
        (azure.ToolMessage("5", tool_call_id="c-1"), {"role": "tool", "content": "5", "tool_call_id": "c-1"}),
        (ChatCompletionMessage(role="assistant", content="y"), {"role": "assistant", "content": "y"}),
        (
            ChatCompletionMessage.model_validate(
                {"role": "assistant", "content": None, "tool_calls": [CALL]}
            ),
            {"role": "assistant", "tool_calls": [CALL]},
        ),
        (
            ChatCompletionMessage.model_validate(
                {"role": "assistant", "content": "y", "reasoning_content": "z", "reasoning": "z"}
            ),
            {"role": "assistant", "content": "y"},
        ),
        (
            ChatCompletionMessage(role="assistant", content=None).model_dump(),
            {"role": "assistant", "content": None},
        ),
        (ChatMessage(role=Role.USER, content="x"), {"role": "user", "content": "x"}),
        ({"role": Role.USER, "content": "x"}, {"role": "user", "content": "x"}),
        ({"role": azure.ChatRole.USER, "content": "x"}, {"role": "user", "content": "x"}),
        ({"role": "developer", "content": "x"}, {"role": "developer", "content": "x"}),
    ],
)
def test_a_message_of_any_sdk_is_sent_as_what_it_says(
    phi: Driver, message: Any, sent: dict[str, Any]
) -> None:
    assert body_of(phi, [message])["messages"] == [sent]
    assert body_of(phi, (message,))["messages"] == [sent]


def test_a_completion_stands_for_its_message(phi: Driver) -> None:
    answer = {"role": "assistant", "content": "<think>z</think>y", "tool_calls": [CALL]}
    phi.answer(httpx.Response(200, json={"choices": [{"message": answer, "finish_reason": "stop"}]}))
    done = phi.open().complete()
    assert isinstance(done, Completion)
    messages = [{"role": "user", "content": "x"}, done, {"role": "user", "content": "and now?"}]
    assert body_of(phi, messages)["messages"][1] == done.message
    assert done.message == {"role": "assistant", "content": "y", "tool_calls": [CALL]}


def test_tools_and_formats_of_azure_are_taken(phi: Driver) -> None:
    tool = azure.ChatCompletionsToolDefinition(
        function=azure.FunctionDefinition(name="add", description="adds", parameters={"type": "object"})
    )
    body = body_of(
        phi,
        "x",
        tools=[tool],
        tool_choice=azure.ChatCompletionsToolChoicePreset.AUTO,
        response_format=azure.JsonSchemaFormat(name="n", schema={"type": "object"}, strict=True),
    )
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}},
        }
    ]
    assert body["tool_choice"] == "auto"
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
    }
    named = azure.ChatCompletionsNamedToolChoice(
        function=azure.ChatCompletionsNamedToolChoiceFunction(name="add")
    )
    assert body_of(phi, "x", tool_choice=named)["tool_choice"] == {
        "type": "function",
        "function": {"name": "add"},
    }


@dataclass
class Plain:
    role: str = "user"
    content: str = "x"


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "is empty"),
        ((), "is empty"),
        (["x"], "a message is a string"),
        ({"role": "user", "content": "x"}, "a single message"),
        (azure.UserMessage("x"), "a single message"),
        (ChatCompletionMessage(role="assistant", content="y"), "a single message"),
        (b"x", "of type `bytes`"),
        (None, "is nothing"),
        (iter([]), "a list of messages"),
        ({"x"}, "a list of messages"),
        ([None], "a message is nothing"),
        ([Plain()], "of type `Plain`"),
        ([ChatMessage], "a message is of type"),
        ([{}], "no `role`"),
        ([{"messages": []}], "the list that it holds"),
        ([{"role": None, "content": "x"}], "no `role`"),
        ([{"role": "user", "content": 5}], "neither a string nor a list of parts"),
        ([{"role": "user", "content": ["x"]}], "neither a string nor a list of parts"),
        (
            [{"role": "user", "content": {"type": "text", "text": "x"}}],
            "neither a string nor a list of parts",
        ),
        ([{"role": "user", "content": b"x"}], "JSON can't carry"),
        ([{"role": "user", "content": "x", "weight": float("nan")}], r"\['weight'\] is nan"),
    ],
)
def test_what_is_no_message_is_refused_before_anything_is_sent(phi: Driver, messages: Any, says: str) -> None:
    phi.open()
    for work in (phi.complete, phi.stream):
        with pytest.raises(ConfigurationError, match=says):
            work(messages)
    assert not phi.router.calls


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=2),
    st.builds(object),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(), st.none()), inner, max_size=3),
        st.fixed_dictionaries({"role": st.one_of(st.just("user"), inner), "content": inner}),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=400)
@given(messages=st.one_of(VALUES, st.lists(VALUES, max_size=2)))
def test_messages_of_any_form_are_json_or_refused(messages: Any) -> None:
    try:
        sent = sent_messages(messages)
    except ConfigurationError:
        return
    assert json.loads(dump_json(sent), parse_constant=pytest.fail)
