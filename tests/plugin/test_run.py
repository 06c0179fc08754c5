"""A run of pytest with the plugin: several processes, virtual time, and what it costs those who don't use it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.plugin.conftest import RunTests

ROOT = Path(__file__).parents[2]


def test_each_process_of_a_parallel_run_has_an_emulator_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os
        import pathlib
        import pytest
        from phi_client import PhiClient

        @pytest.mark.parametrize("number", range(8))
        def test_it(phi_faults, phi_journal, phi_emulator, number):
            worker = os.environ["PYTEST_XDIST_WORKER"]
            with pathlib.Path(f"{worker}.txt").open("a") as file:
                print(phi_emulator.root, file=file)
            phi_faults.add("error", error="rate_limited", times=1)
            with phi_emulator.client(max_retries=0) as client:
                with pytest.raises(Exception, match="429"):
                    client.complete("What is 1 + 1?")
                assert client.complete(f"What is 10 + {number}?", temperature=0).answer == str(10 + number)
            assert [one.status for one in phi_journal.wait_for(2)] == [429, 200]
        """
    )
    result = pytester.runpytest_subprocess("-p", "pytest_phi", "-n", "2", "--dist", "each", "-q")
    result.assert_outcomes(passed=16)
    roots = [set(path.read_text().splitlines()) for path in pytester.path.glob("gw*.txt")]
    assert [len(found) for found in roots] == [1, 1]
    assert roots[0] != roots[1]


def test_time_passes_at_once_for_clients_of_the_test_and_of_the_code_under_test(run_tests: RunTests) -> None:
    run_tests(
        """
        import asyncio
        from phi_client import PhiClient

        def test_a_client_of_ones_own(phi_clock, phi_faults):
            phi_faults.add("error", error="rate_limited", times=1)
            began = phi_clock.now()
            with PhiClient(deadline=None) as client:
                assert client.complete("What is 12 + 30?", temperature=0).answer == "42"
            assert phi_clock.now() - began >= 43

        def test_a_client_of_the_fixture(phi_emulator, phi_clock):
            phi_emulator.faults.add("wait", seconds=3600, times=1)
            began = phi_clock.now()
            async def ask():
                async with phi_emulator.async_client(timeout=None) as client:
                    return (await client.complete("What is 12 + 30?", temperature=0)).answer
            assert asyncio.run(ask()) == "42"
            assert 3600 <= phi_clock.now() - began < 3700

        def test_real_time(phi_emulator):
            with PhiClient() as client:
                assert client.complete("What is 12 + 30?", temperature=0).answer == "42"
        """
    ).assert_outcomes(passed=3)


def test_a_run_that_uses_nothing_of_it_loads_nothing_of_it(run_apart: RunTests) -> None:
    run_apart(
        """
        import sys

        def test_it():
            ours = {name for name in sys.modules if name.startswith(("pytest_phi", "phi_"))}
            assert ours == {
                "pytest_phi", "pytest_phi.settings", "pytest_phi.other_clients", "pytest_phi.when_loaded"
            }
        """
    ).assert_outcomes(passed=1)


def test_fixtures_marks_and_options_are_listed(run_tests: RunTests) -> None:
    told = run_tests("", "--fixtures").stdout.str()
    for name in ("phi_emulator", "phi_faults", "phi_script", "phi_journal", "phi_clock"):
        assert name in told
    assert "@pytest.mark.phi_recording(name=None" in run_tests("", "--markers").stdout.str()
    assert "--phi-record" in run_tests("", "--help").stdout.str()


def test_the_distribution_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"pytest_phi": "pytest_phi"}
    assert "emulator/pytest_phi" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
