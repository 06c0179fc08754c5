"""What is said before a large download: size, disk, time, memory, speed, and what that means for an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.command_line import obtaining
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.doctor.forecast import Forecast, duration, rate_phrase, span
from phi_emulator.engine.machine.context import USEFUL_CONTEXT
from phi_emulator.models.store.catalog import PHI_4_MINI_REASONING
from phi_emulator.models.store.download import PullPlan, RemoteFile
from phi_emulator.models.store.store import Store

GB = 1_000_000_000
CPU, GPU, _NPU = PHI_4_MINI_REASONING.variants


def plan_of(variant: int = 0) -> PullPlan:
    files = (RemoteFile("model.onnx.data", CPU.about_bytes, "0" * 64, ""),)
    return PullPlan(PHI_4_MINI_REASONING, PHI_4_MINI_REASONING.variants[variant], "c0ffee" * 5, files)


def said(tmp_path: Path, *, available: float = 16, speed: float = 24, variant: int = 0) -> str:
    forecast = Forecast.of(lambda: speed * GB, lambda: int(available * GB))
    return obtaining.announcement(Store(tmp_path), plan_of(variant), None, forecast=lambda: forecast)


def test_everything_is_said_that_decides_whether_to_begin(tmp_path: Path) -> None:
    text = said(tmp_path)
    assert "1 files, 4.85 GB, MIT licence" in text
    assert f"free in {tmp_path}: " in text
    assert "to fetch: 4.85 GB, about 6 min at 100 Mbit/s" in text
    assert "that speed is assumed" in text
    assert "to load it takes 8.3 GB of memory, and 16.0 GB are there" in text
    assert "5 to 8 tokens a second, so an answer of 2,000 tokens takes 4 to 7 min" in text


def test_too_little_memory_is_said_before_the_download(tmp_path: Path) -> None:
    assert "8.0 GB are there: too little" in said(tmp_path, available=8)


def test_a_gpus_variant_is_not_forecast_by_the_cpu(tmp_path: Path) -> None:
    text = said(tmp_path, variant=1)
    assert "tokens a second" not in text
    assert f"it needs an ONNX Runtime GenAI with {GPU.execution_provider}" in text


def test_a_speed_that_can_not_be_measured_is_said_so() -> None:
    def fail() -> float:
        raise ImportError("no onnx")

    assert "could not be measured (no onnx)" in Forecast.of(fail, lambda: 16 * GB).speed


@given(st.integers(0, 200 * GB))
def test_what_fits_has_a_context_of_use(there: int) -> None:
    forecast = Forecast.of(lambda: 24.0 * GB, lambda: there)
    assert forecast.fits is (forecast.context >= USEFUL_CONTEXT)
    assert ("too little" in forecast.memory) is not forecast.fits


@given(st.floats(0.001, 1e7), st.floats(0.001, 1e7))
def test_figures_are_plain(first: float, second: float) -> None:
    for text in (
        duration(first),
        rate_phrase(first),
        span(duration(min(first, second)), duration(max(first, second))),
    ):
        assert "e+" not in text
        assert text[0].isdigit()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (61, "1 min"), (3600, "60 min"), (9000, "2.5 hours")]
)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_errors_of_the_disk_are_one_line(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_bytes(b"")
    for words in (
        ["rm", "--yes", "x"],
        ["import", str(tmp_path)],
        ["add", "mine", str(tmp_path)],
        ["verify", "x"],
    ):
        result = CliRunner().invoke(phi_emulator, ["models", "--home", str(home), *words])
        assert result.exit_code == 1
        assert len(result.output.splitlines()) == 1, result.output


def test_the_home_of_nobody_is_one_line() -> None:
    for words in (
        ["models", "--home", "~nobody-here/x", "list"],
        ["models", "add", "mine", "~nobody-here/x"],
        ["serve", "--port", "0", "--model", "~nobody-here/x"],
        ["serve", "--port", "0", "--home", "~nobody-here/x"],
        ["exec", "--model", "~nobody-here/x", "--", "true"],
    ):
        result = CliRunner().invoke(phi_emulator, words)
        assert result.exit_code == 1
        assert "home folder of nobody" in result.output
        assert len(result.output.splitlines()) == 1, result.output
