"""`Worker.call`: a function on the engine's own thread, between two steps; and the times in an `Outcome`."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from itertools import count

import pytest
from phi_emulator.engine.errors import (
    EngineFailedError,
    EngineStoppedError,
    PromptError,
    QueueFullError,
)
from phi_emulator.engine.protocol import Engine, Sampling, Step
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.generation import Generation
from phi_emulator.engine.serving.worker import Worker

from tests.emulator.engine.test_worker import MESSAGES, SAMPLING, Gate, say, serving, text_of
from tests.together.conftest import eventually


class Halt(Gate):
    """A gate that says when the worker stands at it."""

    def __init__(self) -> None:
        super().__init__()
        self._arrivals = threading.Semaphore(0)

    def __call__(self) -> None:
        self._arrivals.release()
        super().__call__()

    async def before_the_second_step(self, worker: Worker) -> Generation:
        """Begin an answer; the worker stands still then, with one step done."""
        generation = worker.submit(await worker.encode(MESSAGES), SAMPLING)
        self.allow()
        for _ in range(2):
            assert await asyncio.to_thread(self._arrivals.acquire, timeout=30)
        return generation


def thread_of(engine: Engine) -> str:
    assert engine.info.model
    return threading.current_thread().name


def test_it_runs_on_the_engines_thread_of_both_engines_idle_or_busy(
    make_engine: Callable[[], Engine],
) -> None:
    async def main(worker: Worker) -> None:
        assert await worker.call(thread_of) == "phi-emulator-engine"
        generation = worker.submit(await worker.encode(MESSAGES), SAMPLING)
        pieces = aiter(generation)
        await anext(pieces)
        assert await worker.call(thread_of) == "phi-emulator-engine"
        assert "".join([piece async for piece in pieces]).endswith("\\boxed{408}.")

    with serving(make_engine) as worker:
        asyncio.run(main(worker))


def test_calls_come_between_two_steps_and_in_their_order() -> None:
    gate = Halt()
    engine = ScriptedEngine(say("word " * 50), before_step=gate)

    async def main(worker: Worker) -> None:
        await gate.before_the_second_step(worker)
        seen: list[int] = []

        def note(number: int) -> Callable[[Engine], None]:
            return lambda _engine: seen.append(number)

        calls = [asyncio.create_task(worker.call(note(number))) for number in range(9)]
        calls.append(asyncio.create_task(worker.call(lambda _: seen.append(engine.steps))))
        await asyncio.sleep(0)
        gate.allow()
        await asyncio.gather(*calls)
        assert seen == [*range(9), 2]
        gate.open()

    with serving(lambda: engine) as worker:
        asyncio.run(main(worker))


@pytest.mark.parametrize("error", [ValueError("of mine"), PromptError("of mine")])
def test_what_it_raises_is_its_callers_alone(error: Exception) -> None:
    def raise_it(_engine: Engine) -> None:
        raise error

    async def main(worker: Worker) -> None:
        with pytest.raises(type(error), match="of mine"):
            await worker.call(raise_it)
        assert await text_of(worker.submit(await worker.encode(MESSAGES), SAMPLING)) == "42"
        assert worker.status.reloads == 0

    with serving(lambda: ScriptedEngine(say("42"))) as worker:
        asyncio.run(main(worker))


def test_an_engine_that_a_call_finds_broken_is_loaded_again_and_no_caller_waits_for_ever() -> None:
    gate = Halt()

    def find_it_broken(_engine: Engine) -> None:
        raise EngineFailedError("found broken")

    async def main(worker: Worker) -> None:
        await gate.before_the_second_step(worker)
        calls = [asyncio.create_task(worker.call(work)) for work in (find_it_broken, thread_of)]
        await asyncio.sleep(0)
        gate.open()
        failed = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in failed] == [EngineFailedError] * 2
        # `encode` waits for the next engine.
        assert await text_of(worker.submit(await worker.encode(MESSAGES), SAMPLING))
        assert worker.status.reloads == 1
        assert await worker.call(thread_of)

    with serving(lambda: ScriptedEngine(say("word " * 5), before_step=gate)) as worker:
        asyncio.run(main(worker))


def test_while_the_engine_is_loaded_again_a_call_fails_at_once() -> None:
    loading, may_load, made = threading.Event(), threading.Event(), count()

    class Breaking(ScriptedEngine):
        def step(self) -> Iterable[Step]:
            raise RuntimeError("broken")

    def make() -> Engine:
        if not next(made):
            return Breaking(say("42"))
        loading.set()
        assert may_load.wait(30)
        return ScriptedEngine(say("42"))

    async def main(worker: Worker) -> None:
        with pytest.raises(EngineFailedError):
            await text_of(worker.submit(await worker.encode(MESSAGES), SAMPLING))
        assert await asyncio.to_thread(loading.wait, 30)
        try:
            with pytest.raises(EngineFailedError, match="loaded again"):
                await worker.call(thread_of)
        finally:
            may_load.set()
        await worker.encode(MESSAGES)
        assert await worker.call(thread_of)

    with serving(make) as worker:
        asyncio.run(main(worker))


def test_more_than_may_wait_are_refused_and_stopping_fails_the_others() -> None:
    gate = Halt()

    async def main(worker: Worker) -> None:
        await gate.before_the_second_step(worker)
        calls = [asyncio.create_task(worker.call(thread_of)) for _ in range(70)]
        await asyncio.sleep(0)
        stopping = asyncio.get_running_loop().run_in_executor(None, worker.stop)
        eventually(lambda: worker._stopping)
        gate.open()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ends] == [EngineStoppedError] * 64 + [QueueFullError] * 6
        await stopping
        with pytest.raises(EngineStoppedError):
            await worker.call(thread_of)

    with serving(lambda: ScriptedEngine(say("word " * 50), before_step=gate)) as worker:
        asyncio.run(main(worker))


def test_a_caller_that_left_is_not_served() -> None:
    gate = Halt()

    async def main(worker: Worker) -> None:
        await gate.before_the_second_step(worker)
        served: list[str] = []
        leaving = asyncio.create_task(worker.call(lambda _: served.append("left")))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gate.open()
        await worker.call(lambda _: served.append("stayed"))
        assert served == ["stayed"]

    with serving(lambda: ScriptedEngine(say("word " * 50), before_step=gate)) as worker:
        asyncio.run(main(worker))


def test_a_waiting_request_that_leaves_gives_its_place_in_the_queue_back_at_once() -> None:
    gate = Halt()

    async def main(worker: Worker) -> None:
        await gate.before_the_second_step(worker)
        prompt = await worker.encode(MESSAGES)
        worker.submit(prompt, SAMPLING).cancel()
        assert worker.status.waiting == 0
        worker.submit(prompt, SAMPLING)
        gate.open()

    make = lambda: ScriptedEngine(say("word " * 5), max_running=1, before_step=gate)  # noqa: E731
    with serving(make, queue_size=1) as worker:
        asyncio.run(main(worker))


def test_an_outcome_says_when_its_request_came_to_what() -> None:
    now, gate = [100.0], Halt()

    async def main(worker: Worker) -> None:
        first = await gate.before_the_second_step(worker)
        prompt = await worker.encode(MESSAGES)
        now[0] = 200.0
        second = worker.submit(prompt, SAMPLING, received=150.0)
        now[0] = 300.0
        gate.open()
        assert await text_of(first) == "a b"
        assert await text_of(second) == "a b"
        assert first.outcome is not None
        assert second.outcome is not None
        assert first.outcome.times == (100.0, 100.0, 100.0, 100.0, 300.0)
        assert second.outcome.times == (150.0, 200.0, 300.0, 300.0, 300.0)

    worker = Worker(lambda: ScriptedEngine(say("a b"), max_running=1, before_step=gate), clock=lambda: now[0])
    worker.start()
    asyncio.run(main(worker))
    worker.stop()


def test_an_answer_of_no_token_has_no_first_one() -> None:
    async def main(worker: Worker) -> None:
        generation = worker.submit(await worker.encode(MESSAGES), Sampling(max_tokens=5))
        assert await text_of(generation) == ""
        assert generation.outcome is not None
        times = generation.outcome.times
        assert times.first_token is None
        assert times.received == times.queued <= times.admitted <= times.ended

    with serving(lambda: ScriptedEngine(say(""))) as worker:
        asyncio.run(main(worker))
