"""An engine that breaks: what ran fails, what waits is answered by another, and it is not loaded for ever."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from phi_emulator.engine.errors import EngineFailedError, GuidanceError, ModelLoadError, SequenceError
from phi_emulator.engine.protocol import Engine, Marks, Message, Sampling, Step
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.restarts import MOST_RESTARTS, WINDOW_S, Restarts
from phi_emulator.engine.serving.text import TextMachine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.models import resolve_model

from tests.emulator.engine.conftest import make_ort
from tests.emulator.engine.test_worker import MESSAGES, SAMPLING, serving, text_of
from tests.together.conftest import eventually

SECRET = "the caller's own words"


class Breaking(ScriptedEngine):
    """Does as it is told to the sequence with a certain seed: `step`, `open`, `release` or `refuse`."""

    POISON = 666

    def __init__(self, how: str, *, max_running: int = 4) -> None:
        super().__init__(lambda messages: "word " * 6, max_running=max_running, marks=Marks())
        self.how, self.poisoned = how, set[int]()
        self.is_closed = False

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        if sampling.seed == self.POISON:
            self.poisoned.add(sequence)
            if self.how == "refuse":
                raise SequenceError("refused")
            if self.how == "guidance":
                raise GuidanceError("no such form")
            if self.how == "open":
                raise RuntimeError(SECRET)
        super().open(sequence, prompt, sampling)

    def step(self) -> Iterable[Step]:
        if self.poisoned & self._open.keys():
            if self.how == "step":
                raise RuntimeError(SECRET)
            if self.how == "failed":
                raise EngineFailedError("the native engine failed: 6")
            if self.how == "one":
                return [
                    Step(number, None, "", error=SequenceError("given up"))
                    for number in self.poisoned & self._open.keys()
                ]
        return super().step()

    def close(self) -> None:
        self.is_closed = True
        super().close()
        raise RuntimeError("it can't even be closed")


POISONED = Sampling(max_tokens=9, seed=Breaking.POISON)


class Makers:
    """Makes engines that know the same prompts, and keeps them."""

    def __init__(self, how: str, **given: int) -> None:
        self.made: list[Breaking] = []
        self._how, self._given = how, given

    def __call__(self) -> Engine:
        engine = Breaking(self._how, **self._given)
        engine.encode(MESSAGES)
        self.made.append(engine)
        return engine


@pytest.mark.parametrize("how", ["open", "step", "failed"])
def test_what_runs_fails_and_what_waits_or_comes_later_is_answered_by_a_new_engine(how: str) -> None:
    makers = Makers(how, max_running=2)

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        beside, poisoned = worker.submit(prompt, SAMPLING), worker.submit(prompt, POISONED)
        waiting = worker.submit(prompt, SAMPLING)
        for generation in (beside, poisoned):
            with pytest.raises(EngineFailedError):
                await text_of(generation)
        assert await text_of(waiting) == "word " * 6
        assert await text_of(worker.submit(prompt, SAMPLING)) == "word " * 6
        status = worker.status
        assert (status[:3], status.is_reloading, status.reloads) == ((False, 0, 0), False, 1)
        assert len(makers.made) == 2
        assert makers.made[0].is_closed
        assert status.trouble
        assert SECRET not in status.trouble

    with serving(makers) as worker:
        asyncio.run(main(worker))


@pytest.mark.parametrize(
    ("how", "error"), [("refuse", SequenceError), ("guidance", GuidanceError), ("one", SequenceError)]
)
def test_what_is_one_sequences_fault_ends_that_one_and_the_engine_stays(
    how: str, error: type[Exception]
) -> None:
    makers = Makers(how)

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        beside, poisoned = worker.submit(prompt, SAMPLING), worker.submit(prompt, POISONED)
        with pytest.raises(error):
            await text_of(poisoned)
        assert await text_of(beside) == "word " * 6
        assert worker.status == (False, 0, 0, False, 0, "")
        assert worker.counts.refused == 1

    with serving(makers) as worker:
        asyncio.run(main(worker))


def test_a_text_machine_that_raises_ends_its_own_sequence() -> None:
    class Raising:
        stopped = False

        def feed(self, text: str) -> str:
            raise ValueError(SECRET)

        def flush(self) -> str:
            return ""

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        machine: TextMachine = Raising()
        odd, other = worker.submit(prompt, SAMPLING, watch=machine), worker.submit(prompt, SAMPLING)
        with pytest.raises(SequenceError) as caught:
            await text_of(odd)
        assert SECRET not in str(caught.value)
        assert await text_of(other) == "word " * 6
        assert worker.status[:3] == (False, 0, 0)

    with serving(Makers("never")) as worker:
        asyncio.run(main(worker))


def test_an_engine_that_breaks_again_and_again_is_left_broken(caplog: pytest.LogCaptureFixture) -> None:
    makers = Makers("step")

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        for _ in range(MOST_RESTARTS + 1):
            with pytest.raises(EngineFailedError):
                await text_of(worker.submit(prompt, POISONED))
        eventually(lambda: worker.status.is_broken)
        with pytest.raises(EngineFailedError):
            worker.submit(prompt, SAMPLING)
        with pytest.raises(EngineFailedError):
            await worker.encode(MESSAGES)
        with pytest.raises(EngineFailedError):
            await worker.check_guidance("start: x")

    with caplog.at_level(logging.ERROR, "phi_emulator.engine"), serving(makers) as worker:
        asyncio.run(main(worker))
    assert len(makers.made) == 1 + MOST_RESTARTS
    assert "until the emulator is restarted" in caplog.text
    assert SECRET not in caplog.text


def test_a_model_that_does_not_load_again_is_tried_as_often_as_it_may_be() -> None:
    made = 0

    def make() -> Engine:
        nonlocal made
        made += 1
        if made in (2, 3):
            raise ModelLoadError("there is not enough memory just now")
        engine = Breaking("step")
        engine.encode(MESSAGES)
        return engine

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(MESSAGES)
        with pytest.raises(EngineFailedError):
            await text_of(worker.submit(prompt, POISONED))
        assert await text_of(worker.submit(prompt, SAMPLING)) == "word " * 6
        assert worker.status.reloads == made - 1 == 3

    with serving(make) as worker:
        asyncio.run(main(worker))


def test_attempts_are_counted_in_a_window() -> None:
    now = [0.0]
    restarts = Restarts(lambda: now[0])
    assert [restarts.may_try() for _ in range(MOST_RESTARTS + 1)] == [True] * MOST_RESTARTS + [False]
    now[0] = WINDOW_S
    assert restarts.may_try()
    assert restarts.total == MOST_RESTARTS + 1


def test_a_broken_native_engine_is_loaded_again(make_native_engine: Callable[[], Engine]) -> None:
    """As far as it can be brought about: its step raises for all."""
    made: list[Engine] = []

    def make() -> Engine:
        made.append(make_native_engine())
        return made[-1]

    async def main(worker: Worker) -> None:
        prompt = await worker.encode([Message("user", "What is 17 * 24?")])
        generation = worker.submit(prompt, Sampling(3000, temperature=1.0, seed=1))
        await anext(aiter(generation))

        def broken() -> Iterable[Step]:
            raise RuntimeError

        made[0].step = broken  # type: ignore[method-assign]
        with pytest.raises(EngineFailedError):
            await text_of(generation)
        assert await text_of(worker.submit(prompt, Sampling(5, temperature=0)))
        assert len(made) == 2

    with serving(make) as worker:
        asyncio.run(main(worker))


def breakable(folder: Path) -> Path:
    """The bundled model with a graph whose step fails for any token that the vocabulary lacks."""
    shutil.copytree(resolve_model().folder, folder)
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    nothing = numpy_helper.from_array(np.zeros(1024, np.int64), "nothing")
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "input_ids":
                node.input[place] = "checked_ids"
    model.graph.initializer.append(nothing)
    model.graph.node.insert(0, helper.make_node("Add", ["input_ids", "zeros"], ["checked_ids"]))
    model.graph.node.insert(0, helper.make_node("Gather", ["nothing", "input_ids"], ["zeros"]))
    onnx.save(model, folder / "model.onnx")
    return folder


def test_a_native_engine_whose_step_fails_for_all_is_loaded_again(tmp_path: Path) -> None:
    folder = breakable(tmp_path / "model")

    async def main(worker: Worker) -> None:
        prompt = await worker.encode([Message("user", "What is 17 * 24?")])
        whole = await text_of(worker.submit(prompt, Sampling(400, temperature=0)))
        neighbour = worker.submit(prompt, Sampling(3000, temperature=1.0, seed=1))
        await anext(aiter(neighbour))
        poisoned = worker.submit([5000], Sampling(5, temperature=0))
        for generation in (poisoned, neighbour):
            with pytest.raises(EngineFailedError):
                await text_of(generation)
        assert await text_of(worker.submit(prompt, Sampling(400, temperature=0))) == whole
        assert worker.status[:3] == (False, 0, 0)
        assert worker.status.reloads == 1
        assert "ENGINE_EXECUTION_FAILURE" in worker.status.trouble

    with serving(lambda: make_ort(folder)) as worker:
        asyncio.run(main(worker))
