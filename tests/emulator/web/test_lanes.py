"""Work that grows with a request is done in a lane of its size: no short request waits for longer ones."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.engine.protocol import Marks
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service import chat
from phi_emulator.service.chat import ChatService
from phi_emulator.service.content_filter import ContentFilter
from phi_emulator.web import endpoints
from phi_emulator.web.app import App

CROWD = 60
"""More than asyncio's own threads on any machine."""
LARGE = 20_000
HELD: dict[str, tuple[object, str]] = {
    "reading": (endpoints, "read_chat_request"),
    "planning": (chat, "plan_answer"),
    "filtering": (ContentFilter, "judge_prompt"),
}


def body_of(characters: int) -> bytes:
    # A text that isn't too long for the context, beside a field that is of no use.
    said = [{"role": "user", "content": "x"}]
    return json.dumps({"messages": said, "metadata": "a" * characters}).encode()


@pytest.mark.parametrize("what", HELD)
def test_a_short_request_passes_a_crowd_of_larger_ones(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held, begun = threading.Event(), threading.Event()
    place, name = HELD[what]
    work: Callable[..., Any] = getattr(place, name)

    def hold(*given: Any, **named: Any) -> Any:
        # In a thread of the lane for what is short, everything is as it was.
        if not threading.current_thread().name.startswith("phi-emulator-lane-0"):
            begun.set()
            assert held.wait(60)
        return work(*given, **named)

    monkeypatch.setattr(place, name, hold)
    monkeypatch.setattr(endpoints, "_SMALL_BYTES", 0)
    worker = Worker(lambda: ScriptedEngine(lambda _: "42", marks=Marks()))
    worker.start()
    config = EmulatorConfig(key="k", extensions=True, content_filter="default", max_body_bytes=10**6)
    app = App(ChatService(worker, has_extensions=True), config)

    async def main() -> None:
        headers = {
            "authorization": "Bearer k",
            "content-type": "application/json",
            "extra-parameters": "drop",
        }
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers
        ) as client:

            async def ask(characters: int) -> int:
                answer = await client.post("/chat/completions", content=body_of(characters))
                return answer.status_code

            crowd = [asyncio.ensure_future(ask(LARGE)) for _ in range(CROWD)]
            try:
                assert await asyncio.to_thread(begun.wait, 60)
                assert await asyncio.wait_for(ask(1), 60) == 200
                assert not any(one.done() for one in crowd)
            finally:
                held.set()
            assert set(await asyncio.gather(*crowd)) == {200}

    try:
        asyncio.run(main())
    finally:
        held.set()
        worker.stop()
