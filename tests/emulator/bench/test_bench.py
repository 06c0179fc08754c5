"""The benchmark runs to its end on a real emulator, and its report says what was measured, and what holds."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from phi_emulator import bench
from phi_emulator.bench import DEFAULTS, Report, bars_table, run_benchmark, verdicts
from phi_emulator.bench.bare_client import BareClient
from phi_emulator.bench.report import Side
from phi_emulator.bench.sizes import Pace, choose_sizes, estimate_s
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.config import EmulatorConfig

FAST, SLOW = Pace(0.0002, 0.001), Pace(0.06, 0.16)


def report(**changes: Any) -> Report:
    """One that holds every bar, but for the changes."""
    made = Report(
        "m", "fp_1", "continuous", 4, 4_000_000_000, deterministic=False, resident_bytes_before=100_000_000
    )
    made.sides = {1: (Side(0.01, 100.0), Side(0.02, 97.0)), 4: (Side(0.02, 200.0), Side(0.03, 155.2))}
    made.first_cold_s, made.first_second_turn_s, made.first_alternating_s = 1.0, 0.05, 0.1
    made.gap_normal_s, made.gaps_joining_s = 0.01, (0.01, 0.05, 0.08, 0.1)
    made.worst_gap_ratio, made.newcomer_tokens, made.chunk_s = 10.0, 500, 0.032
    made.health_s = made.loop_delay_s = (0.001, 0.002, 0.003, 0.006)
    made.hang_up_streamed_s = made.hang_up_whole_s = (0.02, 0.05, 0.05, 0.05)
    made.hang_up_steps = (0, 1, 1, 2)
    made.hang_ups, made.hang_up_bytes = 200, (100_000_000, 101_000_000)
    made.requests, made.at_a_time = 64, 32
    made.answered, made.refused, made.lost = 60, 4, 0
    made.resident_bytes_after = 150_000_000
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def failing(made: Report) -> list[str]:
    return [verdict.figure for verdict in verdicts(made) if not verdict.holds]


def test_the_table_gives_ratios_to_the_bare_engine_and_to_one_conversation() -> None:
    table = report().to_table()
    assert "| 1 | 10.0 ms | 20.0 ms | 100 | 97 | 0.97 | 1.00 |" in table
    assert "| 4 | 20.0 ms | 30.0 ms | 200 | 155 | 0.78 | 1.60 |" in table
    assert "| first token of a second turn | 50.0 ms | 0.05 |" in table
    assert "| worst while a newcomer joins | 100.0 ms | 10.0 |" in table
    assert "| 60 / 4 / 0 |" in table
    assert "| 100 / 150 MB | 1.50 |" in table


def test_the_json_has_every_number_and_every_bar() -> None:
    made = report()
    numbers = json.loads(made.to_json(list(verdicts(made))))
    assert numbers["sides"]["4"] == [[0.02, 200.0], [0.03, 155.2]]
    assert numbers["hang_up_streamed_s"] == [0.02, 0.05, 0.05, 0.05]
    assert {bar["holds"] for bar in numbers["bars"]} == {True}


def test_what_could_not_be_measured_is_left_out_of_the_tables() -> None:
    made = report(gap_normal_s=None, worst_gap_ratio=None, resident_bytes_before=None, health_s=None)
    assert "newcomer" not in made.to_table()
    assert "memory before" not in made.to_table()
    assert "health" not in bars_table(made)
    assert "join" not in bars_table(made)


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"sides": {1: (Side(1, 100.0), Side(1, 96.0))}}, "one conversation"),
        (
            {"sides": {1: (Side(1, 100.0), Side(1, 98.0)), 4: (Side(1, 1.0), Side(1, 146.0))}},
            "four conversations",
        ),
        ({"first_second_turn_s": 0.11}, "a second turn"),
        ({"first_alternating_s": 0.16}, "alternate"),
        ({"worst_gap_ratio": 12.1}, "worst gap while 500 tokens join"),
        ({"loop_delay_s": (0.001, 0.002, 0.0051, 0.006)}, "event loop"),
        ({"health_s": (0.001, 0.0051, 0.006, 0.006)}, "health route"),
        ({"hang_up_steps": (1, 1, 1, 1)}, "long prompt"),
        ({"hang_up_steps": (0, 2, 2, 2)}, "long prompt"),
        ({"lost": 1}, "64 requests"),
        ({"left_running": 1}, "places"),
        ({"left_waiting": 1}, "places"),
        ({"hang_up_bytes": (100_000_000, 109_000_000)}, "memory"),
        ({"deterministic": True, "repeats": 100, "different_texts": 2}, "texts of one seed in 100 runs"),
    ],
)
def test_a_bar_that_does_not_hold_is_named(changes: dict[str, Any], figure: str) -> None:
    assert failing(report()) == []
    made = report(**changes)
    (found,) = failing(made)
    assert figure in found
    assert bars_table(made).count("| no |") == 1


@pytest.mark.parametrize(("weights", "pace", "bar"), [(4e9, 500, 0.97), (15e7, 100, 0.95), (15e7, 200, 0.93)])
def test_the_bar_of_one_conversation_is_that_of_the_models_size_and_its_steps(
    weights: int, pace: float, bar: float
) -> None:
    for served, holds in ((bar, True), (bar - 0.01, False)):
        made = report(weights_bytes=weights, sides={1: (Side(1, pace), Side(1, served * pace))})
        assert [figure.split(",")[0] for figure in failing(made)] == [] if holds else ["one conversation"]


def test_a_small_model_need_not_gain_by_running_four_conversations() -> None:
    sides = {1: (Side(1, 100.0), Side(1, 95.0)), 4: (Side(1, 1.0), Side(1, 99.0))}
    small = report(weights_bytes=150_000_000, sides=sides)
    assert failing(small) == []
    assert "four conversations" not in bars_table(small)


def test_the_barest_client_says_what_went_wrong_and_keeps_a_connection_that_is_well() -> None:
    stream = b"HTTP/1.1 200 OK\r\n\r\n5\r\ndata:\r\n0\r\n\r\n"
    answers = [stream, stream, b"HTTP/1.1 429 Too Many Requests\r\n\r\n", stream[:-3]]
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        while answers and await reader.read(1000):
            answer = answers.pop(0)
            writer.write(answer)
            if answer != stream:
                break
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = BareClient("127.0.0.1", server.sockets[0].getsockname()[1], "/", "Bearer x")
        for _ in range(2):
            assert b"".join([piece async for piece in client.stream(b"{}")]).startswith(b"5")
        assert len(connections) == 1
        for words in ("refused: HTTP/1.1 429", "broke off"):
            with pytest.raises(RuntimeError, match=words):
                [piece async for piece in client.stream(b"{}")]
        client.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_less_is_measured_of_a_slow_model_unless_it_is_asked_for() -> None:
    assert choose_sizes(FAST, 8192, {}) == DEFAULTS
    slow = choose_sizes(SLOW, 8192, {})
    assert (slow.tokens, slow.requests, slow.hang_ups) == (32, DEFAULTS.requests, DEFAULTS.hang_ups)
    assert choose_sizes(SLOW, 8192, {"tokens": 100, "rounds": 5}).tokens == 100
    assert estimate_s(choose_sizes(FAST, 8192, {}), FAST) < 120
    assert estimate_s(slow, SLOW) < estimate_s(choose_sizes(SLOW, 8192, {"tokens": 128}), SLOW) < 3600


def test_sizes_fit_into_the_context() -> None:
    sizes = choose_sizes(FAST, 256, {"newcomer": 4000})
    assert (sizes.newcomer, sizes.tokens) == (128, 64)


@pytest.mark.timeout(120)
def test_a_small_run_measures_everything_and_loses_nothing() -> None:
    told: list[str] = []
    made = run_benchmark(
        EmulatorConfig(port=0, log_level="error"),
        {"rounds": 1, "tokens": 16, "newcomer": 100, "requests": 40, "hang_ups": 10},
        tell=told.append,
    )
    assert made.model == "phi-tiny-arith"
    assert set(made.sides) == {1, 2, 4, 8}
    assert all(side.tokens_a_second > 0 for sides in made.sides.values() for side in sides)
    assert (made.answered + made.refused, made.lost) == (40, 0)
    assert (made.left_running, made.left_waiting) == (0, 0)
    spreads = (made.health_s, made.loop_delay_s, made.hang_up_streamed_s, made.hang_up_whole_s)
    assert None not in spreads
    assert made.counts["ended"] > 40
    assert made.counts["cancelled"] > 0
    assert told[1] == "less than a minute"
    assert len(list(verdicts(made))) >= 8


@pytest.mark.timeout(120)
def test_one_seed_gives_one_text_in_a_hundred_runs_of_a_deterministic_emulator() -> None:
    config = EmulatorConfig(port=0, log_level="error", deterministic=True)
    made = run_benchmark(config, {}, tell=lambda _line: None)
    assert (made.repeats, made.different_texts) == (100, 1)
    assert "| texts of one seed in 100 runs, alone and beside others | 1 | 1 | yes |" in bars_table(made)


def test_a_model_that_can_not_be_loaded_is_an_error_and_no_traceback() -> None:
    with pytest.raises(RuntimeError, match="phi-tiny-arith"):
        run_benchmark(EmulatorConfig(port=0, model="no such model"), {"rounds": 1}, tell=lambda _line: None)


@pytest.mark.parametrize(("strict", "status"), [([], 0), (["--strict"], 1)])
def test_the_status_tells_of_the_bars_only_where_it_is_asked_to(
    strict: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command is what is tested; what it would measure takes a minute and holds on quiet machines only.
    monkeypatch.setattr(bench, "run_benchmark", lambda *_args, **_options: report(lost=1))
    file = tmp_path / "numbers.json"
    result = CliRunner().invoke(phi_emulator, ["bench", "--json", str(file), *strict])
    assert result.exit_code == status
    assert "| 64 requests, 32 at once | 60 answered, 4 refused, 1 lost | none lost | no |" in result.output
    assert json.loads(file.read_text(encoding="utf-8"))["lost"] == 1
