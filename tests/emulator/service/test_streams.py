"""An answer as a stream: an event for each piece of text, and those that come together in one piece of bytes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.behaviour import Behaviour
from phi_emulator.service.chat import ChatService

from phi_client.contract.events import DONE, EventDecoder
from phi_client.contract.service import SURFACES, Surface
from phi_client.contract.service.chat import ChatRequest

WORDS = "<think>one two</think>three four five"
REQUEST = ChatRequest.model_validate(
    {
        "messages": [{"role": "user", "content": "x"}],
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
)


def bodies_of(dialect: Surface, *, waits: bool) -> list[bytes]:
    """What is handed over for one answer; a reader that `waits` finds everything there after the first."""
    worker = Worker(lambda: ScriptedEngine(lambda _: WORDS))
    worker.start()

    async def main() -> list[bytes]:
        answer = await ChatService(worker).answer(Behaviour(), dialect, REQUEST, "r-1")
        bodies: list[bytes] = []
        async for body in answer.events():
            bodies.append(body)
            while waits and worker.status.running:  # noqa: ASYNC110 - it comes true in another thread
                await asyncio.sleep(0)
        answer.cancel()
        return bodies

    try:
        return asyncio.run(main())
    finally:
        worker.stop()


def chunks_of(bodies: list[bytes]) -> list[dict[str, Any]]:
    *events, last = EventDecoder().feed(b"".join(bodies))
    assert last.data == DONE
    return [json.loads(event.data) for event in events]


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("reasoning", ["content", "reasoning_content"])
def test_a_stream_has_the_same_chunks_whatever_comes_together(name: str, reasoning: str) -> None:
    dialect = SURFACES[name]
    if reasoning == "reasoning_content":
        dialect = dialect.at_version("2025-04-01")
    quick, slow = (bodies_of(dialect, waits=waits) for waits in (False, True))
    for bodies in (quick, slow):
        assert all(body.endswith(b"\n\n") for body in bodies)
    times = {"created": 0}
    assert [chunk | times for chunk in chunks_of(quick)] == [chunk | times for chunk in chunks_of(slow)]
    deltas = [choice["delta"] for chunk in chunks_of(slow) for choice in chunk["choices"]]
    said = [delta["content"] for delta in deltas if delta.get("content")]
    thought = [delta["reasoning_content"] for delta in deltas if delta.get("reasoning_content")]
    if dialect.reasoning_in == "content":
        assert ("".join(said), thought) == (WORDS, [])
        assert said == re.findall(r"\w+|\W", WORDS)  # as the engine gave them
    else:
        assert ("".join(said), "".join(thought)) == ("three four five", "one two")
