# ruff: noqa: INP001  # a folder of commands, no package
"""What the pytest plugin costs: a test that uses its fixtures, a run that uses none, and its import.

    python -m benchmarks.plugin

Runs of pytest are processes of their own; what a whole run takes is the best of several.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

_TESTS: Final = 200
_ROUNDS: Final = 2
_LIMIT_MS: Final = 5.0
_FIXTURES: Final = {
    "none": "",
    "phi_emulator": "phi_emulator",
    "all": "phi_emulator, phi_faults, phi_script, phi_journal",
}
_CLOCK: Final = """
import time
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    began = time.perf_counter()
    result = yield
    print("\\ntook", (time.perf_counter() - began) * 1000)
    return result
"""


def main() -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, arguments in _FIXTURES.items():
            marked = f"import pytest\n@pytest.mark.parametrize('n', range({_TESTS}))\n"
            source = f"{marked}def test_it(n, {arguments}): pass\n"
            place.joinpath(f"test_{name}.py").write_text(source, encoding="utf-8")
        place.joinpath("conftest.py").write_text(_CLOCK, encoding="utf-8")
        base = statistics.median(_tests_ms(place, "none"))
        print(f"a test without the plugin's fixtures, median   {base:6.2f} ms")
        for name in ("phi_emulator", "all"):
            times = _tests_ms(place, name)
            more, mean = statistics.median(times) - base, statistics.mean(times) - base
            verdict = "yes" if mean < _LIMIT_MS else "NO"
            told = f"median {more:.2f} ms, mean {mean:.2f} ms over {_TESTS} tests"
            print(f"more with {name:<13} {told}, under {_LIMIT_MS:g} ms: {verdict}")
        plain, loaded = (_run_ms(place, name) for name in ("no:pytest_phi", "pytest_phi"))
        print(
            f"a run that uses none of it             {plain:6.0f} ms, with the plugin loaded {loaded:.0f} ms"
        )
    print(f"import of the plugin beside pytest     {_import_ms():6.2f} ms")


def _tests_ms(place: Path, name: str) -> list[float]:
    """Milliseconds of each test, setup and teardown included, without the first, which starts the emulator."""
    said = _run(place, f"test_{name}.py", "-s")
    return [float(line.split()[1]) for line in said.splitlines() if line.startswith("took ")][1:]


def _run_ms(place: Path, plugin: str) -> float:
    found: list[float] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        _run(place, "test_none.py", plugin=plugin)
        found.append((time.perf_counter() - began) * 1000)
    return min(found)


def _run(place: Path, *arguments: str, plugin: str = "pytest_phi") -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", plugin, *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if f"{_TESTS} passed" not in done.stdout:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def _import_ms() -> float:
    script = (
        "import time, os, pytest; began = time.perf_counter(); import pytest_phi; "
        "print((time.perf_counter() - began) * 1000)"
    )
    command = [sys.executable, "-c", script]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2 * _ROUNDS)]  # noqa: S603
    return min(float(done.stdout) for done in runs)


if __name__ == "__main__":
    main()
