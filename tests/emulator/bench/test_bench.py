"""The benchmark runs to its end on a real emulator, and its report says what was measured."""

import json

import pytest
from phi_emulator.bench import Report, run_benchmark
from phi_emulator.bench.report import Side
from phi_emulator.config import EmulatorConfig


def report() -> Report:
    made = Report("m", "fp_1", "continuous", 100_000_000)
    made.sides = {1: (Side(0.01, 100.0), Side(0.02, 97.0)), 4: (Side(0.02, 200.0), Side(0.03, 155.2))}
    made.first_cold_s, made.first_second_turn_s, made.first_alternating_s = 1.0, 0.05, 0.1
    made.gap_normal_s, made.gaps_joining_s = 0.01, (0.01, 0.05, 0.08, 0.1)
    made.health_s = made.cancel_to_idle_s = (0.001, 0.002, 0.003, 0.004)
    made.answered, made.refused, made.lost = 60, 4, 0
    made.resident_bytes_after = 150_000_000
    return made


def test_the_table_gives_ratios_to_the_bare_engine_and_to_one_conversation() -> None:
    table = report().to_table()
    assert "| 1 | 10.0 ms | 20.0 ms | 100 | 97 | 0.97 | 1.00 |" in table
    assert "| 4 | 20.0 ms | 30.0 ms | 200 | 155 | 0.78 | 1.60 |" in table
    assert "| first token of a second turn | 50.0 ms | 0.05 |" in table
    assert "| worst while a newcomer joins | 100.0 ms | 10.0 |" in table
    assert "| 60 / 4 / 0 |" in table
    assert "| 100 / 150 MB | 1.50 |" in table


def test_the_json_has_every_number() -> None:
    numbers = json.loads(report().to_json())
    assert numbers["sides"]["4"] == [[0.02, 200.0], [0.03, 155.2]]
    assert numbers["cancel_to_idle_s"] == [0.001, 0.002, 0.003, 0.004]


def test_what_could_not_be_measured_is_left_out_of_the_table() -> None:
    made = report()
    made.gap_normal_s, made.resident_bytes_before = None, None
    assert "newcomer" not in made.to_table()
    assert "memory" not in made.to_table()


@pytest.mark.timeout(120)
def test_a_small_run_measures_everything_and_loses_nothing() -> None:
    told: list[str] = []
    made = run_benchmark(
        EmulatorConfig(port=0, log_level="error"),
        rounds=1,
        tokens=16,
        newcomer_tokens=100,
        requests=40,
        hang_ups=2,
        tell=told.append,
    )
    assert made.model == "phi-tiny-arith"
    assert set(made.sides) == {1, 2, 4, 8}
    assert all(side.tokens_a_second > 0 for sides in made.sides.values() for side in sides)
    assert (made.answered + made.refused, made.lost) == (40, 0)
    assert made.health_s is not None
    assert made.cancel_to_idle_s is not None
    assert made.counts["ended"] > 40
    assert told


def test_a_model_that_can_not_be_loaded_is_an_error_and_no_traceback() -> None:
    with pytest.raises(RuntimeError, match="phi-tiny-arith"):
        run_benchmark(
            EmulatorConfig(port=0, model="no such model"),
            rounds=1,
            tokens=8,
            newcomer_tokens=10,
            requests=1,
            hang_ups=1,
            tell=print,
        )
