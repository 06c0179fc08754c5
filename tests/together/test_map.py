"""`map()` against a real emulator: it survives Ctrl-C and kill, and finds the service's pace."""

from __future__ import annotations

import _thread
import asyncio
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phi_client import AsyncPhiClient, PhiClient
from phi_client.testing import with_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from phi_emulator.engine.protocol import Message

    from tests.conftest import FakeTime
    from tests.together.conftest import Running, StartEmulator

    Eventually = Callable[[Callable[[], object]], None]

COUNT = 2000
SEED = 24
KINDS = ["sync", "async"]
RUNNER = Path(__file__).with_name("map_runner.py")


@dataclass
class Asked:
    """Answers each prompt with its number, and counts how often it was asked."""

    prompts: Counter[str] = field(default_factory=Counter[str])

    def __call__(self, messages: Sequence[Message]) -> str:
        prompt = messages[-1].content
        self.prompts[prompt] += 1
        return prompt.split()[-1]


class Runner:
    """Starts the process that maps; none is left after the test."""

    def __init__(self, running: Running, checkpoint: Path, cleanup: ExitStack) -> None:
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("PHI_")} | {
            "PHI_ENDPOINT": running.emulator.endpoint,
            "PHI_API_KEY": running.emulator.key,
        }
        self.checkpoint = checkpoint
        self._cleanup = cleanup

    def start(self, kind: str, count: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(RUNNER), kind, str(self.checkpoint), str(count)],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Without a terminal, which would deliver Ctrl-C by itself.
            start_new_session=True,
        )
        self._cleanup.callback(process.communicate)
        self._cleanup.callback(process.kill)
        return process

    def has_kept(self, items: int) -> bool:
        """Whether so many items are in the checkpoint."""
        return self.kept() >= items

    def kept(self) -> int:
        """Items in the checkpoint."""
        if not self.checkpoint.exists():
            return 0
        return self.checkpoint.read_bytes().count(b"\n") - 1


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_prompts_killed_at_five_moments_are_each_answered_once(
    kind: str, start_emulator: StartEmulator, eventually: Eventually, tmp_path: Path, cleanup: ExitStack
) -> None:
    asked = Asked()
    running = start_emulator(asked, engine={"max_running": 32})
    runner = Runner(running, tmp_path / "c.jsonl", cleanup)
    moments = sorted(random.Random(SEED).sample(range(1, COUNT - 50), 5))
    for moment in moments:
        process = runner.start(kind, COUNT)
        eventually(partial(runner.has_kept, moment))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        # The file ends where the kill found it; it may be torn.
        assert runner.kept() < COUNT
    kept = runner.kept()
    out, err = runner.start(kind, COUNT).communicate(timeout=60)
    result = json.loads(out)
    assert result["answers"] == [str(number) for number in range(COUNT)]
    assert (result["restored"], result["failed"], err) == (kept, 0, "")
    records = [json.loads(line) for line in runner.checkpoint.read_text().splitlines()[1:]]
    assert Counter(record["position"] for record in records) == Counter(range(COUNT))
    assert all(
        record["completion"]["choices"][0]["message"]["content"] == str(record["position"])
        for record in records
    )
    # What was on its way when a kill came is the only thing that is asked again.
    assert asked.prompts.total() - COUNT <= 5 * 32
    assert len(asked.prompts) == COUNT


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_ends_what_runs_and_says_how_to_go_on(
    kind: str, start_emulator: StartEmulator, eventually: Eventually, tmp_path: Path, cleanup: ExitStack
) -> None:
    asked = Asked()
    running = start_emulator(asked, engine={"max_running": 8})
    runner = Runner(running, tmp_path / "c.jsonl", cleanup)
    running.gate.close()
    process = runner.start(kind, 200)
    running.gate.allow(20)
    eventually(lambda: running.gate.waiting and running.status()["running"] == 8)
    eventually(lambda: running.gate.waiting)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    kept = runner.kept()
    assert out == ""
    assert 0 < kept < 200
    words = f"interrupted: {kept} of 200 items are finished and kept in {runner.checkpoint}"
    assert err.splitlines()[-1] == f"{words}; the same call again goes on from there"
    assert "KeyboardInterrupt" in err
    running.gate.allow()
    eventually(lambda: running.status()["running"] == 0)
    result = json.loads(runner.start(kind, 200).communicate(timeout=60)[0])
    assert result["answers"] == [str(number) for number in range(200)]
    assert result["restored"] == kept


def test_an_interrupted_sync_map_hangs_up_although_the_process_lives_on(
    start_emulator: StartEmulator, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    running = start_emulator("many words that take many steps to say", engine={"max_running": 4})
    running.gate.close()
    caplog.set_level(logging.INFO, "phi_emulator.web")

    def interrupt() -> None:
        eventually(lambda: running.status()["running"] == 4)
        _thread.interrupt_main()

    helper = threading.Thread(target=interrupt)
    helper.start()
    with PhiClient(running.emulator.endpoint, running.emulator.key) as client:
        with pytest.raises(KeyboardInterrupt) as caught:
            client.map([f"number {number}" for number in range(50)])
        helper.join()
        assert not [thread for thread in threading.enumerate() if thread.name == "phi-client-map"]
        assert caught.value.__notes__[-1].startswith(
            "interrupted: 0 of 50 items are finished; give `checkpoint=`"
        )
        eventually(lambda: caplog.text.count("client left") == 4)
        before = running.engine.steps
        running.gate.allow()
        eventually(lambda: running.status()["running"] == 0)
        # One step was about to begin; the callers were gone before the next.
        assert running.engine.steps <= before + 2
        assert client.complete("number 7").content.startswith("many")


def test_a_cancelled_async_map_hangs_up(
    start_emulator: StartEmulator, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.web")
    running = start_emulator("many words that take many steps to say", engine={"max_running": 4})
    running.gate.close()

    async def run() -> None:
        async with AsyncPhiClient(running.emulator.endpoint, running.emulator.key) as client:
            work = asyncio.create_task(client.map([f"number {number}" for number in range(50)]))
            await asyncio.to_thread(eventually, lambda: running.status()["running"] == 4)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            await asyncio.to_thread(eventually, lambda: caplog.text.count("client left") == 4)
            before = running.engine.steps
            running.gate.allow()
            await asyncio.to_thread(eventually, lambda: running.status()["running"] == 0)
            assert running.engine.steps <= before + 2
            assert (await client.complete("number 7")).content.startswith("many")

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_how_many_at_once_a_service_takes(
    kind: str, start_emulator: StartEmulator, fake_time: FakeTime
) -> None:
    asked = Asked()
    running = start_emulator(asked, engine={"max_running": 8}, max_concurrent=3)
    prompts = [f"number {number}" for number in range(200)]
    result: Any
    if kind == "async":

        async def run() -> Any:
            async with AsyncPhiClient(running.emulator.endpoint, running.emulator.key) as client:
                with_clock(client, fake_time.clock())
                return await client.map(prompts)

        result = asyncio.run(run())
    else:
        with PhiClient(running.emulator.endpoint, running.emulator.key) as client:
            with_clock(client, fake_time.clock())
            result = client.map(prompts)
    assert [item.completion.content for item in result] == [str(number) for number in range(200)]
    # Thirty-two at once would be refused nine times in ten.
    assert result.retries < 60


class Waited(Exception):  # noqa: N818  # no error
    """Somebody would have waited."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_headers_of_a_limit_hold_it_back_before_the_first_refusal(
    kind: str, start_emulator: StartEmulator, fake_time: FakeTime
) -> None:
    asked = Asked()
    running = start_emulator(asked, requests_per_minute=20)

    def wait(seconds: float) -> None:
        raise Waited(seconds)

    async def wait_async(seconds: float) -> None:
        wait(seconds)

    clock = replace(fake_time.clock(), sleep=wait, sleep_async=wait_async)
    endpoint = running.emulator.root + "/openai/v1"
    prompts = [f"number {number}" for number in range(30)]

    async def run() -> None:
        async with AsyncPhiClient(endpoint, running.emulator.key, model="phi") as client:
            with_clock(client, clock)
            await client.map(prompts)

    def run_sync() -> None:
        with PhiClient(endpoint, running.emulator.key, model="phi") as client:
            with_clock(client, clock)
            client.map(prompts)

    with pytest.raises(Waited) as caught:
        asyncio.run(run()) if kind == "async" else run_sync()
    # The limit was used up, and nothing was refused: a refusal asks for a wait of whole seconds in the retry.
    assert asked.prompts.total() == 20
    assert caught.value.args == (60.0,)
