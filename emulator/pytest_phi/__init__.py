"""The pytest plugin: an emulator for a run of tests, and what a test says to it.

Every run of pytest loads this file, wherever the package is installed. It must not import anything but pytest: what a
test uses is imported when it is collected.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phi_client.testing import VirtualClock
    from pytest_phi.emulator import PhiEmulator
    from pytest_phi.of_test import FaultsOfTest, JournalOfTest, ScriptOfTest
    from pytest_phi.other_clients import AzureGuard
    from pytest_phi.run import Run

_ALLOW_REAL: Final = "PHI_ALLOW_REAL"
_FIXTURES: Final = frozenset({"phi_emulator", "phi_faults", "phi_script", "phi_journal", "phi_clock"})
_MARKS: Final = {
    "phi_recording": "phi_recording(name=None, *, speed=0, after_last='repeat'): answer this test from a recording, or "
    "make one (--phi-record).",
    "phi_real": "phi_real: let this test ask real endpoints, which are refused otherwise.",
}
_RUN: Final = pytest.StashKey["Run"]()
_ENVIRONMENT: Final = pytest.StashKey[pytest.MonkeyPatch]()
_GUARD: Final[pytest.StashKey[AzureGuard]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options and settings of the plugin."""
    from pytest_phi.settings import add_options  # noqa: PLC0415 - with the first thing that is asked of this file

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse real endpoints from here on, in this process and in those that it starts, unless they are allowed."""
    for line in _MARKS.values():
        config.addinivalue_line("markers", line)
    from pytest_phi.other_clients import AzureGuard  # noqa: PLC0415 - as above

    environment = config.stash[_ENVIRONMENT] = pytest.MonkeyPatch()
    if config.getoption("--phi-real") or config.getini("phi_real"):
        environment.setenv(_ALLOW_REAL, "1")
    elif not os.environ.get(_ALLOW_REAL):
        environment.setenv(_ALLOW_REAL, "0")
    guard = config.stash[_GUARD] = AzureGuard()
    guard.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment and the process as they were."""
    if _GUARD in config.stash:
        config.stash[_GUARD].end()
        config.stash[_ENVIRONMENT].undo()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have something happen around tests only where one of them needs it."""
    if any(_is_ours(item) for item in items):
        _run_of(config)


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest) -> None:
    """Hear of each test that asks for the emulator, though by `getfixturevalue`: the fixture itself is made once."""
    if fixturedef.argname != "phi_emulator" or fixturedef.func.__module__ != __name__:
        return
    execute = type(fixturedef).execute
    run = _run_of(request.config)

    def execute_in_its_turn(request: pytest.FixtureRequest) -> object:
        value = execute(fixturedef, request)  # type: ignore[arg-type]  # a request of pytest's own making
        run.begin_late()
        return value

    fixturedef.execute = execute_in_its_turn  # type: ignore[method-assign]


def _is_ours(item: pytest.Item) -> bool:
    names: Iterable[str] = getattr(item, "fixturenames", ())
    return not _FIXTURES.isdisjoint(names) or any(item.get_closest_marker(name) for name in _MARKS)


def _run_of(config: pytest.Config) -> Run:
    run = config.stash.get(_RUN, None)
    if run is None:
        from pytest_phi.run import Run  # noqa: PLC0415 - for runs in which a test asks for it

        run = config.stash[_RUN] = Run(config, _FIXTURES, config.stash[_GUARD])
        config.pluginmanager.register(run, "phi-run")
    return run


@pytest.fixture(scope="session")
def phi_emulator(pytestconfig: pytest.Config) -> PhiEmulator:
    """An emulator, one for all tests of this process, started when the first one needs it.

    While a test that uses it runs, `PHI_ENDPOINT` and `PHI_API_KEY` lead there. What is said to it is forgotten after
    the test.
    """
    return _run_of(pytestconfig).emulator


@pytest.fixture
def phi_faults(phi_emulator: PhiEmulator) -> FaultsOfTest:
    """What goes wrong with the answers to this test: `phi_faults.add("error", error="rate_limited", times=1)`."""
    return phi_emulator.faults


@pytest.fixture
def phi_journal(phi_emulator: PhiEmulator) -> JournalOfTest:
    """What this test asked, and what became of it: `[exchange] = phi_journal`."""
    return phi_emulator.journal


@pytest.fixture
def phi_script(phi_emulator: PhiEmulator) -> ScriptOfTest:
    """What this test is answered: `phi_script.answer("What is 6 * 7?", r"\\boxed{42}")`.

    A request that no rule is about is an error, and fails the test, also where the code under test makes nothing of it.
    """
    script = phi_emulator.script
    script.set((), miss="fail")
    return script


@pytest.fixture
def phi_clock(phi_emulator: PhiEmulator) -> VirtualClock:
    """Virtual time for this test: what takes a day takes no time.

    The test's emulator goes by it, and so do the clients of this package that are made while it runs.
    """
    return phi_emulator.clock
