"""Alive is not ready: what the two routes say while a model loads, once it answers, and where it never will."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig, EmulatorError
from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.protocol import Engine
from phi_emulator.engine.scripted import ScriptedEngine

SECONDS = 20
CHAT = {"messages": [{"role": "user", "content": "six"}]}


@dataclass
class Load:
    """An engine that loads until it is let go, and whether it then comes."""

    begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)
    fails: bool = False

    def __call__(self) -> Engine:
        self.begun.set()
        assert self.may_end.wait(SECONDS)
        if self.fails:
            raise ModelLoadError("no such model")
        return ScriptedEngine(lambda _: "42")


@contextmanager
def starting(load: Load) -> Iterator[tuple[Emulator, ThreadPoolExecutor]]:
    emulator = Emulator(EmulatorConfig(port=0), make_engine=load)
    with ThreadPoolExecutor(2) as pool:
        started = pool.submit(emulator.start)
        try:
            assert load.begun.wait(SECONDS)
            yield emulator, pool
        finally:
            load.may_end.set()
            if load.fails:
                with pytest.raises(EmulatorError, match="no such model"):
                    started.result(SECONDS)
            else:
                started.result(SECONDS).stop(drain_seconds=0)


def ask(emulator: Emulator, path: str) -> tuple[int, object]:
    answer = httpx.get(f"{emulator.root}/_emulator/{path}", trust_env=False, timeout=SECONDS)
    return answer.status_code, answer.json()["status"]


def test_while_a_model_loads_the_emulator_lives_and_is_not_ready_and_a_question_waits() -> None:
    load = Load()
    with starting(load) as (emulator, pool):
        assert ask(emulator, "live") == (200, "live")
        assert ask(emulator, "ready") == (503, "loading")
        key = {"Authorization": f"Bearer {emulator.key}"}
        url = f"{emulator.root}/chat/completions"
        asked = pool.submit(lambda: httpx.post(url, json=CHAT, headers=key, trust_env=False, timeout=SECONDS))
        assert ask(emulator, "ready") == (503, "loading")
        assert not asked.done()
        load.may_end.set()
        assert asked.result(SECONDS).json()["choices"][0]["message"]["content"] == "42"
        assert ask(emulator, "live") == (200, "live")
        assert ask(emulator, "ready") == (200, "ready")


def test_who_waited_for_a_model_that_does_not_come_is_refused_and_the_port_is_free() -> None:
    load = Load(fails=True)
    with starting(load) as (emulator, pool):
        url = f"{emulator.root}/info"
        asked = pool.submit(lambda: httpx.get(url, trust_env=False, timeout=SECONDS))
        while not asked.running():
            pass
        assert ask(emulator, "ready") == (503, "loading")
        load.may_end.set()
        # Refused, or never taken up where the end came first.
        with suppress(httpx.TransportError):
            assert asked.result(SECONDS).status_code == 503
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_neither_route_needs_a_key_or_takes_another_method() -> None:
    with Emulator(EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: "42")) as emulator:
        for path in ("live", "ready"):
            assert ask(emulator, path)[0] == 200
            answer = httpx.post(f"{emulator.root}/_emulator/{path}", trust_env=False)
            assert answer.status_code == 405
