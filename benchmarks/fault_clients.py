"""The clients of the fault table, each asked in its own words: a whole answer, a stream, a parsed answer.

It must not know faults, nor what is right.
"""
# ruff: noqa: INP001  # commands beside one another, no package

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from pydantic import BaseModel

from phi_client import AsyncPhiClient, CompletionOptions, PhiClient, PhiError

KEY: Final = "a-key"
PROMPT: Final = "What is 6 * 7?"
MODEL: Final = "phi-4-mini-reasoning"


class Product(BaseModel):
    """What the last row asks for."""

    product: int


class NoSuchMethodError(Exception):
    """The client has no method for this."""


class Client(Protocol):
    """One client behind the face that the rows use."""

    name: str
    own_error: type[Exception]
    parse_name: str

    def complete(self, url: str) -> str:
        """The content of one completion."""
        ...

    def stream(self, url: str, pieces: list[str], timeout: float | None) -> str | None:
        """Put the content into `pieces`; the finish reason on the client's own whole result, if it makes one."""
        ...

    def parse(self, url: str) -> object:
        """The structured answer."""
        ...


class Ours:
    """`PhiClient`."""

    name = "PhiClient"
    own_error: type[Exception] = PhiError
    parse_name = "`parse()`"

    def complete(self, url: str) -> str:
        with PhiClient(url, KEY, dialect="serverless") as client:
            return client.complete(PROMPT).content

    def stream(self, url: str, pieces: list[str], timeout: float | None) -> str | None:
        options: CompletionOptions = {"timeout": timeout} if timeout else {}
        with (
            PhiClient(url, KEY, dialect="serverless") as client,
            client.stream(PROMPT, **options) as stream,
        ):
            pieces.extend(chunk.content for chunk in stream)
            return stream.completion.finish_reason

    def parse(self, url: str) -> object:
        with PhiClient(url, KEY, dialect="serverless") as client:
            return client.parse(PROMPT, Product).parsed.model_dump()


class OursAsync:
    """`AsyncPhiClient`."""

    name = "AsyncPhiClient"
    own_error: type[Exception] = PhiError
    parse_name = Ours.parse_name

    def complete(self, url: str) -> str:
        async def run() -> str:
            async with AsyncPhiClient(url, KEY, dialect="serverless") as client:
                return (await client.complete(PROMPT)).content

        return asyncio.run(run())

    def stream(self, url: str, pieces: list[str], timeout: float | None) -> str | None:
        options: CompletionOptions = {"timeout": timeout} if timeout else {}

        async def run() -> str | None:
            async with (
                AsyncPhiClient(url, KEY, dialect="serverless") as client,
                client.stream(PROMPT, **options) as stream,
            ):
                async for chunk in stream:
                    pieces.append(chunk.content)  # noqa: PERF401  # what came before an error counts
                return stream.completion.finish_reason

        return asyncio.run(run())

    def parse(self, url: str) -> object:
        async def run() -> object:
            async with AsyncPhiClient(url, KEY, dialect="serverless") as client:
                return (await client.parse(PROMPT, Product)).parsed.model_dump()

        return asyncio.run(run())


class OpenAI:
    """The `openai` package, its sync client."""

    name = "openai"
    parse_name = "`parse()`"

    def __init__(self) -> None:
        import openai  # noqa: PLC0415  # the peers may be missing

        self.own_error: type[Exception] = openai.OpenAIError
        self._new = openai.OpenAI

    def complete(self, url: str) -> str:
        with self._new(base_url=url, api_key=KEY) as client:
            done = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": PROMPT}])
            return done.choices[0].message.content or ""

    def stream(self, url: str, pieces: list[str], timeout: float | None) -> str | None:
        with self._new(base_url=url, api_key=KEY) as client:
            limited = client if timeout is None else client.with_options(timeout=timeout)
            with limited.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": PROMPT}], stream=True
            ) as chunks:
                for chunk in chunks:
                    pieces.extend(choice.delta.content or "" for choice in chunk.choices)
        return None

    def parse(self, url: str) -> object:
        with self._new(base_url=url, api_key=KEY) as client:
            done = client.chat.completions.parse(
                model=MODEL, messages=[{"role": "user", "content": PROMPT}], response_format=Product
            )
            parsed = done.choices[0].message.parsed
            return parsed and parsed.model_dump()


class AzureAIInference:
    """The `azure-ai-inference` package, its sync client."""

    name = "azure-ai-inference"
    parse_name = "`parse()`"

    def __init__(self) -> None:
        from azure.ai.inference import ChatCompletionsClient  # noqa: PLC0415
        from azure.core.credentials import AzureKeyCredential  # noqa: PLC0415
        from azure.core.exceptions import AzureError  # noqa: PLC0415

        self.own_error: type[Exception] = AzureError
        self._new: Callable[[str], Any] = lambda url: ChatCompletionsClient(url, AzureKeyCredential(KEY))

    def complete(self, url: str) -> str:
        with self._new(url) as client:
            done = client.complete(messages=[{"role": "user", "content": PROMPT}])
            return str(done.choices[0].message.content)

    def stream(self, url: str, pieces: list[str], timeout: float | None) -> str | None:
        limits: dict[str, Any] = {} if timeout is None else {"read_timeout": timeout}
        with self._new(url) as client:
            updates = client.complete(messages=[{"role": "user", "content": PROMPT}], stream=True, **limits)
            for update in updates:
                pieces.extend(choice.delta.content or "" for choice in update.choices)
        return None

    def parse(self, url: str) -> object:
        raise NoSuchMethodError(url)
