"""The `azure-ai-inference` package, as it comes from PyPI, against the emulator."""

import asyncio

import pytest
from azure.ai.inference import ChatCompletionsClient, load_client
from azure.ai.inference.aio import ChatCompletionsClient as AsyncChatCompletionsClient
from azure.ai.inference.models import StreamingChatCompletionsUpdate, SystemMessage, UserMessage
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from phi_emulator import Emulator

MESSAGES = [SystemMessage("You are a helpful assistant."), UserMessage("What is 17 * 24?")]
WRONG = AzureKeyCredential("not-the-key")


@pytest.fixture
def credential(emulator: Emulator) -> AzureKeyCredential:
    return AzureKeyCredential(emulator.key)


def text_of(updates: list[StreamingChatCompletionsUpdate]) -> str:
    return "".join(update.choices[0].delta.content or "" for update in updates if update.choices)


def test_complete(endpoint: str, credential: AzureKeyCredential) -> None:
    with ChatCompletionsClient(endpoint, credential) as client:
        done = client.complete(messages=MESSAGES, temperature=0)
    assert done.choices[0].message.content.endswith("\\boxed{408}.")
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done.model == "phi-tiny-arith"


def test_stream(endpoint: str, credential: AzureKeyCredential) -> None:
    with ChatCompletionsClient(endpoint, credential) as client:
        updates = list(client.complete(messages=MESSAGES, temperature=0, stream=True))
        whole = client.complete(messages=MESSAGES, temperature=0)
    assert len(updates) > 20
    assert text_of(updates) == whole.choices[0].message.content
    assert updates[-1].choices[0].finish_reason == "stop"
    assert updates[-1].usage is not None
    assert updates[-1].usage.completion_tokens == whole.usage.completion_tokens


async def complete_and_stream(endpoint: str, credential: AzureKeyCredential) -> tuple[str, str]:
    async with AsyncChatCompletionsClient(endpoint, credential) as client:
        whole = await client.complete(messages=MESSAGES, temperature=0)
        stream = await client.complete(messages=MESSAGES, temperature=0, stream=True)
        updates = [update async for update in stream]
    return whole.choices[0].message.content, text_of(updates)


def test_async_complete_and_stream(endpoint: str, credential: AzureKeyCredential) -> None:
    whole, streamed = asyncio.run(complete_and_stream(endpoint, credential))
    assert whole == streamed
    assert whole.endswith("\\boxed{408}.")


def test_length_ends_the_answer(endpoint: str, credential: AzureKeyCredential) -> None:
    with ChatCompletionsClient(endpoint, credential) as client:
        done = client.complete(messages=MESSAGES, temperature=0, max_tokens=5)
    assert done.choices[0].finish_reason == "length"
    assert done.usage.completion_tokens == 5


def test_load_client_finds_the_chat_client_by_the_info_route(
    emulator: Emulator, credential: AzureKeyCredential
) -> None:
    with load_client(emulator.endpoint, credential) as client:
        assert isinstance(client, ChatCompletionsClient)
        assert client.get_model_info().model_name == "phi-tiny-arith"


def test_a_wrong_key_is_an_authentication_error(emulator: Emulator) -> None:
    with (
        ChatCompletionsClient(emulator.endpoint, WRONG) as client,
        pytest.raises(ClientAuthenticationError) as caught,
    ):
        client.complete(messages=MESSAGES)
    assert caught.value.status_code == 401
    assert "Auth token validation failed" in str(caught.value)


def test_a_value_out_of_range_is_refused_with_422(emulator: Emulator, credential: AzureKeyCredential) -> None:
    with (
        ChatCompletionsClient(emulator.endpoint, credential) as client,
        pytest.raises(HttpResponseError) as caught,
    ):
        client.complete(messages=MESSAGES, temperature=2)
    assert caught.value.status_code == 422
    assert caught.value.error is not None
    assert caught.value.error.code == "Invalid input"


def test_an_unknown_parameter_is_passed_through_when_asked(
    emulator: Emulator, credential: AzureKeyCredential
) -> None:
    with ChatCompletionsClient(emulator.endpoint, credential) as client:
        done = client.complete(messages=MESSAGES, temperature=0, model_extras={"top_k": 5})
    assert done.choices[0].finish_reason == "stop"


def test_an_unknown_path_is_not_found(emulator: Emulator, credential: AzureKeyCredential) -> None:
    with (
        ChatCompletionsClient(f"{emulator.endpoint}/nowhere", credential) as client,
        pytest.raises(ResourceNotFoundError),
    ):
        client.complete(messages=MESSAGES)


def test_the_foundry_surface_with_its_model(emulator: Emulator, credential: AzureKeyCredential) -> None:
    with ChatCompletionsClient(f"{emulator.root}/models", credential, model="any-deployment") as client:
        done = client.complete(messages=MESSAGES, temperature=0)
        updates = list(client.complete(messages=MESSAGES, temperature=0, stream=True))
    assert done.choices[0].message.content.endswith("\\boxed{408}.")
    assert text_of(updates) == done.choices[0].message.content


def test_the_foundry_surface_without_a_model_says_so(
    emulator: Emulator, credential: AzureKeyCredential
) -> None:
    with (
        ChatCompletionsClient(f"{emulator.root}/models", credential) as client,
        pytest.raises(HttpResponseError, match="No model specified in request") as caught,
    ):
        client.complete(messages=MESSAGES)
    assert caught.value.status_code == 400
    assert caught.value.error is not None
    assert caught.value.error.code == "no_model_name"
