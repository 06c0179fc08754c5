"""The worker: real threads, real event loops, and an engine that stands still when a test says so."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from phi_emulator.engine.errors import (
    EngineStoppedError,
    ModelLoadError,
    PromptTooLongError,
    QueueFullError,
    QueueTimeoutError,
)
from phi_emulator.engine.protocol import EndReason, Engine, Message, Sampling
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.generation import Generation
from phi_emulator.engine.serving.worker import Worker

from tests.together.conftest import eventually

MESSAGES = [Message("user", "What is 17 * 24?")]
SAMPLING = Sampling(max_tokens=400, temperature=0)


@contextmanager
def serving(make_engine: Callable[[], Engine], *, queue_size: int = 8) -> Iterator[Worker]:
    worker = Worker(make_engine, queue_size=queue_size)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


class Gate:
    """Lets the engine run one step for each `allow()`."""

    def __init__(self) -> None:
        self._steps = threading.Semaphore(0)
        self._open = False

    def __call__(self) -> None:
        if not self._open:
            assert self._steps.acquire(timeout=30), "the test forgot to let the engine run"

    def allow(self, steps: int = 1) -> None:
        self._steps.release(steps)

    def open(self) -> None:
        self._open = True
        self._steps.release()


def say(text: str) -> Callable[[Sequence[Message]], str]:
    return lambda messages: text


async def text_of(generation: Generation) -> str:
    return "".join([piece async for piece in generation])


def test_text_and_real_counts_come_from_both_engines(make_engine: Callable[[], Engine]) -> None:
    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        generation = worker.submit(prompt, SAMPLING)
        text = await text_of(generation)
        assert text.endswith("\\boxed{408}.")
        assert generation.outcome is not None
        assert generation.outcome.reason is EndReason.STOP
        assert generation.outcome.prompt_tokens == len(prompt)
        assert 5 < generation.outcome.completion_tokens <= len(text)

    with serving(make_engine) as worker:
        asyncio.run(main(worker))


def test_a_stop_string_ends_the_text_before_itself_and_frees_the_engine(
    make_engine: Callable[[], Engine],
) -> None:
    async def main(worker: Worker) -> None:
        sampling = Sampling(max_tokens=400, temperature=0, stop=("think>The", "unseen"))
        generation = worker.submit(await worker.encode(MESSAGES), sampling)
        text = await text_of(generation)
        assert text.startswith("<think>")
        assert text.endswith("</")
        assert generation.outcome is not None
        assert generation.outcome.reason is EndReason.STOP
        assert worker.status[:3] == (False, 0, 0)

    with serving(make_engine) as worker:
        asyncio.run(main(worker))


def test_many_requests_at_once_all_end(make_engine: Callable[[], Engine]) -> None:
    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        texts = await asyncio.gather(*(text_of(worker.submit(prompt, SAMPLING)) for _ in range(30)))
        assert len(set(texts)) == 1

    with serving(make_engine, queue_size=30) as worker:
        asyncio.run(main(worker))


def test_a_cancelled_request_is_released_before_the_next_step() -> None:
    gate = Gate()
    engine = ScriptedEngine(say("word " * 500), before_step=gate)

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        generation = worker.submit(prompt, SAMPLING)
        pieces = aiter(generation)
        gate.allow(2)
        await anext(pieces)
        await anext(pieces)  # the worker is in the gate before its third step now
        generation.cancel()
        gate.open()
        other = worker.submit(prompt, Sampling(max_tokens=3, temperature=0))
        await text_of(other)
        assert engine.released[0] == 1
        assert engine.steps <= 2 + 1 + 3

    with serving(lambda: engine) as worker:
        asyncio.run(main(worker))


def test_a_waiting_request_that_is_cancelled_never_runs() -> None:
    gate = Gate()
    engine = ScriptedEngine(say("word " * 5), max_running=1, before_step=gate)

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        first, second, third = (worker.submit(prompt, SAMPLING) for _ in range(3))
        second.cancel()
        gate.open()
        await text_of(first)
        await text_of(third)
        assert engine.released == [1, 3]

    with serving(lambda: engine) as worker:
        asyncio.run(main(worker))


def test_a_full_queue_refuses() -> None:
    gate = Gate()

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        running = worker.submit(prompt, SAMPLING)
        gate.allow()
        await anext(aiter(running))
        worker.submit(prompt, SAMPLING)
        with pytest.raises(QueueFullError):
            worker.submit(prompt, SAMPLING)
        gate.open()

    make = lambda: ScriptedEngine(say("word " * 5), max_running=1, before_step=gate)  # noqa: E731
    with serving(make, queue_size=1) as worker:
        asyncio.run(main(worker))


def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers() -> None:
    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        with pytest.raises(PromptTooLongError) as caught:
            worker.submit(prompt, Sampling(max_tokens=64 - len(prompt) + 1))
        assert (caught.value.prompt_tokens, caught.value.context_length) == (len(prompt), 64)
        await text_of(worker.submit(prompt, Sampling(max_tokens=64 - len(prompt))))

    with serving(lambda: ScriptedEngine(say("a b"), context_length=64)) as worker:
        asyncio.run(main(worker))


def test_a_model_that_does_not_load_raises_from_start() -> None:
    def broken() -> Engine:
        raise ModelLoadError("no such model")

    with pytest.raises(ModelLoadError, match="no such model"):
        Worker(broken).start()


def test_stopping_fails_what_is_still_running() -> None:
    gate = Gate()

    async def main(worker: Worker) -> None:
        generation = worker.submit(await worker.encode(MESSAGES), SAMPLING)
        stopping = asyncio.get_running_loop().run_in_executor(None, worker.stop)
        # Or the engine could be done before that thread has had its turn.
        eventually(lambda: worker._stopping)
        gate.open()
        with pytest.raises(EngineStoppedError):
            await text_of(generation)
        await stopping

    with serving(
        lambda: ScriptedEngine(say("word " * 100_000), context_length=1_000_000, before_step=gate)
    ) as worker:
        asyncio.run(main(worker))


def test_the_event_loop_runs_on_while_the_model_works(make_native_engine: Callable[[], Engine]) -> None:
    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        generation = worker.submit(prompt, SAMPLING)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while generation.outcome is None:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await text_of(generation)
        await counting
        assert generation.outcome is not None
        assert turns > generation.outcome.completion_tokens

    with serving(make_native_engine) as worker:
        asyncio.run(main(worker))


def test_a_request_that_waited_too_long_is_turned_away_and_the_running_one_goes_on() -> None:
    gate, now = Gate(), [0.0]

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        running, waiting = worker.submit(prompt, SAMPLING), worker.submit(prompt, SAMPLING)
        pieces = aiter(running)
        gate.allow()
        await anext(pieces)
        now[0] = 30.0
        gate.open()
        with pytest.raises(QueueTimeoutError) as caught:
            await text_of(waiting)
        assert caught.value.retry_after_s >= 1
        assert "".join([piece async for piece in pieces])
        assert (worker.counts.ended, worker.counts.refused) == (1, 1)

    worker = Worker(
        lambda: ScriptedEngine(say("word " * 5), max_running=1, before_step=gate),
        queue_seconds=30,
        clock=lambda: now[0],
    )
    worker.start()
    asyncio.run(main(worker))
    worker.stop()


def test_the_counts_tell_what_became_of_requests() -> None:
    gate = Gate()

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        ending, leaving = worker.submit(prompt, SAMPLING), worker.submit(prompt, SAMPLING)
        with pytest.raises(QueueFullError):
            worker.submit(prompt, SAMPLING)
        leaving.cancel()
        gate.open()
        await text_of(ending)
        counts = worker.counts
        assert (counts.ended, counts.cancelled, counts.refused) == (1, 1, 1)
        assert counts.prompt_tokens == len(prompt)
        assert counts.completion_tokens == 3

    make = lambda: ScriptedEngine(say("a b"), max_running=1, before_step=gate)  # noqa: E731
    with serving(make, queue_size=1) as worker:
        asyncio.run(main(worker))


def test_a_grammar_that_was_taken_does_not_wait_behind_others() -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Checking(ScriptedEngine):
        def check_guidance(self, grammar: str) -> None:
            if grammar == "costly":
                begun.set()
                assert may_end.wait(30)

    async def ask(worker: Worker) -> None:
        await worker.check_guidance("known")
        costly = asyncio.create_task(worker.check_guidance("costly"))
        try:
            await asyncio.to_thread(begun.wait, 30)
            await asyncio.wait_for(worker.check_guidance("known"), 10)
        finally:
            may_end.set()
            await costly

    with serving(lambda: Checking(say("42"))) as worker:
        asyncio.run(ask(worker))
