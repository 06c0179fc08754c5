"""The plugin beside others that run tests: in event loops, again, in several processes, and broken off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.conftest import RunTests

ASKED = """
import asyncio
import os
import pathlib
import pytest
from phi_client import AsyncPhiClient, PhiClient

SUM = "What is 12 + 30?"

@pytest.fixture
async def client(phi_emulator):
    async with phi_emulator.async_client() as client:
        yield client

async def test_a_client_of_an_async_fixture(client, phi_journal):
    assert (await client.complete(SUM, temperature=0)).answer == "42"
    assert len(phi_journal.wait_for(1)) == 1

async def test_time_of_retries(phi_clock, phi_faults):
    phi_faults.add("error", error="rate_limited", times=1)
    began = phi_clock.now()
    async with AsyncPhiClient(deadline=None) as client:
        assert (await client.complete(SUM, temperature=0)).answer == "42"
    assert phi_clock.now() - began >= 43

async def test_time_of_streams(phi_emulator, phi_clock):
    phi_emulator.faults.add("wait", seconds=3600, times=3)
    began = phi_clock.now()
    async def read(client):
        async with client.stream(SUM, temperature=0) as stream:
            return "".join([chunk.content async for chunk in stream])
    async with phi_emulator.async_client(timeout=None) as client:
        assert len(set(await asyncio.gather(*(read(client) for _ in range(3))))) == 1
    assert 3600 <= phi_clock.now() - began < 3700

async def test_a_script(phi_script):
    phi_script.answer("Who?", "nobody")
    async with AsyncPhiClient() as client:
        assert (await client.complete("Who?")).content == "nobody"
"""


@pytest.mark.parametrize("backend", ["asyncio", "uvloop"])
def test_with_anyio(run_apart: RunTests, backend: str) -> None:
    chosen = f"""
pytestmark = pytest.mark.anyio

@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio", {{"use_uvloop": {backend == "uvloop"}}}
"""
    run_apart(ASKED + chosen, "-p", "anyio.pytest_plugin").assert_outcomes(passed=4)


@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_with_pytest_asyncio(run_apart: RunTests, scope: str) -> None:
    pytest.importorskip("pytest_asyncio")
    settings = ["-o", f"asyncio_default_fixture_loop_scope={scope}", "-o", "asyncio_mode=auto"]
    marked = f"\npytestmark = pytest.mark.asyncio(loop_scope={scope!r})"
    run_apart(ASKED + marked, "-p", "pytest_asyncio.plugin", *settings).assert_outcomes(passed=4)


def test_with_pytest_asyncio_and_several_processes(run_apart: RunTests) -> None:
    pytest.importorskip("pytest_asyncio")
    settings = ["-o", "asyncio_default_fixture_loop_scope=function", "-o", "asyncio_mode=auto"]
    plugins = [
        "-p",
        "pytest_asyncio.plugin",
        "-p",
        "xdist",
        "-p",
        "xdist.looponfail",
        "-n",
        "2",
        "--dist",
        "each",
    ]
    run_apart(ASKED, *plugins, *settings).assert_outcomes(passed=8)


RUN_AGAIN = """
import pytest
from phi_client import PhiClient

runs = []

@pytest.mark.flaky(reruns=2)
def test_it(phi_script, phi_faults, phi_journal):
    runs.append(1)
    assert not phi_faults.counts() and not phi_script.counts() and not len(phi_journal)
    phi_script.answer("x", "y")
    with PhiClient(max_retries=0) as client:
        assert client.complete("x").content == "y"
        if len(runs) == 1:
            with pytest.raises(Exception):
                client.complete("nobody is about this")
        if len(runs) == 2:
            phi_faults.add("error", error="rate_limited")
            client.complete("x")
"""


def test_a_test_that_is_run_again_finds_nothing_of_its_last_run(run_apart: RunTests) -> None:
    pytest.importorskip("pytest_rerunfailures")
    result = run_apart(RUN_AGAIN, "-p", "pytest_rerunfailures")
    assert result.parseoutcomes() == {"passed": 1, "rerun": 2}


def test_a_run_that_stops_at_the_first_failure_leaves_nothing(run_apart: RunTests) -> None:
    result = run_apart(
        "def test_it(phi_emulator): raise ValueError\ndef test_next(phi_emulator): pass",
        "-x",
        "-W",
        "error",
    )
    assert result.parseoutcomes() == {"failed": 1}
    assert not result.stderr.lines


CRASHING = """
import os
import pytest
from phi_client import PhiClient

@pytest.mark.parametrize("number", range(4))
def test_it(phi_emulator, number):
    if number == 1:
        os._exit(3)
    with PhiClient() as client:
        assert client.complete(f"What is 10 + {number}?", temperature=0).answer == str(10 + number)
"""


def test_a_worker_that_crashes_is_replaced_by_one_with_an_emulator(run_apart: RunTests) -> None:
    result = run_apart(CRASHING, "-p", "xdist", "-p", "xdist.looponfail", "-n", "1")
    assert result.parseoutcomes() == {"failed": 1, "passed": 3}


INTERRUPTED = """
import pathlib
import time
import pytest

@pytest.fixture
def cleaned():
    yield
    pathlib.Path("cleaned").touch()

def test_it(phi_emulator, phi_faults, cleaned):
    phi_faults.add("wait", seconds=3600)
    pathlib.Path("begun").touch()
    with phi_emulator.client(timeout=None, deadline=None) as client:
        client.complete("x")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals to one process of a group")
def test_ctrl_c_ends_a_run_whose_test_waits_for_an_answer(
    pytester: pytest.Pytester, run_apart: RunTests
) -> None:
    pytester.makepyfile(test_it=INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "pytest_phi", "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not Path("begun").exists() and process.poll() is None:
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        told, wrong = process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, told
    assert "KeyboardInterrupt" in told
    assert Path("cleaned").exists()
    assert not wrong
