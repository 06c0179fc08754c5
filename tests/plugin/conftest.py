"""Runs of pytest within a test: as in a project that has the package installed, and nothing of this one's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from phi_emulator import Emulator, EmulatorConfig

import pytest_phi.emulator
import pytest_phi.recordings
import pytest_phi.run  # noqa: F401 - as those above: see `_libraries`

RunTests: TypeAlias = Callable[..., pytest.RunResult]


@pytest.fixture(scope="session")
def _libraries() -> Iterator[None]:
    """What an emulator imports is imported before: a run in this process forgets the modules that it loaded."""
    with Emulator(EmulatorConfig(port=0)):
        yield


@pytest.fixture
def run_tests(
    _libraries: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Runs the source of a test module with these arguments, in this process."""
    for name in ("PHI_ALLOW_REAL", "PHI_ENDPOINT", "PHI_API_KEY", "CI"):
        monkeypatch.delenv(name, raising=False)

    def run(source: str, *arguments: str, name: str = "test_it") -> pytest.RunResult:
        pytester.makepyfile(**{name: source})
        return pytester.runpytest_inprocess("-p", "pytest_phi", "-p", "no:cacheprovider", *arguments)

    return run
