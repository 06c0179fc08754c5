"""The thread that owns the engine, and the bridge from it to asyncio.

    new ──start()──► loading ──► serving ──stop()──► stopped
                        │            │
                        │            └─ engine breaks ─► every request fails; stopped
                        └─ can't load ─► stopped, start() raises

Knows threads, the scheduler and the engine protocol; knows nothing of HTTP or Azure. Everything that the native engine
must hear from its own thread goes through here, between two steps: so a cancelled sequence is gone before the next.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

from phi_emulator.engine.base import (
    EndReason,
    Engine,
    EngineError,
    EngineFailedError,
    EngineInfo,
    EngineStoppedError,
    GuidanceError,
    Message,
    PromptTooLongError,
    QueueFullError,
    QueueTimeoutError,
    Sampling,
    Step,
)
from phi_emulator.engine.checks import Checks, run_checks
from phi_emulator.engine.generation import Generation, Outcome
from phi_emulator.engine.scheduler import Scheduler
from phi_emulator.engine.text import StopStrings, TextMachine

__all__ = ["Counts", "Worker", "WorkerStatus"]

logger = logging.getLogger("phi_emulator.engine")


class WorkerStatus(NamedTuple):
    """How the engine is, and how busy."""

    is_broken: bool
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the requests so far, and how many tokens they took."""

    ended: int = 0
    cancelled: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    """Prompt tokens that were not computed, because a request before had begun with them."""
    completion_tokens: int = 0
    drafted_tokens: int = 0
    """Tokens that were proposed to be checked several at a time."""
    accepted_tokens: int = 0
    """Those of them that the model gave as well: steps that were saved."""
    steps: int = 0
    """Steps that the model has begun: tokens of answers, or chunks of prompts, of all that run together."""


@dataclass(slots=True)
class _Sequence:
    generation: Generation
    prompt: Sequence[int]
    sampling: Sampling
    machines: Sequence[TextMachine]
    since: float
    is_running: bool = field(default=False)
    completion_tokens: int = field(default=0)
    drafted_tokens: int = field(default=0)
    accepted_tokens: int = field(default=0)


class Worker:
    """Runs an engine on a thread of its own and serves any number of event loops.

    `make_engine` is called on that thread. At most `queue_size` requests wait, each for `queue_seconds` at most;
    further ones are refused. `clock` tells seconds.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        *,
        queue_size: int = 64,
        queue_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue_seconds = queue_seconds
        self._clock = clock
        self._counts = Counts()
        self._steps = 0
        self._make_engine = make_engine
        self._queue_size = queue_size
        self._loaded: Future[Engine] = Future()
        self._thread = threading.Thread(target=self._run, name="phi-emulator-engine", daemon=True)
        self._numbers = count(1)
        # Guards the scheduler, the sequences and the two fields below it; the engine itself is the
        # thread's alone.
        self._changed = threading.Condition()
        self._sequences: dict[int, _Sequence] = {}
        self._cancelled: list[int] = []
        self._checks = Checks()
        self._stopping = False
        self._broken = False
        self._scheduler: Scheduler

    def start(self) -> EngineInfo:
        """Load the model; return when it can serve.

        Raises:
            ModelLoadError: it can't be loaded.
        """
        self._thread.start()
        return self._loaded.result().info

    def stop(self) -> None:
        """Fail what is still running or waiting, free the model and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def info(self) -> EngineInfo:
        """What answers; available once started."""
        return self._loaded.result().info

    @property
    def status(self) -> WorkerStatus:
        """How the engine is now."""
        with self._changed:
            return WorkerStatus(self._broken, self._scheduler.running, self._scheduler.waiting)

    @property
    def counts(self) -> Counts:
        """What became of the requests so far."""
        return replace(self._counts, steps=self._steps)

    async def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's token ids, worked out beside the event loop.

        Raises:
            PromptError: the chat template refuses the messages.
        """
        return await asyncio.to_thread(self._loaded.result().encode, messages)

    async def check_guidance(self, grammar: str) -> None:
        """See between two steps whether the engine can follow a grammar.

        Raises:
            GuidanceError: it can't.
            EngineStoppedError: the worker is stopping.
        """
        with self._changed:
            if self._stopping:
                raise EngineStoppedError("the engine is stopping")
            checked = self._checks.add(grammar)
            self._changed.notify()
        await asyncio.wrap_future(checked)

    def submit(
        self, prompt: Sequence[int], sampling: Sampling, *, watch: TextMachine | None = None
    ) -> Generation:
        """Queue a prompt; call from the event loop that will read the answer.

        `watch` sees the text on the worker's thread, after the stop strings, and may change or end it.

        Raises:
            PromptTooLongError: prompt and `max_tokens` don't fit the context.
            QueueFullError: too many requests are waiting.
            EngineFailedError: the engine broke down before.
            EngineStoppedError: the worker is stopping.
        """
        tokens = len(prompt) + sampling.max_tokens
        if tokens > self.info.context_length or sampling.max_tokens < 1:
            raise PromptTooLongError(len(prompt), self.info.context_length)
        sequence = next(self._numbers)
        generation = Generation(sequence, self._cancel)
        machines = (StopStrings(sampling.stop), *(() if watch is None else (watch,)))
        with self._changed:
            if self._broken:
                raise EngineFailedError("the engine broke down")
            if self._stopping:
                raise EngineStoppedError("the engine is stopping")
            try:
                self._scheduler.submit(sequence, tokens)
            except QueueFullError:
                self._count(refused=1)
                raise
            self._sequences[sequence] = _Sequence(generation, prompt, sampling, machines, self._clock())
            self._changed.notify()
        return generation

    def _cancel(self, sequence: int) -> None:
        with self._changed:
            if sequence in self._sequences:
                self._cancelled.append(sequence)
                self._changed.notify()

    # What follows runs on the worker's thread.

    def _run(self) -> None:
        engine: Engine | None = None
        try:
            engine = self._make_engine()
            self._scheduler = Scheduler(engine.info, self._queue_size)
        except BaseException as error:  # noqa: BLE001 - whatever it is, start() must raise it on the caller's thread
            self._loaded.set_exception(error)
            return
        self._loaded.set_result(engine)
        try:
            while self._turn(engine):
                pass
        finally:
            self._fail_all(EngineStoppedError("the engine has stopped"))
            engine.close()

    def _turn(self, engine: Engine) -> bool:
        """Take in what changed, then run one step. False once the worker is to stop."""
        with self._changed:
            while not (self._stopping or self._cancelled or self._sequences or self._checks):
                self._changed.wait()
            if self._stopping:
                return False
            checks = self._checks.take()
            cancelled = self._forget_the_cancelled()
            self._refuse_the_late()
            admitted = [(sequence, self._sequences[sequence]) for sequence in self._scheduler.admit()]
            for _, state in admitted:
                state.is_running = True
            running = self._scheduler.running > 0
            self._steps += running
        run_checks(engine, checks)
        try:
            for sequence in cancelled:
                engine.release(sequence)
            for sequence, state in admitted:
                self._open(engine, sequence, state)
            if running:
                for step in engine.step():
                    self._deliver(engine, step)
        except Exception:
            logger.exception(
                "the engine broke down: running requests fail, and so will others until the emulator is restarted"
            )
            with self._changed:
                self._broken = self._stopping = True  # it is not trusted with further requests
            self._fail_all(EngineFailedError("the engine broke down"))
        return True

    def _forget_the_cancelled(self) -> list[int]:
        """Strike them from the books; with the lock held. The engine is told afterwards."""
        cancelled, self._cancelled = self._cancelled, []
        for sequence in cancelled:
            if self._sequences.pop(sequence, None) is not None:
                self._count(cancelled=1)
            self._scheduler.finish(sequence)
        return cancelled

    def _refuse_the_late(self) -> None:
        """Turn away what has waited too long. Between two steps is often enough: nothing waits while nothing runs."""
        if self._queue_seconds is None:
            return
        latest = self._clock() - self._queue_seconds
        late = [
            number
            for number, state in self._sequences.items()
            if not state.is_running and state.since <= latest
        ]
        for number in late:
            error = QueueTimeoutError(self._queue_seconds, self._scheduler.retry_after_s)
            self._scheduler.finish(number)
            self._sequences.pop(number).generation.send(error)
            self._count(refused=1)

    def _count(self, **more: int) -> None:
        """Add to the counts; with the lock held."""
        self._counts = replace(
            self._counts, **{name: getattr(self._counts, name) + n for name, n in more.items()}
        )

    def _deliver(self, engine: Engine, step: Step) -> None:
        state = self._sequences.get(step.sequence)
        if state is None:
            return
        if step.error is not None:
            engine.release(step.sequence)
            self._drop(step.sequence, step.error)
            return
        state.completion_tokens += step.token is not None
        state.drafted_tokens += step.drafted_tokens
        state.accepted_tokens += step.accepted_tokens
        text, end = step.text, step.end
        for machine in state.machines:
            text = machine.feed(text)
            if machine.stopped:
                end = EndReason.STOP
            if end is not None:
                text += machine.flush()
        if text:
            state.generation.send(text)
        if end is not None:
            engine.release(step.sequence)
            with self._changed:
                self._sequences.pop(step.sequence, None)
                self._scheduler.finish(step.sequence)
                self._count(
                    ended=1,
                    prompt_tokens=len(state.prompt),
                    cached_prompt_tokens=step.cached_prompt_tokens,
                    completion_tokens=state.completion_tokens,
                    drafted_tokens=state.drafted_tokens,
                    accepted_tokens=state.accepted_tokens,
                )
            outcome = Outcome(end, len(state.prompt), state.completion_tokens, step.cached_prompt_tokens)
            state.generation.send(outcome)

    def _open(self, engine: Engine, sequence: int, state: _Sequence) -> None:
        try:
            engine.open(sequence, state.prompt, state.sampling)
        except GuidanceError as error:
            self._drop(sequence, error)

    def _drop(self, sequence: int, error: EngineError) -> None:
        """End one sequence with an error; the others go on."""
        with self._changed:
            state = self._sequences.pop(sequence)
            self._scheduler.finish(sequence)
            self._count(refused=1)
        state.generation.send(error)

    def _fail_all(self, error: EngineError) -> None:
        with self._changed:
            sequences, self._sequences = self._sequences, {}
            for sequence in sequences:
                self._scheduler.finish(sequence)
            self._checks.fail(error)
        for state in sequences.values():
            state.generation.send(error)
