"""The two processes that are compared, each with the model loaded: a bare engine, and an emulator.

They must not know what is measured. Each is started anew and asked over a pipe, so that the one that measures shares
neither its interpreter lock nor its memory with them.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from phi_emulator.config import EmulatorConfig
from phi_emulator.emulator import Emulator, find_model
from phi_emulator.engine.protocol import Engine, Message, Sampling

__all__ = ["Conversation", "RawEngine", "ServingProcess", "Timing"]

_PATIENCE_S: Final = 30.0
_WATCH, _TELL = "watch", "tell"
_BEAT_S: Final = 0.002
"""Seconds between two looks at the event loop's delay. It rounds them up to the next millisecond itself."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one conversation asks: the same for both sides, token by token."""

    text: str
    max_tokens: int
    seed: int
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """How long conversations took that began at the same time."""

    first_s: float
    """Until the first token of any."""
    tokens_a_second: float
    """Of all together, from the question to the last token: a token without text doesn't show when it comes."""


class _Child:
    """A process that answers over a pipe; a context manager."""

    def __init__(self, work: Any, config: EmulatorConfig) -> None:
        # Spawned, not forked: the native engine has threads.
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=work, args=(other, config), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.told = self._receive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._pipe.send(None)
        self._process.join(_PATIENCE_S)
        self._process.kill()

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError("a process of the benchmark ended by itself; its words are above") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self, question: Any) -> Any:
        self._pipe.send(question)
        return self._receive()

    @property
    def resident_bytes(self) -> int | None:
        """Memory that the process holds now, where the system tells."""
        with suppress(OSError, StopIteration, ValueError):
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
            line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            return int(line.split()[1]) * 1024
        return None


class RawEngine(_Child):
    """The engine in a process of its own, driven by hand: no thread, queue, HTTP or stream around it."""

    def __init__(self, config: EmulatorConfig) -> None:
        super().__init__(_drive, config)

    def run(self, conversations: Sequence[Conversation]) -> Timing:
        """Run all at once, to their ends."""
        timing: Timing = self.ask(list(conversations))
        return timing


class ServingProcess(_Child):
    """An emulator in a process of its own."""

    def __init__(self, config: EmulatorConfig) -> None:
        super().__init__(_serve, config)

    @property
    def endpoint(self) -> str:
        return str(self.told["endpoint"])

    @property
    def key(self) -> str:
        return str(self.told["key"])

    def watch_delays(self) -> None:
        """Begin to note by how much the event loop is late."""
        self.ask(_WATCH)

    def delays_s(self) -> list[float]:
        """End it; what was noted, in seconds."""
        delays: list[float] = self.ask(_TELL)
        return delays


def _serve(pipe: Connection, config: EmulatorConfig) -> None:
    # It warns of bytes for callers that have hung up, of whom there are to be hundreds.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        with Emulator(config) as emulator:
            pipe.send({"endpoint": emulator.root, "key": emulator.config.key})
            delays: list[float] = []
            watching: Future[None] | None = None
            while (question := pipe.recv()) is not None:
                if watching is not None:
                    watching.cancel()
                if question == _WATCH:
                    delays = []
                    watching = asyncio.run_coroutine_threadsafe(_note_delays(delays), emulator.event_loop)
                pipe.send(delays)
    except Exception as error:  # noqa: BLE001 - whoever started this process must say it
        pipe.send(RuntimeError(str(error)))


async def _note_delays(delays: list[float]) -> None:
    """Ask to be woken again and again; what is late is what else the loop, or the interpreter lock, was busy with."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_BEAT_S)
        delays.append(time.perf_counter() - began - _BEAT_S)


def _drive(pipe: Connection, config: EmulatorConfig) -> None:
    try:
        engine = find_model(config)[1]()
    except Exception as error:  # noqa: BLE001 - as above
        pipe.send(RuntimeError(str(error)))
        return
    pipe.send("ready")
    number = 0
    while (conversations := pipe.recv()) is not None:
        pipe.send(_time(engine, number, conversations))
        number += len(conversations)
    engine.close()


def _time(engine: Engine, number: int, conversations: Sequence[Conversation]) -> Timing:
    began = time.perf_counter()
    waiting = list(enumerate(conversations, number))
    first, last, tokens, running = 0.0, 0.0, 0, 0
    while waiting or running:
        while waiting and running < engine.info.max_running:
            which, one = waiting.pop(0)
            sampling = Sampling(one.max_tokens, one.temperature, 1.0, one.seed)
            engine.open(which, engine.encode([Message("user", one.text)]), sampling)
            running += 1
        for step in engine.step():
            if step.token is not None:
                last = time.perf_counter()
                first = first or last
                tokens += 1
            if step.end is not None:
                engine.release(step.sequence)
                running -= 1
    return Timing(first - began, tokens / (last - began))
