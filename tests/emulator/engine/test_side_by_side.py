"""How many share a model's steps is measured on the model, once for a machine, and never costs a start its minutes."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from phi_emulator.engine.machine import calibration as side_by_side
from phi_emulator.engine.machine.calibration import Calibrations, calibrate, measure_rates, worthwhile
from phi_emulator.engine.machine.processors import usable_processors
from phi_emulator.engine.native.ort_folder import wanted_threads
from phi_emulator.engine.protocol import EndReason, Engine, EngineInfo, Message, Sampling, Step
from phi_emulator.models import resolve_model
from phi_emulator.models.genai_config import Settings

from tests.emulator.engine.conftest import make_ort
from tests.emulator.loading import load_engine, prepare_model

FOLDER = Path(__file__).parent / "folders" / "phi3"
INFO = EngineInfo("m", "here", "none", 4096, 8, 16, 512, fingerprint="fp_1")
MACHINE = {"processor": "one"}


class TimedEngine:
    """An engine whose steps take as long as the test says: a real one's times are this machine's and moment's."""

    def __init__(
        self, seconds: Mapping[int, float], *, ends_after: int = 10_000, info: EngineInfo = INFO
    ) -> None:
        self.info, self.now, self.open_ones = info, 0.0, list[int]()
        self._seconds, self._ends_after, self._steps = seconds, ends_after, 0

    def clock(self) -> float:
        return self.now

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [7, 8, 9]

    def prepare_guidance(self, grammar: str) -> None:
        raise AssertionError("nobody asked for a form")

    def check_guidance(self, grammar: str) -> None:
        raise AssertionError("nobody asked for a form")

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:
        raise AssertionError("nobody recites")

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        assert list(prompt) == [7]
        self.open_ones.append(sequence)

    def step(self) -> Iterator[Step]:
        self._steps += 1
        self.now += self._seconds[len(self.open_ones)]
        for number in list(self.open_ones):
            ends = self._steps % self._ends_after == 0
            yield Step(number, None if ends else 1, "", EndReason.STOP if ends else None)

    def release(self, sequence: int) -> int:
        self.open_ones.remove(sequence)
        return 0

    def close(self) -> None:
        pass

    def run_at_most(self, sequences: int, rates: Mapping[int, float] | None = None) -> None:
        self.info = replace(self.info, max_running=sequences, rates=dict(rates or {}))


def heard(engine: Engine) -> set[int]:
    """Who gets tokens in the first step that gives any."""
    return next(
        found
        for _ in range(10)
        if (found := {step.sequence for step in engine.step() if step.token is not None})
    )


def test_the_rate_is_that_of_all_together() -> None:
    engine = TimedEngine({1: 0.1, 4: 0.2, 8: 0.5})
    assert measure_rates(engine, engine.clock) == pytest.approx({1: 10, 4: 20, 8: 16})
    assert engine.open_ones == []


def test_a_slow_model_costs_two_steps_of_each_size() -> None:
    engine = TimedEngine({1: 3.0, 4: 4.0, 8: 5.0})
    assert set(measure_rates(engine, engine.clock)) == {1, 4, 8}
    assert engine.now == pytest.approx(2 * (3 + 4 + 5))


def test_a_faster_model_costs_no_more_than_two_seconds_beyond_that() -> None:
    engine = TimedEngine({1: 0.15, 4: 0.25, 8: 0.55})
    measure_rates(engine, engine.clock)
    assert engine.now <= 2 + 2 * (0.15 + 0.25 + 0.55)


def test_a_model_whose_steps_take_nothing_is_not_measured() -> None:
    engine = TimedEngine({1: 0.0005})
    assert measure_rates(engine, engine.clock) == {}
    assert engine.open_ones == []


def test_sequences_that_end_meanwhile_are_replaced() -> None:
    engine = TimedEngine({1: 0.1, 4: 0.2, 8: 0.5}, ends_after=3)
    assert measure_rates(engine, engine.clock) == pytest.approx({1: 10, 4: 20, 8: 16})
    assert engine.open_ones == []


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ({1: 10, 4: 20, 8: 16}, 4),
        ({1: 10, 4: 20, 8: 22}, 4),
        ({1: 10, 4: 20, 8: 30}, 8),
        ({1: 10, 4: 9, 8: 8}, 4),
        ({}, 8),
    ],
)
def test_more_run_side_by_side_only_where_all_together_gain(rates: dict[int, float], chosen: int) -> None:
    assert worthwhile(rates, 8) == chosen


def test_what_was_measured_once_is_not_measured_again(tmp_path: Path) -> None:
    kept = Calibrations(tmp_path, MACHINE)
    kept.keep("fp_1", None, {1: 10.0, 4: 20.0, 8: 16.0})
    engine = TimedEngine({})  # which can't run a step
    calibrate(engine, kept)
    assert (engine.info.max_running, engine.info.rates) == (4, {1: 10.0, 4: 20.0, 8: 16.0})


def test_a_measurement_holds_for_its_machine_model_and_threads_alone(tmp_path: Path) -> None:
    Calibrations(tmp_path, MACHINE).keep("fp_1", None, {1: 10.0})
    assert Calibrations(tmp_path, MACHINE).find("fp_1", None) == {1: 10.0}
    assert Calibrations(tmp_path, {"processor": "another"}).find("fp_1", None) is None
    assert Calibrations(tmp_path, MACHINE).find("fp_2", None) is None
    assert Calibrations(tmp_path, MACHINE).find("fp_1", 1) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"tokens_a_second": {"x": 1}}', '{"tokens_a_second": {"4": 0}}']
)
def test_a_damaged_measurement_is_made_anew(tmp_path: Path, content: str) -> None:
    kept = Calibrations(tmp_path, MACHINE)
    kept.keep("fp_1", None, {1: 10.0})
    (file,) = tmp_path.iterdir()
    file.write_text(content, encoding="utf-8")
    assert kept.find("fp_1", None) is None
    kept.keep("fp_1", None, {1: 11.0})
    assert kept.find("fp_1", None) == {1: 11.0}


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    kept = Calibrations(tmp_path / "file" / "folder", MACHINE)
    kept.keep("fp_1", None, {1: 10.0})
    assert kept.find("fp_1", None) is None


def test_an_engine_that_runs_few_is_left_alone(tmp_path: Path) -> None:
    engine = TimedEngine({}, info=replace(INFO, max_running=4))
    calibrate(engine, Calibrations(tmp_path, MACHINE))
    assert engine.info.max_running == 4


def test_the_real_engine_can_be_measured_and_answers_afterwards() -> None:
    engine = make_ort()
    try:
        seconds = iter(
            range(10_000)
        )  # each look at the clock is a second later: no time of this machine counts
        assert set(measure_rates(engine, lambda: float(next(seconds)))) == {1, 4, 8}
        engine.open(1, engine.encode([Message("user", "1 + 1")]), Sampling(max_tokens=4, temperature=0))
        assert heard(engine) == {1}
    finally:
        engine.close()


@pytest.mark.parametrize(("given", "running"), [(None, 8), (3, 3), (16, 16)])
def test_who_says_how_many_gets_as_many(given: int | None, running: int) -> None:
    make_ort().close()  # skips where there is no such engine
    engine = load_engine(
        prepare_model(resolve_model().folder).folder, model="x", max_running=given, threads=1
    )
    try:
        assert (engine.info.max_running, engine.info.threads) == (running, 1)
        for number in range(running):
            engine.open(
                number, engine.encode([Message("user", "1 + 1")]), Sampling(max_tokens=4, temperature=0)
            )
        assert heard(engine) == set(range(running))
    finally:
        engine.close()


def test_the_first_start_measures_and_the_next_one_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ort().close()  # skips where there is no such engine
    # No model of the tests is slow enough to be measured.
    monkeypatch.setattr(side_by_side, "_TRIVIAL_S", 0.0)
    shutil.copytree(FOLDER, tmp_path / "model")
    rates: list[Mapping[int, float]] = []
    for _ in range(2):
        engine = load_engine(tmp_path / "model", model="x", calibrations=tmp_path / "kept")
        rates.append(engine.info.rates)
        assert engine.info.max_running in (4, 8)
        engine.close()
    assert set(rates[0]) == {1, 4, 8}
    assert rates[0] == rates[1]  # no two measurements are


@pytest.mark.parametrize("context", [16, 40, 64, 100, 200])
def test_a_small_context_starts_at_the_first_start_too(tmp_path: Path, context: int) -> None:
    for _ in range(2):
        engine = load_engine(
            resolve_model().folder, model="x", context_length=context, calibrations=tmp_path / "calibrations"
        )
        assert engine.info.context_length == context
        engine.close()


def test_a_very_small_model_is_computed_by_one_thread_unless_told_otherwise() -> None:
    make_ort().close()  # skips where there is no such engine
    for given, taken in ((None, 1), (2, 2)):
        engine = load_engine(prepare_model(resolve_model().folder).folder, model="x", threads=given)
        engine.close()
        assert engine.info.threads == taken


def test_a_larger_model_and_a_folder_that_says_itself_keep_their_threads() -> None:
    settings: dict[str, object] = {"model": {"decoder": {"session_options": {}}}}
    told = {"model": {"decoder": {"session_options": {"intra_op_num_threads": 2}}}}
    small, large = 1_000_000, 100_000_000
    usable = usable_processors()
    assert wanted_threads(cast("Settings", settings), small) == 1
    assert wanted_threads(cast("Settings", settings), large) == usable
    assert wanted_threads(cast("Settings", told), small) != 1
