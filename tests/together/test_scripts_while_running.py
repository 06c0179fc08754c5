"""Scripts of a running emulator, over sockets: from Python, by the control route, reloaded, and by scope."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from openai import BadRequestError as OpenAIBadRequest
from openai import OpenAI, RateLimitError
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.emulator import EmulatorError
from phi_emulator.engine.machine.builds import has_engine_api
from phi_emulator.scripts.errors import ScriptError

from phi_client import BadRequestError, PhiClient, StreamInterruptedError

if not has_engine_api():
    pytest.skip("the installed ONNX Runtime GenAI is older than its Engine", allow_module_level=True)

SUM = "What is 12 + 30?"


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """With the bundled model behind it."""
    with Emulator(EmulatorConfig(port=0, extensions=True)) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Iterator[Emulator]:
    yield running
    running.script.reset()
    running.faults.reset()


@pytest.fixture
def client(emulator: Emulator) -> Iterator[PhiClient]:
    with PhiClient(emulator.endpoint, emulator.key, max_retries=0) as client:
        yield client


def openai_of(emulator: Emulator, **headers: str) -> OpenAI:
    return OpenAI(
        base_url=emulator.endpoint_of("openai_v1"),
        api_key=emulator.key,
        max_retries=0,
        default_headers=headers,
    )


def control(
    emulator: Emulator, method: str = "GET", body: Any = None, *, key: bool = True, scope: str = ""
) -> httpx.Response:
    headers = {"authorization": f"Bearer {emulator.key}"} if key else {}
    headers |= {"x-phi-scope": scope} if scope else {}
    url = f"{emulator.root}/_emulator/script"
    return httpx.request(method, url, json=body, headers=headers, trust_env=False, timeout=60)


def said_by(openai: OpenAI, text: str, **more: Any) -> str | None:
    answer = openai.chat.completions.create(model="phi", messages=[{"role": "user", "content": text}], **more)
    said: str | None = answer.choices[0].message.content
    return said


def test_a_script_over_the_model_answers_what_it_is_about_and_leaves_the_rest(
    emulator: Emulator, client: PhiClient
) -> None:
    emulator.script.answer("Who are you?", "A script.", reasoning="I am asked.")
    found = client.complete("Who are you?")
    assert (found.reasoning, found.content, found.model) == ("I am asked.", "A script.", "phi-tiny-arith")
    assert client.complete(SUM, temperature=0).answer == "42"
    [count] = emulator.script.counts()
    assert (count.calls, count.answers) == (1, 1)
    [missed] = emulator.script.unmatched()
    assert missed.became == "model"
    with openai_of(emulator) as openai:
        assert (said_by(openai, "Who are you?") or "").endswith("A script.")


def test_recitals_and_answers_of_the_model_run_side_by_side(emulator: Emulator, client: PhiClient) -> None:
    long = "word " * 300
    emulator.script.answer("long", long)
    found: dict[int, str | None] = {}

    def ask(number: int) -> None:
        text = "long" if number % 2 else SUM
        found[number] = (
            client.complete(text, temperature=0).content
            if number % 2
            else client.complete(text, temperature=0).answer
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: long if number % 2 else "42" for number in range(8)}


def test_tokens_are_those_of_the_models_tokenizer_and_usage_can_be_said(
    emulator: Emulator, client: PhiClient
) -> None:
    whole = client.complete(SUM, temperature=0)
    text = str(whole.raw["choices"][0]["message"]["content"])
    emulator.script.answer(SUM, text, times=1)
    emulator.script.answer(SUM, text, usage={"completion_tokens": 1000}, times=1)
    emulator.script.answer(SUM, text, usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9})
    counted, told, all_told = (client.complete(SUM).usage for _ in range(3))
    assert counted is not None
    assert whole.usage is not None
    assert counted.prompt_tokens == whole.usage.prompt_tokens
    # The model may say a text in other tokens than its tokenizer would; it does so seldom.
    assert abs(counted.completion_tokens - whole.usage.completion_tokens) <= 3
    assert told is not None
    assert (told.completion_tokens, told.total_tokens) == (1000, counted.prompt_tokens + 1000)
    assert all_told is not None
    assert (all_told.prompt_tokens, all_told.completion_tokens, all_told.total_tokens) == (1, 2, 9)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "tool_calls"])
def test_each_finish_reason_reaches_a_foreign_client(
    emulator: Emulator, reason: str, *, stream: bool
) -> None:
    emulator.script.answer(SUM, "forty-two", finish_reason=reason)
    with openai_of(emulator) as openai:
        messages: Any = [{"role": "user", "content": SUM}]
        if stream:
            chunks = [*openai.chat.completions.create(model="phi", messages=messages, stream=True)]
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
            assert (text, reasons[-1]) == ("forty-two", reason)
        else:
            choice = openai.chat.completions.create(model="phi", messages=messages).choices[0]
            assert (choice.message.content, choice.finish_reason) == ("forty-two", reason)


def test_the_callers_own_limits_go_before_the_scripts_finish_reason(
    emulator: Emulator, client: PhiClient
) -> None:
    emulator.script.answer(SUM, "one two three four five six seven", finish_reason="content_filter")
    assert client.complete(SUM, max_tokens=2).finish_reason == "length"
    assert client.complete(SUM, stop=["three"]).finish_reason == "stop"


def test_an_answer_can_meet_a_fault_of_its_own(emulator: Emulator, client: PhiClient) -> None:
    emulator.script.answer(
        SUM,
        [
            {"fault": {"effect": "error", "error": "rate_limited"}},
            {"answer": "one two three four", "fault": {"effect": "cut_body", "bytes": 600}},
            "42",
        ],
    )
    with openai_of(emulator) as openai, pytest.raises(RateLimitError):
        said_by(openai, SUM)
    with pytest.raises(StreamInterruptedError), client.stream(SUM) as stream:
        stream.until_done()
    assert client.complete(SUM).content == "42"


def test_a_fault_of_the_rules_takes_no_answer_and_goes_before_the_scripts(
    emulator: Emulator, client: PhiClient
) -> None:
    emulator.faults.add("error", error="rate_limited", times=1)
    emulator.script.answer(
        SUM, ["first", {"answer": "second", "fault": {"effect": "error", "error": "wrong_key"}}]
    )
    emulator.faults.add("header_missing", name="Server", when={"call": "3-"})
    with openai_of(emulator) as openai:
        with pytest.raises(RateLimitError):
            said_by(openai, SUM)
        assert said_by(openai, SUM) == "first"
        assert said_by(openai, SUM) == "second"


def test_chunks_arrive_as_they_are_cut(emulator: Emulator) -> None:
    emulator.script.answer("list", [{"chunks": ["Hel", "lo, ", "wor", "ld"]}])
    emulator.script.answer("letters", "abcdefg", chunks=3)
    emulator.script.answer("é", "日本é🎉", chunks=1)
    with openai_of(emulator) as openai:

        def pieces(text: str) -> list[str]:
            messages: Any = [{"role": "user", "content": text}]
            chunks = openai.chat.completions.create(model="phi", messages=messages, stream=True)
            return [piece for one in chunks if one.choices and (piece := one.choices[0].delta.content)]

        assert pieces("list") == ["Hel", "lo, ", "wor", "ld"]
        assert pieces("letters") == ["abc", "def", "g"]
        assert pieces("é") == ["日", "本", "é", "🎉"]


def test_requests_are_told_apart_by_their_schema_and_turn(emulator: Emulator) -> None:
    emulator.script.set(
        [
            {
                "request": {"required": ["tools"]},
                "turn": 1,
                "answer": '<|tool_call|>[{"name": "add", "arguments": {"a": 1}}]<|/tool_call|>',
            },
            {"schema": {"required": ["sum"]}, "turn": 2, "answer": "It is 42."},
        ],
        miss="fail",
    )
    tool: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    messages: Any = [{"role": "user", "content": "Add."}]
    with openai_of(emulator) as openai:
        first = openai.chat.completions.create(model="phi", messages=messages, tools=[tool]).choices[0]
        assert first.finish_reason == "tool_calls"
        [call] = first.message.tool_calls or []
        messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": '{"sum": 42}'}]
        second = openai.chat.completions.create(model="phi", messages=messages, tools=[tool]).choices[0]
        assert second.message.content == "It is 42."
        with pytest.raises(OpenAIBadRequest, match="`request` does not take what is at `/`: required"):
            said_by(openai, "Add.")


def test_a_miss_that_fails_says_what_nearly_matched_to_any_client(emulator: Emulator) -> None:
    emulator.script.set([{"exact": "What is 2 + 2?", "answer": "4"}], miss="fail")
    azure = ChatCompletionsClient(emulator.endpoint, AzureKeyCredential(emulator.key))
    with azure, pytest.raises(HttpResponseError, match="differs in upper and lower case alone") as caught:
        azure.complete(messages=[{"role": "user", "content": "what is 2 + 2?"}])
    [missed] = emulator.script.unmatched()
    response: Any = caught.value.response
    assert missed.request_id == response.headers["x-request-id"]
    with openai_of(emulator) as openai, pytest.raises(OpenAIBadRequest) as other:
        said_by(openai, "Who?")
    assert "none comes near" in str(other.value)


def test_scopes_that_run_side_by_side_do_not_meet(emulator: Emulator) -> None:
    scopes = [f"test-{number}" for number in range(6)]
    for scope in scopes:
        emulator.script.set(
            [{"contains": "x", "answers": [f"{scope}-{n}" for n in range(5)]}], scope=scope, miss="fail"
        )
    found: dict[str, list[str | None]] = {}

    def ask(scope: str) -> None:
        with openai_of(emulator, **{"x-phi-scope": scope}) as openai:
            found[scope] = [said_by(openai, "x") for _ in range(5)]
            with pytest.raises(OpenAIBadRequest, match="no answer left"):
                said_by(openai, "x")

    threads = [threading.Thread(target=ask, args=(scope,)) for scope in scopes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {scope: [f"{scope}-{n}" for n in range(5)] for scope in scopes}
    assert [len(emulator.script.unmatched(scope=scope)) for scope in (*scopes, "")] == [1] * 6 + [0]
    emulator.script.reset(scope="test-0")
    assert (emulator.script.counts(scope="test-0"), emulator.script.unmatched(scope="test-0")) == ([], [])
    assert len(emulator.script.counts(scope="test-1")) == 1


def test_the_control_route_shows_to_all_and_changes_with_the_key(
    emulator: Emulator, client: PhiClient
) -> None:
    body = {"rule": [{"exact": SUM, "answer": "by HTTP"}], "miss": "fail"}
    for method in ("POST", "PUT", "DELETE"):
        assert control(emulator, method, body, key=False).is_client_error
    assert control(emulator).json() == {"rules": [], "miss": "model", "unmatched": [], "file": None}
    assert control(emulator, "PUT", body).json()["miss"] == "fail"
    assert client.complete(SUM).content == "by HTTP"
    with pytest.raises(BadRequestError):
        client.complete("other")
    shown = control(emulator, key=False).json()
    assert shown["rules"] == [{"exact": SUM, "answers": 1, "counted": {"calls": 1, "answers": 1}}]
    assert [one["became"] for one in shown["unmatched"]] == ["fail"]
    assert "by HTTP" not in str(shown)
    bad = control(emulator, "POST", {"rule": [{"answr": "a"}]})
    assert bad.status_code == 400
    assert "rule[0].answr: there is nothing of that name: did you mean `answer`?" in bad.text
    assert client.complete(SUM).content == "by HTTP"
    assert (
        control(emulator, "POST", {"rule": [{"answer": "mine"}]}, scope="one").json()["rules"][0]["answers"]
        == 1
    )
    assert client.complete(SUM, headers={"x-phi-scope": "one"}).content == "mine"
    assert client.complete(SUM).content == "by HTTP"
    assert control(emulator, "DELETE").json() == {"rules": [], "miss": "model", "unmatched": [], "file": None}


def test_the_journal_says_which_rule_answered(emulator: Emulator, client: PhiClient) -> None:
    emulator.script.answer(SUM, "a", scope="of-the-journal")
    client.complete(SUM, headers={"x-phi-scope": "of-the-journal"})
    assert [one.scripted for one in emulator.journal.exchanges(scope="of-the-journal")] == ["rule 1"]


def test_a_bad_rule_from_python_is_an_error_that_names_its_key(emulator: Emulator) -> None:
    with pytest.raises(ScriptError, match=r"finish_reason: `end` is no finish reason"):
        emulator.script.answer("a", "b", finish_reason="end")
    assert emulator.script.counts() == []


def test_a_file_that_changes_is_read_again_and_a_bad_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.script")
    path = tmp_path / "answers.toml"

    def write(text: str) -> None:
        new = tmp_path / "new"
        new.write_text(text, encoding="utf-8")
        new.replace(path)

    write("[[rule]]\nanswer = 'one'\n")
    with (
        Emulator(EmulatorConfig(port=0, model=f"scripted:{path}")) as emulator,
        openai_of(emulator) as openai,
    ):
        emulator.script.answer("own", "own")
        assert [said_by(openai, text) for text in ("own", "x")] == ["own", "one"]
        write("[[rule]]\nanswer = 'two'\n")
        assert [said_by(openai, text) for text in ("own", "x")] == ["own", "two"]
        assert "was read again: 1 rules" in caplog.text
        write("[[rule]]\nanswr = 'three'\n")
        assert said_by(openai, "x") == "two"
        file = control(emulator).json()["file"]
        assert file["reloads"] == 1
        assert file["trouble"].endswith(
            ":2: rule[0].answr: there is nothing of that name: did you mean `answer`?"
        )
        assert "the rules from before hold" in caplog.text
        write("[[rule]]\nmodel = true\n")
        assert said_by(openai, "x") == "two"
        assert "needs a model" in control(emulator).json()["file"]["trouble"]
        assert control(emulator, "PUT", {"rule": [{"answer": "put"}]}).status_code == 200
        write("[[rule]]\nanswer = 'four'\n")
        assert said_by(openai, "x") == "put"
        assert control(emulator, "DELETE").json()["file"]["trouble"] == ""
        assert said_by(openai, "x") == "four"


def test_without_a_model_and_rules_everything_is_a_miss_until_there_is_one() -> None:
    with (
        Emulator(EmulatorConfig(port=0, model="scripted:nothing")) as emulator,
        openai_of(emulator) as openai,
    ):
        with pytest.raises(OpenAIBadRequest, match="of 0 rules none is about turn 1"):
            said_by(openai, "x")
        emulator.script.answer("x", "now")
        assert said_by(openai, "x") == "now"
        with pytest.raises(ScriptError, match="needs a model, and none is loaded"):
            emulator.script.answer("x", model=True)


@pytest.mark.parametrize("text", ["miss = 'model'\n[[rule]]\nanswer = 'a'", "[[rule]]\nmodel = true"])
def test_a_script_that_needs_a_model_is_refused_where_none_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EmulatorError, match="needs a model, and none is loaded"):
        Emulator(EmulatorConfig(port=0, model=f"scripted:{path}")).start()


def test_a_regex_that_takes_too_long_is_refused_and_holds_nobody_up(
    emulator: Emulator, client: PhiClient
) -> None:
    emulator.script.answer(None, "a", regex="(a|aa)+$", scope="slow")
    with pytest.raises(BadRequestError, match="write it without nested repetition"):
        client.complete("a" * 60 + "b", headers={"x-phi-scope": "slow"})
    assert client.complete("aaa", headers={"x-phi-scope": "slow"}).content == "a"
