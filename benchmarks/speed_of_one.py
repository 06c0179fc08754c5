"""One client in one fresh process: its figures as JSON. `benchmarks.client_speed` runs it for each.

    python -m benchmarks.speed_of_one start|steady CLIENT URL

It must not import any client but the one that it measures, nor, before that, anything that a client imports.
"""
# ruff: noqa: INP001, PLC0415  # commands beside one another; imports are what is measured

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any, Final, Protocol

    class Client(Protocol):
        """One client behind the face that the figures use."""

        def ask(self) -> str: ...
        def stream(self, chunks: int) -> Iterator[str]: ...
        async def ask_async(self) -> str: ...
        def stream_async(self, chunks: int) -> AsyncIterator[str]: ...


PROMPT: Final = "What is 17 * 24?"
MODEL: Final = "phi-4-mini-reasoning"
KEY: Final = "a-key"
ANSWER: Final = "408"
AT_ONCE: Final = 64
CHUNKS: Final = 2000
SHORT: Final = 10


def body(chunks: int | None = None) -> dict[str, Any]:
    """What all clients send."""
    sent: dict[str, Any] = {
        "messages": [{"role": "user", "content": PROMPT}],
        "model": MODEL,
        "temperature": 0.8,
        "top_p": 0.95,
        "max_tokens": 32768 if chunks is None else chunks,
    }
    return sent if chunks is None else {**sent, "stream": True}


class Bare:
    """httpx, or its fork httpx2: post, and `json.loads`."""

    def __init__(self, library: Any, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._headers = {"Authorization": f"Bearer {KEY}"}
        self._http = library.Client(headers=self._headers)
        self._library = library
        self._http_async: Any = None

    def ask(self) -> str:
        import json

        response = self._http.post(self._url, json=body())
        return str(json.loads(response.content)["choices"][0]["message"]["content"])

    def stream(self, chunks: int) -> Iterator[str]:
        import json

        with self._http.stream("POST", self._url, json=body(chunks)) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])["choices"][0]["delta"]["content"]

    async def ask_async(self) -> str:
        import json

        response = await self._made().post(self._url, json=body())
        return str(json.loads(response.content)["choices"][0]["message"]["content"])

    async def stream_async(self, chunks: int) -> AsyncIterator[str]:
        import json

        async with self._made().stream("POST", self._url, json=body(chunks)) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])["choices"][0]["delta"]["content"]

    def _made(self) -> Any:
        if self._http_async is None:
            self._http_async = self._library.AsyncClient(headers=self._headers)
        return self._http_async


class Ours:
    """`PhiClient` and `AsyncPhiClient`."""

    def __init__(self, library: Any, url: str) -> None:
        self._arguments: dict[str, Any] = {
            "endpoint": url,
            "api_key": KEY,
            "dialect": "serverless",
            "model": MODEL,
        }
        self._client = library.PhiClient(**self._arguments)
        self._library = library
        self._client_async: Any = None

    def ask(self) -> str:
        return str(self._client.complete(PROMPT).content)

    def stream(self, chunks: int) -> Iterator[str]:
        with self._client.stream(PROMPT, max_tokens=chunks, on_truncation="return") as stream:
            for chunk in stream:
                yield chunk.reasoning or chunk.content

    async def ask_async(self) -> str:
        return str((await self._made().complete(PROMPT)).content)

    async def stream_async(self, chunks: int) -> AsyncIterator[str]:
        async with self._made().stream(PROMPT, max_tokens=chunks, on_truncation="return") as stream:
            async for chunk in stream:
                yield chunk.reasoning or chunk.content

    def _made(self) -> Any:
        if self._client_async is None:
            self._client_async = self._library.AsyncPhiClient(**self._arguments)
        return self._client_async


class OpenAI:
    """The OpenAI package, as it speaks to a Foundry resource."""

    def __init__(self, library: Any, url: str) -> None:
        self._arguments: dict[str, Any] = {"base_url": url, "api_key": KEY}
        self._client = library.OpenAI(**self._arguments)
        self._library = library
        self._client_async: Any = None

    def ask(self) -> str:
        done = self._client.chat.completions.create(**body())
        return str(done.choices[0].message.content)

    def stream(self, chunks: int) -> Iterator[str]:
        for chunk in self._client.chat.completions.create(**body(chunks)):
            yield chunk.choices[0].delta.content

    async def ask_async(self) -> str:
        done = await self._made().chat.completions.create(**body())
        return str(done.choices[0].message.content)

    async def stream_async(self, chunks: int) -> AsyncIterator[str]:
        async for chunk in await self._made().chat.completions.create(**body(chunks)):
            yield chunk.choices[0].delta.content

    def _made(self) -> Any:
        if self._client_async is None:
            self._client_async = self._library.AsyncOpenAI(**self._arguments)
        return self._client_async


class AzureInference:
    """azure-ai-inference."""

    def __init__(self, library: Any, url: str) -> None:
        from azure.core.credentials import AzureKeyCredential

        self._arguments: dict[str, Any] = {"endpoint": url, "credential": AzureKeyCredential(KEY)}
        self._client = library.ChatCompletionsClient(**self._arguments)
        self._client_async: Any = None

    def ask(self) -> str:
        return str(self._client.complete(**body()).choices[0].message.content)

    def stream(self, chunks: int) -> Iterator[str]:
        for chunk in self._client.complete(**body(chunks)):
            yield chunk.choices[0].delta.content

    async def ask_async(self) -> str:
        return str((await self._made().complete(**body())).choices[0].message.content)

    async def stream_async(self, chunks: int) -> AsyncIterator[str]:
        async for chunk in await self._made().complete(**body(chunks)):
            yield chunk.choices[0].delta.content

    def _made(self) -> Any:
        if self._client_async is None:
            from azure.ai.inference.aio import ChatCompletionsClient

            self._client_async = ChatCompletionsClient(**self._arguments)
        return self._client_async


def imported(name: str) -> Callable[[str], Client]:
    """Import a client as its users do, and give what makes one."""
    if name == "phi-client":
        import phi_client

        # The names of a package may be loaded when they are first used, so `import` alone would say nothing.
        _ = phi_client.PhiClient
        return lambda url: Ours(phi_client, url)
    if name == "openai":
        import openai

        _ = openai.OpenAI
        return lambda url: OpenAI(openai, url)
    if name == "azure-ai-inference":
        import azure.ai.inference

        return lambda url: AzureInference(azure.ai.inference, url)
    if name == "httpx2":
        import httpx2

        return lambda url: Bare(httpx2, url)
    import httpx

    return lambda url: Bare(httpx, url)


def start(name: str, url: str) -> dict[str, float]:
    """The figures of a process that asks once."""
    began = time.process_time()
    make = imported(name)
    after_import = time.process_time()
    answer = make(url).ask()
    after_reply = time.process_time()
    if ANSWER not in answer:
        raise RuntimeError(f"{name} answered {answer!r}")
    return {"import": after_import - began, "cold": after_reply - began, "memory": peak_memory_mb()}


def peak_memory_mb() -> float:
    """The largest resident size of this process; what `getrusage` says may be its parent's."""
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123  # pathlib would be measured too
        status = file.read()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def steady(name: str, url: str) -> dict[str, float]:
    """The figures of a process that asks often."""
    import asyncio

    make = imported(name)
    client = make(url)
    client.ask()
    kept: list[Client] = []
    figures = {
        "second": processor_time(lambda: kept.append(make(url)), 10),
        "request": processor_time(client.ask, 200, warm=20),
        "chunk": processor_time(lambda: check_count(sum(1 for _ in client.stream(CHUNKS))), 2, warm=1)
        / CHUNKS,
    }
    # The shortest, because on a busy machine the others wait for a processor.
    figures["first_chunk"] = min(first_chunk_s(client) for _ in range(100))
    return figures | asyncio.run(steady_async(client))


def processor_time(work: Callable[[], object], times: int, *, warm: int = 0) -> float:
    """Seconds of processor time for one."""
    for _ in range(warm):
        work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def first_chunk_s(client: Client) -> float:
    """Seconds from the call to the first chunk; the stream is read to its end, as most are."""
    began = time.perf_counter()
    chunks = client.stream(SHORT)
    next(chunks)
    waited = time.perf_counter() - began
    for _ in chunks:
        pass
    return waited


async def steady_async(client: Client) -> dict[str, float]:
    """The figures of an event loop."""
    import asyncio

    async def at_once() -> None:
        await asyncio.gather(*[client.ask_async() for _ in range(AT_ONCE)])

    async def stream() -> None:
        check_count(len([chunk async for chunk in client.stream_async(CHUNKS)]))

    figures: dict[str, float] = {}
    for figure, work, parts, times in (("async", at_once, AT_ONCE, 5), ("chunk_async", stream, CHUNKS, 2)):
        await work()
        began = time.process_time()
        for _ in range(times):
            await work()
        figures[figure] = (time.process_time() - began) / times / parts
    return figures


def check_count(count: int) -> None:
    """Refuse a figure of a stream that was not read whole; a client may leave out chunks that say nothing."""
    if count < CHUNKS - 2:
        raise RuntimeError(f"{count} chunks came of {CHUNKS}")


if __name__ == "__main__":
    part, client_name, upstream_url = sys.argv[1:]
    figures = (start if part == "start" else steady)(client_name, upstream_url)

    import json

    print(json.dumps(figures))
