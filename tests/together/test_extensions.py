"""Forms and tools over a real socket, with an engine whose text is known: what is said of calls, on every surface."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from phi_emulator import Emulator, EmulatorConfig, EmulatorError
from phi_emulator.engine.protocol import Marks
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.forms.tool_calls import write_calls

from tests.together.test_serving import chunks

if TYPE_CHECKING:
    import httpx

    from tests.together.conftest import Running, StartEmulator

MARKS = Marks(call=("<|tool_call|>", "<|/tool_call|>"))
CALLS = [("add", '{"a": 1}'), ("add", '{"a": [2, "}"]}')]
SAID = "<think>I could write <|tool_call|> here.</think>Well: "
REPLY = f"{SAID}{MARKS.call[0]}{write_calls(CALLS)}{MARKS.call[1]}"
TOOL = {"type": "function", "function": {"name": "add"}}
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [TOOL]}
PATHS = {
    "/chat/completions": "content",
    "/serverless/chat/completions": "content",
    "/managed-compute/chat/completions": "content",
    "/models/chat/completions?api-version=2024-05-01-preview": "content",
    "/openai/v1/chat/completions": "content",
}


@pytest.fixture
def extended(start_emulator: StartEmulator) -> Running:
    return start_emulator(REPLY, engine={"marks": MARKS}, extensions=True)


def post(running: Running, path: str, **fields: Any) -> httpx.Response:
    return running.http.post(path, json=ASK | fields, headers={"api-key": running.emulator.key})


def calls_of(message: dict[str, Any]) -> list[tuple[str, str]]:
    for call in message["tool_calls"]:
        assert call["type"] == "function"
        assert call["id"].startswith("call_")
    assert len({call["id"] for call in message["tool_calls"]}) == len(message["tool_calls"])
    return [(call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]]


def streamed(found: list[dict[str, Any]]) -> tuple[str, dict[int, dict[str, Any]], Any]:
    """Text, calls by their index, and the finish reason of a stream."""
    text, calls, reason = "", dict[int, dict[str, Any]](), None
    for chunk in found:
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
            for piece in choice["delta"].get("tool_calls") or ():
                if "id" in piece:
                    assert piece["index"] not in calls
                    calls[piece["index"]] = piece
                else:
                    assert piece.keys() == {"index", "function"}
                    function = calls[piece["index"]]["function"]
                    function["arguments"] += piece["function"]["arguments"]
    return text, calls, reason


@pytest.mark.parametrize("path", PATHS)
def test_calls_are_told_whole_and_streamed_alike(extended: Running, path: str) -> None:
    choice = post(extended, path).json()["choices"][0]
    assert calls_of(choice["message"]) == CALLS
    assert choice["message"]["content"] == SAID
    assert choice["finish_reason"] == "tool_calls"
    text, calls, reason = streamed(chunks(post(extended, path, stream=True)))
    assert (text, calls_of({"tool_calls": calls.values()}), reason) == (SAID, CALLS, "tool_calls")


def test_the_score_route_tells_calls_too(extended: Running) -> None:
    data = {"input_string": ASK["messages"], "parameters": {"tools": [TOOL]}}
    body = extended.http.post("/managed-compute/score", json={"input_data": data}).json()
    assert calls_of(body) == calls_of(body["message"]) == CALLS
    assert (body["output"], body["finish_reason"]) == (SAID, "tool_calls")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/openai/v1/chat/completions", None),
        ("/chat/completions", ""),
        ("/managed-compute/chat/completions", ""),
    ],
)
def test_calls_alone_leave_no_text(start_emulator: StartEmulator, path: str, content: str | None) -> None:
    reply = REPLY.removeprefix(SAID)
    running = start_emulator(reply, engine={"marks": MARKS}, extensions=True, reasoning="reasoning_content")
    message = post(running, path).json()["choices"][0]["message"]
    assert (message["content"], calls_of(message)) == (content, CALLS)


def test_reasoning_in_a_field_of_its_own_stays_there(start_emulator: StartEmulator) -> None:
    running = start_emulator(REPLY, engine={"marks": MARKS}, extensions=True, reasoning="reasoning_content")
    message = post(running, "/chat/completions").json()["choices"][0]["message"]
    assert message["reasoning_content"] == "I could write <|tool_call|> here."
    assert (message["content"], calls_of(message)) == ("Well: ", CALLS)
    found = chunks(post(running, "/chat/completions", stream=True))
    reasoning = "".join(chunk["choices"][0]["delta"].get("reasoning_content") or "" for chunk in found)
    assert reasoning == message["reasoning_content"]


def test_a_call_that_was_cut_ends_with_length(extended: Running) -> None:
    limit = 2000
    whole = post(extended, "/chat/completions").json()["usage"]["completion_tokens"]
    assert whole < limit
    choice = post(extended, "/chat/completions", max_tokens=whole - 8).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert calls_of(choice["message"])[0] == CALLS[0]
    name, arguments = calls_of(choice["message"])[1]
    assert (name, CALLS[1][1].startswith(arguments)) == ("add", True)


def test_without_tools_a_mark_is_text(extended: Running) -> None:
    body = post(extended, "/chat/completions", tools=None).json()
    assert body["choices"][0]["message"]["content"] == REPLY
    assert body["choices"][0]["message"]["tool_calls"] == []


def test_a_blocked_answer_tells_no_calls(start_emulator: StartEmulator) -> None:
    reply = f"{REPLY} phi-filter-violence"
    running = start_emulator(reply, engine={"marks": MARKS}, extensions=True, content_filter="default")
    choice = post(running, "/openai/v1/chat/completions").json()["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize(
    ("path", "status"),
    [(path, 424 if "managed" in path else 400) for path in PATHS],
)
def test_without_extensions_tools_and_forms_are_refused_as_ever(
    running: Running, path: str, status: int
) -> None:
    answer = post(running, path)
    assert answer.status_code == status
    assert answer.json() == {"detail": "Tools and tool_choice are not supported."}
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}
    answer = post(running, path, tools=None, response_format=schema)
    assert answer.status_code == (424 if "managed" in path else 422)
    assert "must be either 'text' or 'json_object'." in answer.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_what_is_wrong_with_a_wish_is_said_before_anything_is_streamed(
    extended: Running, path: str, stream: bool
) -> None:
    expression = {"type": "regex", "regex": "\\"}
    answer = post(extended, path, tools=None, response_format=expression, stream=stream)
    assert answer.status_code == (424 if "managed" in path else 400)
    assert answer.json()["error"]["message"] == (
        "The answer's form can't be kept: the expression ends with a backslash"
    )
    answer = post(extended, path, tools=[TOOL, TOOL], stream=stream)
    assert answer.status_code == (424 if "managed" in path else 422)
    assert "tools must have different names" in json.dumps(answer.json()["error"]["details"])


def test_the_status_says_whether_there_are_extensions(
    extended: Running, start_emulator: StartEmulator
) -> None:
    assert extended.status()["extensions"] is True
    assert start_emulator().status()["extensions"] is False


def test_an_engine_without_guidance_is_not_started_with_extensions() -> None:
    emulator = Emulator(
        EmulatorConfig(port=0, extensions=True), make_engine=lambda: ScriptedEngine(lambda messages: "")
    )
    with pytest.raises(EmulatorError, match="start without `--extensions`"):
        emulator.start()


@pytest.mark.parametrize(("levels", "status"), [(100, 400), (300, 422)])
def test_a_schema_that_is_nested_too_deeply_is_refused(extended: Running, levels: int, status: int) -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    form = {"type": "json_schema", "json_schema": {"name": "deep", "schema": schema}}
    answer = post(extended, "/serverless/chat/completions", response_format=form)
    assert answer.status_code == status
    assert "nested" in answer.text
