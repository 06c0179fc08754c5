"""`AnswerSource`: something that is no worker, and has no engine, is served as the worker is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any

import httpx
import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.engine.errors import GuidanceError
from phi_emulator.engine.protocol import EndReason, EngineInfo, Message, Sampling
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.generation import Generation, Outcome, Piece, Times
from phi_emulator.engine.serving.source import AnswerSource, Counts, EngineView, SourceStatus
from phi_emulator.engine.serving.text import TextMachine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.chat import ChatService
from phi_emulator.web.app import App

from phi_client.contract.clock.base import Clock


class Parrot:
    """Says what it was told, letter by letter, as fast as it is asked."""

    def __init__(self) -> None:
        self.received: list[float | None] = []

    def start(self) -> EngineInfo:
        return self.info

    def stop(self) -> None:
        pass

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("parrot", "a cage", "none", 100, 1, 1, 100)

    @property
    def status(self) -> SourceStatus:
        return SourceStatus(False, 0, 0)

    @property
    def counts(self) -> Counts:
        return Counts(ended=len(self.received))

    @property
    def view(self) -> EngineView:
        return EngineView()

    async def encode(self, messages: Sequence[Message]) -> list[int]:
        return [ord(letter) for letter in messages[-1].content]

    async def check_guidance(self, grammar: str) -> None:
        raise GuidanceError(f"a parrot follows no {type(grammar).__name__}")

    def submit(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        watch: TextMachine | None = None,
        received: float | None = None,
    ) -> Generation:
        assert watch is None
        self.received.append(received)
        generation = Generation(1, lambda _sequence: None)
        said = [chr(letter) for letter in prompt[: sampling.max_tokens]]
        for number, letter in enumerate(said, 1):
            generation.send(Piece(letter, number))
        times = Times(received or 0.0, 2.0, 3.0, 4.0, 5.0)
        generation.send(Outcome(EndReason.STOP, len(prompt), len(said), 0, times))
        return generation


def served(source: AnswerSource, ask: Callable[[httpx.AsyncClient], Any], **options: Any) -> None:
    app = App(ChatService(source), EmulatorConfig(key="k", max_body_bytes=10_000), **options)

    async def main() -> None:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": "Bearer k"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers
        ) as http:
            await ask(http)

    asyncio.run(main())


BODY = {"messages": [{"role": "user", "content": "hello"}]}


def test_a_source_without_an_engine_is_served() -> None:
    parrot = Parrot()

    async def ask(http: httpx.AsyncClient) -> None:
        whole = (await http.post("/chat/completions", json=BODY)).json()
        assert whole["choices"][0]["message"]["content"] == "hello"
        assert whole["usage"]["total_tokens"] == 10
        assert whole["model"] == "parrot"
        streamed = await http.post("/chat/completions", json={**BODY, "stream": True})
        assert streamed.text.count('"content":"h"') == 1
        status = (await http.get("/_emulator/status")).json()
        assert (status["model"], status["counts"]["ended"]) == ("parrot", 2)

    served(parrot, ask)


def test_the_log_tells_times_of_one_clock(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "phi_emulator.web")
    parrot, now = Parrot(), chain([1.5], repeat(9.0))

    async def ask(http: httpx.AsyncClient) -> None:
        await http.post("/chat/completions", json=BODY)

    served(parrot, ask, clock=Clock(now=lambda: next(now)))
    assert parrot.received == [1.5]
    assert caplog.messages == ["POST /chat/completions 200 7500 ms tokens=5+5 waited=1000 ms first=2500 ms"]


def test_the_worker_is_a_source() -> None:
    source: AnswerSource = Worker(lambda: ScriptedEngine(lambda _messages: "42"))
    assert source.start().model == "scripted"
    source.stop()
    source.stop()
