"""What the journal says of an exchange, over real sockets and with foreign clients."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

from phi_client.contract.service import SURFACES

SECONDS = 20


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(
        EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: "one two three")
    ) as running:
        yield running


def openai_of(emulator: Emulator, scope: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=emulator.endpoint_of("openai_v1"),
        api_key=emulator.key_of("openai_v1"),
        max_retries=0,
        timeout=SECONDS,
        default_headers={"x-phi-scope": scope},
    )


def test_an_answer_is_there_as_soon_as_it_was_read(emulator: Emulator) -> None:
    with openai_of(emulator, "whole") as client:
        answer = client.chat.completions.create(
            model="phi", messages=[{"role": "user", "content": "six"}], max_tokens=20, seed=7
        )
        [entry] = emulator.journal.exchanges(scope="whole")
    assert (entry.ending, entry.status, entry.error_code, entry.fault) == ("answered", 200, None, None)
    assert (entry.surface, entry.deployment, entry.streamed) == ("openai_v1", "phi", False)
    assert answer.usage is not None
    assert entry.usage is not None
    assert (entry.usage.prompt, entry.usage.completion) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert entry.finish_reason == answer.choices[0].finish_reason == "stop"
    assert (entry.sampling["budget"], entry.sampling["seed"]) == (20, 7)
    assert emulator.journal.find(entry.id) == entry
    assert entry.texts is None
    assert "six" not in repr(entry) + str(entry)


def test_a_stream_of_a_foreign_client_has_a_timeline(emulator: Emulator) -> None:
    with ChatCompletionsClient(
        emulator.endpoint, AzureKeyCredential(emulator.key), headers={"x-phi-scope": "stream"}
    ) as client:
        text = "".join(
            update.choices[0].delta.content or ""
            for update in client.complete(messages=[{"role": "user", "content": "six"}], stream=True)
            if update.choices
        )
    [entry] = emulator.journal.wait_for(1, scope="stream")
    assert text == "one two three"
    assert (entry.ending, entry.streamed, entry.finish_reason) == ("answered", True, "stop")
    assert entry.timeline.size == entry.response_bytes
    # The role, five tokens, the end with `[DONE]`.
    assert sum(chunk.events for chunk in entry.timeline) >= 7
    assert entry.response_headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("fault", "ending", "status", "code", "finish_reason"),
    [
        ("error error=rate_limited", "refused", 429, "429", None),
        ("cut_head", "cut", None, None, None),
        ("cut_body bytes=300", "cut", 200, None, None),
        ("finish tokens=1 reason=length", "answered", 200, None, "length"),
        ("no_end", "answered", 200, None, None),
        ("error_in_stream tokens=1", "answered", 200, "500", None),
    ],
)
def test_what_a_fault_makes_of_an_answer_is_told_as_the_client_got_it(  # noqa: PLR0917 - a table
    emulator: Emulator,
    fault: str,
    ending: str,
    status: int | None,
    code: str | None,
    finish_reason: str | None,
) -> None:
    scope = fault
    with openai_of(emulator, scope) as client, contextlib.suppress(openai.APIError, httpx.HTTPError):
        list(
            client.chat.completions.create(
                model="phi",
                messages=[{"role": "user", "content": "six"}],
                stream=True,
                extra_headers={"x-phi-fault": fault},
            )
        )
    [entry] = emulator.journal.wait_for(1, scope=scope)
    assert (entry.ending, entry.status, entry.finish_reason) == (ending, status, finish_reason)
    assert (entry.error_code is None) == (code is None)
    assert entry.fault is not None
    assert entry.fault["effect"] == fault.partition(" ")[0]
    assert f"fault     {entry.fault['effect']}" in entry.describe()


def test_a_refusal_has_its_code_and_no_tokens(emulator: Emulator) -> None:
    with openai_of(emulator, "refused") as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="phi", messages=[{"role": "user", "content": "six"}], presence_penalty=1
        )
    [entry] = emulator.journal.wait_for(1, scope="refused")
    assert (entry.ending, entry.status, entry.usage, entry.finish_reason) == ("refused", 400, None, None)
    assert entry.error_code == caught.value.code


def test_one_that_runs_is_there_as_far_as_it_has_come_and_then_as_hung_up() -> None:
    begun, go = threading.Event(), threading.Event()
    steps = iter(range(1000))

    def hold() -> None:
        if next(steps) == 2:
            begun.set()
            go.wait(SECONDS)

    def make_engine() -> ScriptedEngine:
        return ScriptedEngine(lambda _: "one two three", before_step=hold)

    with Emulator(EmulatorConfig(port=0), make_engine=make_engine) as running:
        with openai_of(running, "left") as client:
            stream = client.chat.completions.create(
                model="phi", messages=[{"role": "user", "content": "six"}], stream=True
            )
            next(stream)
            assert begun.wait(SECONDS)
            [entry] = running.journal.exchanges(scope="left")
            assert (entry.number, entry.ending, entry.status, entry.is_over) == (None, "running", 200, False)
            assert entry.usage is not None
            assert entry.usage.completion >= 1
            stream.close()
        [entry] = running.journal.wait_for(1, scope="left")
        go.set()
    assert (entry.number, entry.ending, entry.finish_reason) == (1, "hung up", None)
    assert entry.spent.decode_ms > 0


def get(emulator: Emulator, path: str, **query: Any) -> Any:
    answer = httpx.get(
        f"{emulator.root}/_emulator/{path}",
        params=query,
        headers={"authorization": f"Bearer {emulator.key}"},
        timeout=SECONDS,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_over_http_it_is_read_from_where_one_left_off(emulator: Emulator) -> None:
    with openai_of(emulator, "http") as client:
        for _ in range(3):
            client.chat.completions.create(model="phi", messages=[{"role": "user", "content": "six"}])
    emulator.journal.wait_for(3, scope="http")
    first, second, third = (one["number"] for one in get(emulator, "journal", scope="http")["exchanges"])
    page = get(emulator, "journal", scope="http", after=first)
    assert [one["number"] for one in page["exchanges"]] == [second, third]
    assert page["last"] == third
    assert get(emulator, "journal", scope="http", after=third)["exchanges"] == []
    assert [one["number"] for one in get(emulator, "journal", scope="http", limit=1)["exchanges"]] == [third]
    whole = get(emulator, f"journal/{page['exchanges'][0]['id']}")
    spent = whole["spent"]
    parts = sum(spent[f"{name}_ms"] for name in ("queue", "prefill", "decode", "web", "client"))
    assert parts == pytest.approx(spent["total_ms"], abs=0.01)
    assert sum(size for _, size, _ in whole["timeline"]) == whole["response_bytes"]
    assert whole["request_headers"]["authorization"] == "[secret]"
    assert whole["texts"] is None


@pytest.mark.parametrize(
    ("path", "status"), [("journal?after=x", 400), ("journal?limit=-1", 400), ("journal/nobody", 404)]
)
def test_what_can_t_be_read_is_named(emulator: Emulator, path: str, status: int) -> None:
    headers = {"authorization": f"Bearer {emulator.key}"}
    answer = httpx.get(f"{emulator.root}/_emulator/{path}", headers=headers, timeout=SECONDS)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_reading_needs_the_key(emulator: Emulator) -> None:
    for path in ("journal", "journal/any"):
        assert httpx.get(f"{emulator.root}/_emulator/{path}", timeout=SECONDS).status_code == 400


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("dialect", ["serverless", "managed_compute", "foundry_models", "openai_v1"])
def test_texts_are_kept_where_they_are_asked_for(dialect: str, streams: bool) -> None:
    config = EmulatorConfig(port=0, journal_texts=True, reasoning="reasoning_content", dialect=dialect)

    def make_engine() -> ScriptedEngine:
        return ScriptedEngine(lambda _: "<think>I count\nagain</think>forty-two ≥ 41")

    with Emulator(config, make_engine=make_engine) as running:
        version = {"api-version": "2024-05-01-preview"} if dialect == "foundry_models" else {}
        httpx.post(
            f"{running.root}{SURFACES[dialect].chat_routes[0]}",
            params=version,
            headers={"authorization": f"Bearer {running.key}", "api-key": running.key},
            json={"model": "phi", "messages": [{"role": "user", "content": "wie viel?"}], "stream": streams},
            timeout=SECONDS,
        )
        [entry] = running.journal.wait_for(1)
        assert entry.texts is not None
        assert "wie viel?" in entry.texts.request
        assert entry.texts.answer.strip() == "forty-two ≥ 41"
        assert entry.texts.reasoning.strip() == "I count\nagain"
        assert "wie viel?" in entry.describe()
        assert "wie viel?" not in repr(entry)
        running.journal.clear()
