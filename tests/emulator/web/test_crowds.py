"""More connections than the system has files for: what is said of it is short, and the next one is answered."""

from __future__ import annotations

import asyncio
import errno
import logging
import subprocess
import sys

import pytest
from phi_emulator.web.server import LoopErrors

CROWD = """
import logging, resource, socket, time
import httpx
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

logging.basicConfig()
with Emulator(EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: "42")) as emulator:
    with httpx.Client(trust_env=False) as client:
        assert client.get(emulator.root + "/_emulator/health").status_code == 200
    address = ("127.0.0.1", int(emulator.root.rpartition(":")[2]))
    crowd = [socket.socket() for _ in range(40)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(one.fileno() for one in crowd) + 10, ) * 2)
    for one in crowd:
        one.connect(address)
    time.sleep(0.5)
    for one in crowd:
        one.close()
    with httpx.Client(trust_env=False, timeout=20) as client:
        assert client.get(emulator.root + "/_emulator/health").status_code == 200
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_crowd_is_told_of_in_a_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CROWD], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "as many connections are open as the system allows" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) < 10


def test_what_reaches_the_loop_is_logged_without_values(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(LoopErrors())
        for _ in range(3):
            loop.call_soon(int, "a prompt")
        for _ in range(3):
            loop.call_exception_handler({"message": "full", "exception": OSError(errno.EMFILE, "full")})
        loop.call_exception_handler({"message": "a task was forgotten"})
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        asyncio.run(fail())
    assert [record.getMessage() for record in caplog.records] == [
        "as many connections are open as the system allows: others wait (`ulimit -n`)",
        "the event loop says: a task was forgotten",
        "something failed in the event loop: builtins.ValueError",
    ]
    assert "a prompt" not in caplog.text
