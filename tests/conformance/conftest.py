"""Emulators on real sockets for foreign clients: a scripted one for each module, one with the bundled model for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

from tests.together.conftest import REASONED, Gate, Running

CONTEXT_TOKENS = 256
MAX_BODY_BYTES = 4096

Start = Callable[..., Running]
"""Starts an emulator with these settings, which runs to the end of the test."""


@pytest.fixture(scope="session")
def bundled() -> Iterator[Emulator]:
    """An emulator with the bundled model."""
    with Emulator(EmulatorConfig(port=0)) as emulator:
        yield emulator


def is_idle_after_a_step(running: Running) -> bool:
    """Let a held engine take one step; true when nothing runs on it."""
    running.gate.allow(1)
    return bool(running.status()["running"] == 0)


@contextmanager
def serving(*, context_tokens: int = CONTEXT_TOKENS, **config: Any) -> Iterator[Running]:
    """A scripted emulator with these settings, which stops whatever its engine is waiting for."""
    gate = Gate()
    engine = ScriptedEngine(lambda _: REASONED, before_step=gate, context_length=context_tokens)
    settings: dict[str, Any] = {"port": 0, "max_body_bytes": MAX_BODY_BYTES} | config
    with ExitStack() as cleanup:
        emulator = Emulator(EmulatorConfig(**settings), make_engine=lambda: engine).start()
        cleanup.callback(emulator.stop, drain_seconds=0)
        running = Running(emulator, engine, gate)
        cleanup.callback(running.http.close)
        cleanup.callback(gate.allow)
        yield running


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts scripted emulators for one test."""
    with ExitStack() as cleanup:
        yield lambda **config: cleanup.enter_context(serving(**config))


@pytest.fixture(scope="module")
def scripted() -> Iterator[Running]:
    """An emulator whose content filter knows `phi-filter-violence`."""
    with serving(content_filter="default") as running:
        yield running


@pytest.fixture(scope="module")
def older() -> Iterator[Running]:
    """An emulator with the older container behind managed compute."""
    with serving(image="older") as running:
        yield running


@pytest.fixture
def gate(scripted: Running) -> Iterator[Gate]:
    """Holds the engine of `scripted` still for one test."""
    scripted.gate.close()
    yield scripted.gate
    scripted.gate.allow()
