"""The packages `azure-ai-inference` and `openai`, against the emulator with the bundled model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from azure.ai.inference import ChatCompletionsClient, load_client
from azure.ai.inference.models import StreamingChatCompletionsUpdate
from azure.core.credentials import AzureKeyCredential
from openai import AzureOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from phi_emulator import Emulator

QUESTION = "What is 17 * 24?"
ANSWER = "\\boxed{408}."
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


@pytest.mark.parametrize("path", ["", "/serverless", "/managed-compute", "/models"])
def test_azure_ai_inference_gets_the_same_answer_whole_and_streamed(bundled: Emulator, path: str) -> None:
    credential = AzureKeyCredential(bundled.key)
    messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
    with ChatCompletionsClient(bundled.root + path, credential, model="phi", temperature=0) as client:
        done = client.complete(messages=messages)
        stream: Iterable[StreamingChatCompletionsUpdate] = client.complete(messages=messages, stream=True)
        updates = list(stream)
    text = "".join(update.choices[0].delta.content or "" for update in updates)
    assert len(updates) > 20
    assert text == done.choices[0].message.content
    assert text.endswith(ANSWER)
    assert done.model == "phi-tiny-arith"
    assert updates[-1].usage is not None
    assert updates[-1].usage.completion_tokens == done.usage.completion_tokens


def test_azure_ai_inference_is_told_which_model_answers(bundled: Emulator) -> None:
    with load_client(bundled.root, AzureKeyCredential(bundled.key)) as client:
        assert isinstance(client, ChatCompletionsClient)
        assert client.get_model_info().model_name == "phi-tiny-arith"


@pytest.mark.parametrize("path", ["/v1", "/managed-compute/v1", "/openai/v1", "/api/projects/mine/openai/v1"])
def test_openai_gets_the_same_answer_whole_and_streamed(bundled: Emulator, path: str) -> None:
    with OpenAI(base_url=bundled.root + path, api_key=bundled.key) as client:
        create = client.chat.completions.create
        done = create(model="phi", messages=MESSAGES, temperature=0)
        with create(model="phi", messages=MESSAGES, temperature=0, stream=True) as stream:
            chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(chunks) > 20
    assert text == done.choices[0].message.content
    assert text.endswith(ANSWER)


def test_azure_openai_gets_an_answer(bundled: Emulator) -> None:
    with AzureOpenAI(azure_endpoint=bundled.root, api_key=bundled.key, api_version="2024-10-21") as client:
        done = client.chat.completions.create(model="phi", messages=MESSAGES, temperature=0)
    assert str(done.choices[0].message.content).endswith(ANSWER)


def test_a_seed_repeats_an_answer(bundled: Emulator) -> None:
    with OpenAI(base_url=f"{bundled.root}/v1", api_key=bundled.key) as client:
        texts = [
            client.chat.completions.create(
                model="phi", messages=MESSAGES, temperature=1, seed=5, stop=["</think>"]
            ).choices[0].message.content
            for _ in range(2)
        ]  # fmt: skip
    assert texts[0] == texts[1]
    assert "</think>" not in str(texts[0])
