"""Real emulators on real sockets, with an engine that a test can hold still and let go step by step."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.protocol import Engine, Message
from phi_emulator.engine.scripted import ScriptedEngine

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock

DEADLINE_S = 60.0
"""Long enough for a machine that is busy with other things."""
REASONED = "<think>6 times 7</think>The answer is \\boxed{42}."


class Gate:
    """Lets an engine take so many steps and no more; open at first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._allowed: float = float("inf")
        self.waiting = False
        """True while the engine waits for leave to take a step."""

    def close(self) -> None:
        with self._changed:
            self._allowed = 0

    def allow(self, steps: float = float("inf")) -> None:
        with self._changed:
            self._allowed += steps
            self._changed.notify_all()

    def __call__(self) -> None:
        with self._changed:
            self.waiting = self._allowed < 1
            self._changed.wait_for(lambda: self._allowed >= 1)
            self.waiting = False
            self._allowed -= 1


@dataclass
class Running:
    """An emulator with what a test may want to touch."""

    emulator: Emulator
    engine: ScriptedEngine
    gate: Gate
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.emulator.key}"}
        self.http = httpx.Client(
            base_url=self.emulator.root, headers=headers, timeout=DEADLINE_S, trust_env=False
        )

    def status(self) -> dict[str, Any]:
        return dict(self.http.get("/_emulator/status").json())

    def refuses_connections(self) -> bool:
        """True once the emulator accepts no more connections."""
        url = httpx.URL(self.emulator.root)
        try:
            socket.create_connection((url.host, url.port or 0), timeout=5).close()
        except OSError:
            return True
        return False


class StartEmulator(Protocol):
    """Starts an emulator that is stopped after the test."""

    def __call__(
        self,
        reply: Callable[[Sequence[Message]], str] | str = REASONED,
        *,
        engine: dict[str, Any] | None = None,
        wrap: Callable[[ScriptedEngine], Engine] = ...,
        clock: Clock = ...,
        **config: Any,
    ) -> Running: ...


def eventually(holds: Callable[[], object]) -> None:
    """Return as soon as the condition holds; fail at the deadline."""
    tick = threading.Event()
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end, "the condition did not come true"
        tick.wait(0.005)


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], object]], None]:
    return eventually


@pytest.fixture
def start_emulator() -> Iterator[StartEmulator]:
    """Starts emulators; each stops at the end, whatever its engine is waiting for."""
    with ExitStack() as cleanup:

        def start(
            reply: Callable[[Sequence[Message]], str] | str = REASONED,
            *,
            engine: dict[str, Any] | None = None,
            wrap: Callable[[ScriptedEngine], Engine] = lambda scripted: scripted,
            clock: Clock = SYSTEM_CLOCK,
            **config: Any,
        ) -> Running:
            gate = Gate()
            answer = reply if callable(reply) else lambda _messages: str(reply)
            scripted = ScriptedEngine(answer, before_step=gate, **(engine or {}))
            emulator = Emulator(
                EmulatorConfig(**{"port": 0} | config), make_engine=lambda: wrap(scripted), clock=clock
            ).start()
            cleanup.callback(emulator.stop, drain_seconds=0)
            running = Running(emulator, scripted, gate)
            cleanup.callback(running.http.close)
            cleanup.callback(gate.allow)
            return running

        yield start


@pytest.fixture
def running(start_emulator: StartEmulator) -> Running:
    """An emulator with the default settings on a free port."""
    return start_emulator()


class Command:
    """`phi-emulator` as a process of its own, with a scripted engine that takes the steps that are allowed."""

    def __init__(self, *arguments: str, free: bool = False, **environ: str) -> None:
        steps, self._allow = os.pipe()
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PHI_")
        } | environ
        if not free:
            environment["STEPS_FD"] = str(steps)
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("scripted_emulator.py")), *arguments],
            env=environment,
            pass_fds=[steps],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Without a terminal, which would deliver Ctrl-C by itself; and to end with all its children.
            start_new_session=True,
        )
        os.close(steps)

    def allow(self, steps: int) -> None:
        os.write(self._allow, b"." * steps)

    def stderr_line(self, beginning: str) -> str:
        """Read on until the line that begins so; what stands before it is dropped."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith(beginning):
                return line.strip()
        raise AssertionError(f"no line begins with {beginning!r}")

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: exit status, rest of stdout and of stderr."""
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err

    def close(self) -> None:
        os.close(self._allow)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def command() -> Iterator[Callable[..., Command]]:
    """Starts `phi-emulator` processes."""
    with ExitStack() as cleanup:

        def start(*arguments: str, free: bool = False, **environ: str) -> Command:
            made = Command(*arguments, free=free, **environ)
            cleanup.callback(made.close)
            return made

        yield start
