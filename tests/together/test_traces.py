"""Each canned trace over a socket: what a person reads in it is what our clients read, however the stream is cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.machine.builds import has_engine_api
from phi_emulator.scripts.traces import TRACES, Trace

from phi_client import AsyncPhiClient, PhiClient, ReasoningTruncatedError

if not has_engine_api():
    pytest.skip("the installed ONNX Runtime GenAI is older than its Engine", allow_module_level=True)


@pytest.fixture(scope="module", params=["content", "reasoning_content"])
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """One that puts the reasoning into the content, and one that has a field for it."""
    with Emulator(EmulatorConfig(port=0, model="scripted:traces", reasoning=request.param)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Iterator[PhiClient]:
    with PhiClient(emulator.endpoint, emulator.key) as client:
        yield client.with_options(on_truncation="return")


def expected(trace: Trace) -> tuple[str, str, str | None, str]:
    return trace.reasoning, trace.content, trace.answer, trace.recital.end.value


def read_by(completion: Any) -> tuple[str, str, str | None, str | None]:
    return completion.reasoning, completion.content, completion.answer, completion.finish_reason


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_our_client_reads_it_whole(client: PhiClient, trace: Trace) -> None:
    found = client.complete(trace.name)
    assert read_by(found) == expected(trace)
    assert found.usage is not None
    assert found.usage.completion_tokens > 10


@pytest.mark.parametrize("name", ["cut-off", "loop"])
def test_what_is_cut_in_its_reasoning_is_an_error_unless_it_is_asked_for(
    emulator: Emulator, name: str
) -> None:
    with PhiClient(emulator.endpoint, emulator.key) as client, pytest.raises(ReasoningTruncatedError):
        client.complete(name)


def can_be_read(emulator: Emulator, trace: Trace) -> bool:
    """Whether a stream can say it: what went out as content can't be put into the field of the reasoning any more."""
    return emulator.config.reasoning == "content" or trace.name != "unopened-tag"


def streamed(client: PhiClient, prompt: str) -> tuple[Any, str, str]:
    """What the stream came to, and the reasoning and the text that were handed out on the way."""
    reasoning, text = "", ""
    with client.stream(prompt) as stream:
        for chunk in stream:
            reasoning, text = reasoning + chunk.reasoning, text + chunk.content
        return stream.so_far, reasoning, text


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_our_client_reads_it_as_it_comes(emulator: Emulator, client: PhiClient, trace: Trace) -> None:
    found, reasoning, text = streamed(client, trace.name)
    if can_be_read(emulator, trace):
        assert read_by(found) == expected(trace)
    assert found.answer == trace.answer
    if trace.name != "unopened-tag":  # what has been handed out can't be taken back
        assert (reasoning, text) == (trace.reasoning, trace.content)


def test_the_async_client_reads_them_all(emulator: Emulator) -> None:
    readable = {name: trace for name, trace in TRACES.items() if can_be_read(emulator, trace)}

    async def read() -> dict[str, Any]:
        async with AsyncPhiClient(emulator.endpoint, emulator.key) as client:
            found: dict[str, Any] = {}
            for name in readable:
                async with client.stream(name, on_truncation="return") as stream:
                    await stream.until_done()
                    found[name] = read_by(stream.so_far)
            return found

    assert asyncio.run(read()) == {name: expected(trace) for name, trace in readable.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_however_its_chunks_are_cut_it_is_read_the_same(
    emulator: Emulator, client: PhiClient, trace: Trace, seed: int
) -> None:
    text, chance = trace.recital.text, random.Random(f"{trace.name} {seed}")
    places = sorted(chance.sample(range(1, len(text)), min(len(text) - 1, chance.choice((3, 20, 80)))))
    chunks = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    name = f"cut {trace.name} {seed}"
    emulator.script.set(
        [{"exact": name, "chunks": chunks, "finish_reason": trace.recital.end.value}], scope=name
    )
    with client.stream(name, headers={"x-phi-scope": name}) as stream:
        stream.until_done()
        assert not can_be_read(emulator, trace) or read_by(stream.so_far) == expected(trace)


def test_openai_gets_every_trace_as_it_stands_or_in_its_field(emulator: Emulator) -> None:
    has_field = emulator.config.reasoning == "reasoning_content"
    with OpenAI(base_url=emulator.endpoint_of("openai_v1"), api_key=emulator.key, max_retries=0) as openai:
        for name, trace in TRACES.items():
            messages: Any = [{"role": "user", "content": name}]
            chunks = [*openai.chat.completions.create(model="phi", messages=messages, stream=True)]
            deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
            text = "".join(delta.content or "" for delta in deltas)
            reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
            whole = openai.chat.completions.create(model="phi", messages=messages).choices[0]
            assert whole.finish_reason == trace.recital.end.value
            if not has_field:
                assert (text, whole.message.content) == (trace.recital.text, trace.recital.text)
            elif name != "unopened-tag":
                assert (reasoning, text) == (trace.reasoning, trace.content)
                assert whole.message.content == trace.content
