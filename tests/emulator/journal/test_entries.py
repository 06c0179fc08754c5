"""What the journal says of an exchange, over real sockets and with foreign clients."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

SECONDS = 20


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(
        EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: "one two three")
    ) as running:
        yield running


def openai_of(emulator: Emulator, scope: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=emulator.endpoint_of("openai_v1"),
        api_key=emulator.key_of("openai_v1"),
        max_retries=0,
        timeout=SECONDS,
        default_headers={"x-phi-scope": scope},
    )


def test_an_answer_is_there_as_soon_as_it_was_read(emulator: Emulator) -> None:
    with openai_of(emulator, "whole") as client:
        answer = client.chat.completions.create(
            model="phi", messages=[{"role": "user", "content": "six"}], max_tokens=20, seed=7
        )
        [entry] = emulator.journal.exchanges(scope="whole")
    assert (entry.ending, entry.status, entry.error_code, entry.fault) == ("answered", 200, None, None)
    assert (entry.surface, entry.deployment, entry.streamed) == ("openai_v1", "phi", False)
    assert answer.usage is not None
    assert entry.usage is not None
    assert (entry.usage.prompt, entry.usage.completion) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert entry.finish_reason == answer.choices[0].finish_reason == "stop"
    assert (entry.sampling["budget"], entry.sampling["seed"]) == (20, 7)
    assert emulator.journal.find(entry.id) == entry
    assert entry.texts is None
    assert "six" not in repr(entry) + str(entry)
