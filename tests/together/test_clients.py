"""`PhiClient` and `AsyncPhiClient` against a real emulator: the same answers from both, on every dialect."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from phi_client import (
    AsyncPhiClient,
    AuthenticationError,
    BadRequestError,
    Completion,
    ContentFilterError,
    ContextLengthError,
    ModelContextLengthError,
    ModelError,
    NotFoundError,
    PhiClient,
    RateLimitError,
    StreamInterruptedError,
    UnprocessableEntityError,
)

if TYPE_CHECKING:
    from tests.together.conftest import Running, StartEmulator

    Eventually = Callable[[Callable[[], object]], None]

QUESTION = "six times seven"


class Caller:
    """Either client behind one sync face."""

    def __init__(self, kind: str) -> None:
        self._is_async = kind == "async"
        self.question = QUESTION

    def complete(self, endpoint: str, key: str, **options: Any) -> Completion:
        if not self._is_async:
            with PhiClient(endpoint, key, model="any") as client:
                return client.complete(self.question, **options)

        async def ask() -> Completion:
            async with AsyncPhiClient(endpoint, key, model="any") as client:
                return await client.complete(self.question, **options)

        return asyncio.run(ask())

    def stream(
        self, endpoint: str, key: str, *, leave_after: int | None = None
    ) -> tuple[str, str, Completion | None]:
        """Reasoning and content as they were streamed, and the completion if the stream was read to its end."""
        reasoning, content = [], []
        if not self._is_async:
            with PhiClient(endpoint, key, model="any") as client, client.stream(QUESTION) as stream:
                for number, chunk in enumerate(stream, 1):
                    reasoning.append(chunk.reasoning)
                    content.append(chunk.content)
                    if number == leave_after:
                        return "".join(reasoning), "".join(content), None
            return "".join(reasoning), "".join(content), stream.completion

        async def ask() -> Completion | None:
            async with (
                AsyncPhiClient(endpoint, key, model="any") as client,
                client.stream(QUESTION) as stream,
            ):
                number = 0
                async for chunk in stream:
                    number += 1
                    reasoning.append(chunk.reasoning)
                    content.append(chunk.content)
                    if number == leave_after:
                        return None
            return stream.completion

        completion = asyncio.run(ask())
        return "".join(reasoning), "".join(content), completion


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Caller:
    for name in ("ENDPOINT", "API_KEY", "DIALECT", "MODEL", "DEPLOYMENT", "API_VERSION"):
        monkeypatch.delenv(f"PHI_{name}", raising=False)
    return Caller(request.param)


@pytest.mark.parametrize(
    "path", ["", "/serverless", "/managed-compute", "/managed-compute/score", "/models", "/openai/v1"]
)
def test_completing(running: Running, caller: Caller, path: str) -> None:
    done = caller.complete(running.emulator.root + path, running.emulator.key)
    assert done.reasoning == "6 times 7"
    assert done.content == "The answer is \\boxed{42}."
    assert done.answer == "42"
    assert done.finish_reason == "stop"
    assert done.model == "scripted"
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (6, running.engine.steps - 1)
    assert done.request_id


@pytest.mark.parametrize("path", ["", "/managed-compute", "/models", "/openai/v1"])
def test_streaming(running: Running, caller: Caller, path: str) -> None:
    reasoning, content, done = caller.stream(running.emulator.root + path, running.emulator.key)
    assert (reasoning, content) == ("6 times 7", "The answer is \\boxed{42}.")
    assert done is not None
    assert (done.answer, done.finish_reason) == ("42", "stop")


@pytest.mark.parametrize("path", ["", "/managed-compute", "/managed-compute/score", "/openai/v1"])
def test_reasoning_in_a_field_of_its_own_gives_the_same(
    start_emulator: StartEmulator, caller: Caller, path: str
) -> None:
    emulator = start_emulator(reasoning="reasoning_content").emulator
    done = caller.complete(emulator.root + path, emulator.key)
    assert (done.reasoning, done.content) == ("6 times 7", "The answer is \\boxed{42}.")
    assert done.raw["choices"][0]["message"]["reasoning_content"] == "6 times 7"
    if not path.endswith("score"):
        reasoning, content, streamed = caller.stream(emulator.root + path, emulator.key)
        assert (reasoning, content) == (done.reasoning, done.content)
        assert streamed is not None
        assert (streamed.answer, streamed.finish_reason) == ("42", "stop")


def test_a_deployment_that_is_not_there(start_emulator: StartEmulator, caller: Caller) -> None:
    emulator = start_emulator(deployments=("phi-a", "phi-b"), help_text=True).emulator
    with pytest.raises(NotFoundError, match="DeploymentNotFound"):
        caller.complete(emulator.root + "/openai/v1", emulator.key)
    with pytest.raises(BadRequestError, match="Unknown model: any"):
        caller.complete(emulator.root + "/models", emulator.key)
    assert caller.complete(emulator.root, emulator.key).answer == "42"
    with pytest.raises(UnprocessableEntityError, match="temperature") as caught:
        caller.complete(emulator.root, emulator.key, temperature=9)
    assert "Please check this guide" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "/managed-compute", "/models", "/openai/v1"])
def test_a_limit_of_requests_a_minute(start_emulator: StartEmulator, caller: Caller, path: str) -> None:
    emulator = start_emulator(requests_per_minute=1).emulator
    assert caller.complete(emulator.root + path, emulator.key).answer == "42"
    with pytest.raises(RateLimitError) as caught:
        caller.complete(emulator.root + path, emulator.key, max_retries=0)
    assert 50 < (caught.value.retry_after or 0) <= 60


def test_limits_are_told_where_the_surface_tells_them(start_emulator: StartEmulator) -> None:
    running = start_emulator(requests_per_minute=9, tokens_per_minute=10_000)
    ask = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": QUESTION}]}
    keyed = {"api-key": running.emulator.key}
    told = running.http.post("/openai/v1/chat/completions", json=ask, headers=keyed).headers
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("9", "8")
    assert (told["x-ratelimit-limit-tokens"], told["x-ratelimit-remaining-tokens"]) == ("10000", "9894")
    silent = running.http.post("/chat/completions", json=ask).headers
    assert not [name for name in silent if name.startswith("x-ratelimit")]


def test_an_answer_that_has_ended_frees_its_place(start_emulator: StartEmulator, caller: Caller) -> None:
    emulator = start_emulator(max_concurrent=1).emulator
    for _ in range(3):
        assert caller.complete(emulator.root, emulator.key, max_retries=0).answer == "42"
    caller.stream(emulator.root, emulator.key, leave_after=1)
    assert caller.complete(emulator.root, emulator.key).answer == "42"


def test_a_prompt_that_the_filter_refuses(start_emulator: StartEmulator, caller: Caller) -> None:
    emulator = start_emulator(content_filter="default").emulator
    caller.question = "What is PHI-filter-violence and phi-filter-jailbreak?"
    for path in ("", "/models", "/openai/v1"):
        with pytest.raises(ContentFilterError) as caught:
            caller.complete(emulator.root + path, emulator.key)
        assert caught.value.categories["violence"] == {"filtered": True, "severity": "medium"}
        assert caught.value.categories["jailbreak"] == {"filtered": True, "detected": True}
        assert caught.value.categories["hate"] == {"filtered": False, "severity": "safe"}
    with pytest.raises(ModelError, match="violates azure ai content safety setting") as refused:
        caller.complete(emulator.root + "/managed-compute", emulator.key)
    assert refused.value.inner_status == 400


@pytest.mark.parametrize("path", ["", "/models", "/openai/v1"])
def test_an_answer_that_the_filter_cuts(start_emulator: StartEmulator, caller: Caller, path: str) -> None:
    emulator = start_emulator("<think>6*7</think>so PHI-FILTER-HATE 42", content_filter="default").emulator
    done = caller.complete(emulator.root + path, emulator.key)
    assert (done.content, done.reasoning, done.finish_reason) == ("", "", "content_filter")
    reasoning, content, streamed = caller.stream(emulator.root + path, emulator.key)
    assert (reasoning, content) == ("6*7", "so ")
    assert streamed is not None
    assert streamed.finish_reason == "content_filter"
    assert streamed.usage is not None
    assert done.usage is not None
    assert streamed.usage.prompt_tokens == done.usage.prompt_tokens > 0


def test_an_answer_that_managed_compute_blanks(start_emulator: StartEmulator, caller: Caller) -> None:
    emulator = start_emulator("so phi-filter-hate 42", content_filter="default").emulator
    done = caller.complete(emulator.root + "/managed-compute", emulator.key)
    assert (done.content, done.finish_reason) == ("", "stop")
    _, content, streamed = caller.stream(emulator.root + "/managed-compute", emulator.key)
    assert content == "so "
    assert streamed is not None
    assert streamed.finish_reason == "stop"


def test_a_stream_that_lasts_too_long_is_interrupted(
    start_emulator: StartEmulator, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    running = start_emulator(request_timeout_ms=50)
    running.gate.close()
    running.gate.allow(12)
    with pytest.raises(StreamInterruptedError) as caught:
        caller.stream(running.emulator.root + "/managed-compute", running.emulator.key)
    assert caught.value.partial.reasoning.startswith("6")
    assert "was broken off: it took longer than 0.05 s" in caplog.text


def test_leaving_a_stream_frees_the_engine(
    running: Running, caller: Caller, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.web")
    running.gate.close()
    running.gate.allow(5)  # enough for the first text that is no tag
    caller.stream(running.emulator.root, running.emulator.key, leave_after=1)
    eventually(lambda: "client left" in caplog.text)
    running.gate.allow()
    eventually(lambda: running.engine.released == [1])
    assert running.engine.steps <= 6


def test_a_wrong_key(running: Running, caller: Caller) -> None:
    with pytest.raises(AuthenticationError, match="valid key"):
        caller.complete(running.emulator.root, "another-key")


def test_a_prompt_that_is_too_long(start_emulator: StartEmulator, caller: Caller) -> None:
    emulator = start_emulator(engine={"context_length": 6}).emulator
    with pytest.raises(ContextLengthError, match="maximum context length is 6 tokens"):
        caller.complete(emulator.root, emulator.key)
    with pytest.raises(ModelContextLengthError, match="maximum context length is 6 tokens") as raised:
        caller.complete(emulator.root + "/managed-compute", emulator.key)
    assert raised.value.inner_status == 400


def test_a_full_queue(start_emulator: StartEmulator, caller: Caller) -> None:
    running = start_emulator(engine={"max_running": 1}, queue_size=0)
    running.gate.close()
    with running.http.stream(
        "POST", "/chat/completions", json={"messages": [{"role": "user", "content": "x"}], "stream": True}
    ):
        with pytest.raises(RateLimitError) as raised:
            caller.complete(running.emulator.root, running.emulator.key, max_retries=0)
        assert raised.value.retry_after == 1
        running.gate.allow()


def test_an_emulator_that_stops_interrupts_the_stream(
    running: Running, caller: Caller, eventually: Eventually
) -> None:
    running.gate.close()
    running.gate.allow(5)

    def stop() -> None:
        eventually(lambda: running.gate.waiting and running.engine.steps == 5)
        stopping = threading.Thread(target=running.emulator.stop, kwargs={"drain_seconds": 0})
        stopping.start()
        eventually(running.refuses_connections)
        running.gate.allow(1)
        stopping.join()

    helper = threading.Thread(target=stop)
    helper.start()
    with pytest.raises(StreamInterruptedError) as raised:
        caller.stream(running.emulator.root, running.emulator.key)
    helper.join()
    assert raised.value.partial.reasoning.startswith("6 ")
