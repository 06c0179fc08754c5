"""Runs of pytest within a test: as in a project that has the package installed, and nothing of this one's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Final, TypeAlias

import pytest
from phi_emulator import Emulator, EmulatorConfig

RunTests: TypeAlias = Callable[..., pytest.RunResult]

_USED: Final = (
    "azure.ai.inference",
    "azure.identity",
    "openai",
    "phi_emulator.cli",
    "phi_emulator.command_line.child",
    "phi_emulator.web.server",
    "pytest_phi.emulator",
    "pytest_phi.other_clients",
    "pytest_phi.recordings",
    "pytest_phi.run",
)


@pytest.fixture(scope="session")
def _libraries() -> Iterator[None]:
    """What a run imports is imported before it: a run in this process forgets the modules that it loaded."""
    for name in _USED:
        import_module(name)
    with Emulator(EmulatorConfig(port=0)):
        yield


@pytest.fixture
def run_tests(
    _libraries: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Runs the source of a test module with these arguments, in this process."""
    _forget(monkeypatch)

    def run(source: str, *arguments: str, name: str = "test_it") -> pytest.RunResult:
        pytester.makepyfile(**{name: source})
        return pytester.runpytest_inprocess("-p", "pytest_phi", "-p", "no:cacheprovider", *arguments)

    return run


@pytest.fixture
def run_apart(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """As `run_tests`, in a process of its own and with no other plugins than the `arguments` name."""
    _forget(monkeypatch)

    def run(source: str, *arguments: str, name: str = "test_it") -> pytest.RunResult:
        pytester.makepyfile(**{name: source})
        return pytester.runpytest_subprocess("-p", "pytest_phi", *arguments, timeout=60)

    return run


def _forget(environment: pytest.MonkeyPatch) -> None:
    """What the run says in which these tests are, and the plugins that it has."""
    for name in ("PHI_ALLOW_REAL", "PHI_ENDPOINT", "PHI_API_KEY", "CI"):
        environment.delenv(name, raising=False)
    environment.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
