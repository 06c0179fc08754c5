"""langchain-tests' integration tests of a chat model, over the clients with which LangChain reaches Azure."""

from __future__ import annotations

import os
from typing import Any

from langchain_azure_ai.chat_models import AzureAIOpenAIApiChatModel
from langchain_azure_ai.chat_models.inference import AzureAIChatCompletionsModel
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

ROOT = os.environ["EMULATOR_ROOT"]
KEY = os.environ["EMULATOR_KEY"]
TEMPERATURE = 1e-6  # greedy; a 0 is left out by `AzureAIChatCompletionsModel`
COMMON = {"temperature": TEMPERATURE, "stream_usage": True, "model": "Phi-4-mini-reasoning"}


class Suite(ChatModelIntegrationTests):
    """What the emulator with `--extensions` claims: tools, `tool_choice`, forms; no pictures, sounds or PDFs."""

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestChatOpenAI(Suite):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"base_url": f"{ROOT}/openai/v1", "api_key": KEY, **COMMON}


class TestAzureAIOpenAIApiChatModel(Suite):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return AzureAIOpenAIApiChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"endpoint": f"{ROOT}/openai/v1", "credential": KEY, **COMMON}


class TestAzureAIChatCompletionsModel(Suite):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return AzureAIChatCompletionsModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "endpoint": f"{ROOT}/models",
            "credential": KEY,
            "model": COMMON["model"],
            "temperature": TEMPERATURE,
        }
