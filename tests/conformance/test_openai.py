"""The `openai` package, as it comes from PyPI, against the emulator."""

import asyncio

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from phi_emulator import Emulator

MODEL = "any-deployment"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is 17 * 24?"}]


def test_complete(endpoint: str, emulator: Emulator) -> None:
    with OpenAI(base_url=f"{endpoint}/v1", api_key=emulator.key) as client:
        done = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0)
    assert str(done.choices[0].message.content).endswith("\\boxed{408}.")
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens


def test_stream(endpoint: str, emulator: Emulator) -> None:
    with OpenAI(base_url=f"{endpoint}/v1", api_key=emulator.key) as client:
        with client.chat.completions.create(
            model=MODEL, messages=MESSAGES, temperature=0, stream=True
        ) as stream:
            chunks = list(stream)
        whole = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(chunks) > 20
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def test_async_complete_and_stream(endpoint: str, emulator: Emulator) -> None:
    async def main() -> tuple[str | None, str]:
        async with AsyncOpenAI(base_url=f"{endpoint}/v1", api_key=emulator.key) as client:
            whole = await client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0)
            text = ""
            async with await client.chat.completions.create(
                model=MODEL, messages=MESSAGES, temperature=0, stream=True
            ) as stream:
                async for chunk in stream:
                    text += chunk.choices[0].delta.content or ""
        return whole.choices[0].message.content, text

    whole, streamed = asyncio.run(main())
    assert whole == streamed


def test_seed_and_stop_are_honoured(emulator: Emulator) -> None:
    with OpenAI(base_url=f"{emulator.endpoint}/v1", api_key=emulator.key) as client:
        texts = [
            client.chat.completions.create(
                model=MODEL, messages=MESSAGES, temperature=1, seed=5, stop=["</think>"]
            ).choices[0].message.content
            for _ in range(2)
        ]  # fmt: skip
    assert texts[0] == texts[1]
    assert "</think>" not in str(texts[0])


def test_a_wrong_key_is_an_authentication_error(emulator: Emulator) -> None:
    with (
        OpenAI(base_url=f"{emulator.endpoint}/v1", api_key="not-the-key", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert caught.value.status_code == 401


def test_a_value_out_of_range_is_unprocessable(emulator: Emulator) -> None:
    with (
        OpenAI(base_url=f"{emulator.endpoint}/v1", api_key=emulator.key) as client,
        pytest.raises(openai.UnprocessableEntityError) as caught,
    ):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=2)
    assert isinstance(caught.value.body, dict)


def test_an_unknown_path_is_not_found(emulator: Emulator) -> None:
    with (
        OpenAI(base_url=f"{emulator.endpoint}/v2", api_key=emulator.key) as client,
        pytest.raises(openai.NotFoundError),
    ):
        client.chat.completions.create(model=MODEL, messages=MESSAGES)


def test_a_raw_response_has_a_request_id(emulator: Emulator) -> None:
    with OpenAI(base_url=f"{emulator.endpoint}/v1", api_key=emulator.key) as client:
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, temperature=0)
        done = raw.parse()
    assert done.id == f"chatcmpl-{raw.headers['x-request-id']}"


def test_the_v1_surface_of_a_foundry_resource(emulator: Emulator) -> None:
    with OpenAI(base_url=f"{emulator.root}/openai/v1/", api_key=emulator.key) as client:
        done = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0)
        with client.chat.completions.create(
            model=MODEL, messages=MESSAGES, temperature=0, stream=True
        ) as stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        described = client.models.retrieve("phi-tiny-arith")
    assert str(done.choices[0].message.content).endswith("\\boxed{408}.")
    assert text == done.choices[0].message.content
    assert described.id == "phi-tiny-arith"


def test_the_v1_surface_refuses_a_wrong_key(emulator: Emulator) -> None:
    with (
        OpenAI(base_url=f"{emulator.root}/openai/v1/", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="invalid subscription key"),
    ):
        client.chat.completions.create(model=MODEL, messages=MESSAGES)
