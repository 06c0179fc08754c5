"""The thread that owns the engine, and the bridge from it to asyncio.

    new ──start()──► loading ──► serving ──stop()──► stopped
                        │          │   ▲
                        │          │   └─ engine breaks ─► those that run fail, it is loaded again; at most so
                        │          │                       often, then every request fails
                        └─ can't load ─► stopped, start() raises

Knows threads, the scheduler and the engine protocol; knows nothing of HTTP or Azure. Everything that the native engine
must hear from its own thread goes through here, between two steps: so a cancelled sequence is gone before the next.
What is one sequence's fault ends that one; see `Engine` for how the two are told apart.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Final, TypeVar

from phi_client.contract.clock.base import SYSTEM_CLOCK
from phi_emulator.engine.errors import (
    EngineError,
    EngineFailedError,
    EngineStoppedError,
    PromptTooLongError,
    QueueFullError,
    QueueTimeoutError,
    SequenceError,
)
from phi_emulator.engine.protocol import Engine, EngineInfo, Message, Sampling, Step
from phi_emulator.engine.serving.bookkeeping import Books, SequenceState
from phi_emulator.engine.serving.calls import Call
from phi_emulator.engine.serving.delivery import Deliveries
from phi_emulator.engine.serving.generation import Generation, Piece
from phi_emulator.engine.serving.lanes import SMALL, Lanes
from phi_emulator.engine.serving.occupancy import view_of
from phi_emulator.engine.serving.restarts import MOST_RESTARTS, Restarts, trouble_of
from phi_emulator.engine.serving.source import Counts, EngineView, SourceStatus
from phi_emulator.engine.serving.text import StopStrings, TextMachine

__all__ = ["Worker"]

T = TypeVar("T")

logger = logging.getLogger("phi_emulator.engine")

_MOST_CALLS: Final = 64
"""Calls that may wait for their turn; cancelled sequences come on top, of which no more can be than run."""


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
        clock: Callable[[], float] = SYSTEM_CLOCK.now,
    ) -> None:
        self._queue_seconds = queue_seconds
        self._clock = clock
        self._steps = 0
        self._make_engine = make_engine
        self._loaded: Future[Engine] = Future()
        self._info: EngineInfo
        self._restarts = Restarts(clock)
        self._trouble = ""
        self._is_reloading = False
        self._lanes = Lanes()
        self._thread = threading.Thread(target=self._run, name="phi-emulator-engine", daemon=True)
        self._numbers = count(1)
        # Guards the books and the fields below them; the engine itself is the thread's alone.
        self._changed = threading.Condition()
        self._books = Books(queue_size)
        self._calls: deque[Callable[[Engine], None]] = deque()
        self._deliveries = Deliveries()
        self._stopping = False
        self._broken = False

    def start(self) -> EngineInfo:
        """Load the model; return when it can serve.

        Raises:
            ModelLoadError: it can't be loaded.
        """
        self._thread.start()
        return self._loaded.result().info  # what it raises is for the caller

    def stop(self) -> None:
        """Fail what is still running or waiting, free the model and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._lanes.close()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def info(self) -> EngineInfo:
        """What answers; available once started."""
        return self._info

    @property
    def status(self) -> SourceStatus:
        """How the engine is now."""
        with self._changed:
            load = self._books.running, self._books.waiting
            return SourceStatus(self._broken, *load, self._is_reloading, self._restarts.total, self._trouble)

    @property
    def counts(self) -> Counts:
        """What became of the requests so far."""
        return replace(self._books.counts, steps=self._steps)

    @property
    def view(self) -> EngineView:
        """Who runs and who waits now."""
        with self._changed:
            states = self._books.states
        return view_of(states, self._info)

    async def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's token ids, worked out beside the event loop unless it is short; none waits behind longer ones.

        Raises:
            EngineError: as `Engine.encode` raises it, or because the engine is not there any more.
        """
        size = sum(len(text) for message in messages for text in message)
        if size <= SMALL and self._loaded.done():
            return self._engine().encode(messages)
        return await self._lanes.run(size, lambda: self._engine().encode(messages))

    async def check_guidance(self, grammar: str) -> None:
        """See whether the engine can follow a grammar, beside those that run; one that it took lately waits for none.

        Raises:
            GuidanceError: it can't.
            QueueTimeoutError: others' grammars took too long.
            EngineStoppedError: the worker is stopping.
        """
        self._engine_is_there()
        await self._lanes.run_once(grammar, lambda: self._engine().check_guidance(grammar))

    def submit(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        watch: TextMachine | None = None,
        received: float | None = None,
    ) -> Generation:
        """Queue a prompt; call from the event loop that will read the answer.

        `watch` sees the text on the worker's thread, after the stop strings, and may change or end it. `received` is
        when the request came in, by the worker's clock; without it that is now.

        Raises:
            PromptTooLongError: prompt and `max_tokens` don't fit the context.
            QueueFullError: too many requests are waiting.
            EngineFailedError: the engine broke down before.
            EngineStoppedError: the worker is stopping.
        """
        if len(prompt) + sampling.max_tokens > self.info.context_length or sampling.max_tokens < 1:
            raise PromptTooLongError(len(prompt), self.info.context_length)
        sequence = next(self._numbers)
        stops = [StopStrings(sampling.stop)] if sampling.stop else []
        machines = [*stops, *([] if watch is None else [watch])]
        now = self._clock()
        with self._changed:
            self._engine_is_there()
            generation = Generation(sequence, self._cancel, self._deliveries.here())
            state = SequenceState(
                generation, prompt, sampling, machines, now if received is None else received, queued=now
            )
            self._books.take_in(sequence, state)
            self._changed.notify()
        return generation

    async def call(self, work: Callable[[Engine], T]) -> T:
        """What `work` returns, or raises, when it is called with the engine on its thread, between two steps.

        All others wait meanwhile. What it raises is the caller's alone, but for an `EngineFailedError`, which says that
        the engine is broken. Whoever doesn't wait any more before its turn is not served.

        Raises:
            QueueFullError: too many wait for their turn.
            EngineFailedError: the engine broke down, and is perhaps being loaded again.
            EngineStoppedError: the worker is stopping, or has stopped before its turn.
        """
        with self._changed:
            self._engine_is_there()
            if self._is_reloading:
                raise EngineFailedError("the engine broke down and is being loaded again")
            if len(self._calls) >= _MOST_CALLS:
                raise QueueFullError(len(self._calls), 1)
            call = Call(work)
            self._calls.append(call)
            self._changed.notify()
        return await asyncio.wrap_future(call.done)

    def _cancel(self, sequence: int) -> None:
        with self._changed:
            state = self._books.find(sequence)
            if state is None:
                return
            if state.is_running:
                self._calls.append(lambda engine: self._let_go(engine, sequence))
                self._changed.notify()
            else:
                self._books.forget(sequence, cancelled=1)

    def _engine_is_there(self) -> None:
        if self._broken:
            raise EngineFailedError("the engine broke down")
        if self._stopping:
            raise EngineStoppedError("the engine is stopping")

    def _engine(self) -> Engine:
        """The engine, waited for while it is loaded again; not for the event loop."""
        self._engine_is_there()
        return self._loaded.result()

    # What follows runs on the worker's thread.

    def _run(self) -> None:
        try:
            first = self._make_engine()
            self._info = first.info
            self._books.begin(first.info)
        except BaseException as error:  # noqa: BLE001 - whatever it is, start() must raise it on the caller's thread
            self._loaded.set_exception(error)
            return
        self._loaded.set_result(first)
        engine: Engine | None = first
        while engine is not None:
            trouble = self._serve(engine)
            if not trouble:
                self._fail(EngineStoppedError("the engine has stopped"))
            with suppress(Exception):  # a broken one may refuse even this
                engine.close()
            engine = self._load_again(trouble) if trouble else None

    def _serve(self, engine: Engine) -> str:
        """Run it until the worker is to stop, or it breaks: then why."""
        try:
            while self._turn(engine):
                pass
        except Exception as error:  # noqa: BLE001 - whatever it is, this engine is not trusted any more
            trouble = trouble_of(error) or "no reason given"
        else:
            return ""
        with self._changed:
            self._loaded, self._is_reloading, self._trouble = Future(), True, trouble
        self._fail(EngineFailedError("the engine broke down"), running_only=True)
        return trouble

    def _load_again(self, trouble: str) -> Engine | None:
        """A new engine in the place of one that broke; None where it breaks too often, or the worker is to stop."""
        while not self._stopping and self._restarts.may_try():
            logger.error(
                "the engine broke down (%s): what was running fails, and it is loaded again; this is done at most %d "
                "times in ten minutes",
                trouble,
                MOST_RESTARTS,
            )
            try:
                engine = self._make_engine()
            except Exception as error:  # noqa: BLE001 - it is tried as often as it may be
                trouble = f"it can't be loaded again: {trouble_of(error)}"
                with self._changed:
                    self._trouble = trouble
                continue
            with self._changed:
                self._take_over(engine)
            return engine
        if not self._stopping:
            logger.error(
                "the engine broke down (%s): it answers nothing until the emulator is restarted", trouble
            )
        with self._changed:
            self._broken = not self._stopping
            self._is_reloading, self._stopping = False, True
        failed = EngineFailedError("the engine broke down")
        self._loaded.set_exception(failed)
        self._fail(failed)
        return None

    def _take_over(self, engine: Engine) -> None:
        """Let those that were waiting wait for another engine; with the lock held."""
        self._info, self._is_reloading = engine.info, False
        for state in self._books.begin(engine.info):  # there is less memory than there was
            state.generation.send(PromptTooLongError(len(state.prompt), engine.info.context_length))
        self._loaded.set_result(engine)

    def _turn(self, engine: Engine) -> bool:
        """Do what was asked for, take in what changed, then run one step. False once the worker is to stop."""
        for _ in range(0 if self._stopping else len(self._calls)):
            self._calls.popleft()(engine)
        with self._changed:
            while not (self._stopping or self._calls or self._books):
                self._changed.wait()
            if self._stopping:
                return False
            self._refuse_the_late()
            admitted = self._books.admit()
            for _, state in admitted:
                state.progress.admitted = self._clock()
            running = self._books.running > 0
            self._steps += running
        for sequence, state in admitted:
            self._open(engine, sequence, state)
        if running:
            for step in engine.step():
                self._deliver(engine, step)
        return True

    def _let_go(self, engine: Engine, sequence: int) -> None:
        """End a running sequence that nobody waits for any more."""
        with self._changed:
            state = self._books.forget(sequence)
        if state is not None:  # it may have ended meanwhile
            cached = engine.release(sequence)
            with self._changed:
                self._books.count(cancelled=1, **state.tokens(cached))

    def _refuse_the_late(self) -> None:
        """Turn away what has waited too long. Between two steps is often enough: nothing waits while nothing runs."""
        if self._queue_seconds is None:
            return
        for sequence in self._books.late(self._clock() - self._queue_seconds):
            error = QueueTimeoutError(self._queue_seconds, self._books.retry_after_s)
            if (state := self._books.forget(sequence, refused=1)) is not None:
                state.generation.send(error)

    def _deliver(self, engine: Engine, step: Step) -> None:
        state = self._books.find(step.sequence)
        if state is None:
            return
        if step.token is not None:
            progress = state.progress
            progress.completion_tokens += 1
            if progress.first_token is None:
                progress.first_token = self._clock()
        state.drafted_tokens += step.drafted_tokens
        state.accepted_tokens += step.accepted_tokens
        try:
            text, end = state.show(step)
        except Exception as error:  # noqa: BLE001 - what can't read this text says nothing of the others'
            step = step._replace(error=SequenceError(f"its text can't be read: {trouble_of(error)}"))
            text, end = "", None
        if step.error is not None:
            engine.release(step.sequence)
            self._drop(step.sequence, step.error)
            return
        if text:
            state.generation.send(Piece(text, state.progress.completion_tokens))
        if end is not None:
            cut = engine.release(step.sequence)
            cached = cut if step.end is None else step.cached_prompt_tokens
            with self._changed:
                self._books.forget(step.sequence, ended=1, **state.tokens(cached))
            state.generation.send(state.outcome(end, cached, self._clock()))

    def _open(self, engine: Engine, sequence: int, state: SequenceState) -> None:
        try:
            engine.open(sequence, state.prompt, state.sampling)
        except EngineFailedError:
            raise
        except EngineError as error:
            self._drop(sequence, error)

    def _drop(self, sequence: int, error: EngineError) -> None:
        """End one sequence with an error; the others go on."""
        with self._changed:
            state = self._books.forget(sequence, refused=1)
        if state is not None:
            state.generation.send(error)

    def _fail(self, error: EngineError, *, running_only: bool = False) -> None:
        with self._changed:
            failed, calls = self._books.strike(running_only=running_only), self._calls
            self._calls = deque()
        for state in failed:
            state.generation.send(error)
        for call in calls:
            if isinstance(call, Call):
                call.fail(error)
