"""Programs in processes of their own, on real sockets: planted bugs show in their lines, right programs are left alone.

`python -m benchmarks.grade` searches for all of them by seed, and replays what it finds a hundred times.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from phi_emulator.command_line.grade_command import environment
from phi_emulator.config import EmulatorConfig
from phi_emulator.grading.grader import Grader, NotGradableError, Plan
from phi_emulator.grading.program import CannotStartError
from phi_emulator.grading.stage import Stage, staged
from phi_emulator.grading.trials import read_trial

from tests.emulator.grading.expected import PLANTED, RIGHT

PROGRAMS = Path(__file__).parent / "programs"
PLAIN = "plain seed=1 pieces=7"
LINES = {
    "retry_after_date_not_understood": f"{PLAIN} | 1 retry_after form=date seconds=30",
    "storm_at_once": f"{PLAIN} | 1- error error=engine_failed",
    "cut_without_a_finish_reason": f"{PLAIN} | 1 no_end",
    "limit_held_off_by_comments": f"{PLAIN} | 1 comments_only every=30",
    "key_follows_redirects": f"{PLAIN} | 1 redirect status=307 to=port",
    "error_body_lost_in_the_stream": f"{PLAIN} | 1 error_in_stream",
    "thoughts_where_a_tag_is_split": "plain seed=1 pieces=3",
    "length_scored": f"{PLAIN} | 1 finish tokens=18",
    "billed_for_a_cut_stream": f"{PLAIN} | 1 cut_body bytes=5000",
    "letters_lost_between_pieces": f"{PLAIN} | 1 split",
}
NOTHING_WRONG = f"{PLAIN} | 1 retry_after seconds=30"


def staging(*command: str) -> Iterator[Stage]:
    with staged([sys.executable, *command], EmulatorConfig(port=0), environment) as stage:
        yield stage


@pytest.mark.parametrize("name", LINES)
def test_a_planted_bug_shows_in_its_line(name: str) -> None:
    for stage in staging(str(PROGRAMS / f"{name}.py")):
        found = Grader(stage, Plan(repeats=1)).replay(read_trial(LINES[name])).findings
    assert PLANTED[name] in found


@pytest.mark.parametrize("name", ["right_whole", "right_async"])
def test_a_right_program_is_left_alone(name: str) -> None:
    assert name in RIGHT
    for stage in staging(str(PROGRAMS / f"{name}.py")):
        grader = Grader(stage, Plan(repeats=1))
        for line in (NOTHING_WRONG, f"{PLAIN} | 1- wait seconds=3600", f"{PLAIN} | 1 cut_body bytes=700"):
            assert grader.replay(read_trial(line)).findings == {}
    assert grader.grade.is_virtual


def test_a_search_finds_shrinks_and_repeats() -> None:
    wanted = frozenset({"error-body-lost"})
    ignored = frozenset(PLANTED.values()) - wanted
    told: list[str] = []
    for stage in staging(str(PROGRAMS / "error_by_its_status.py")):
        plan = Plan(seed=3, seconds=60, repeats=2, ignored=ignored)
        grade = Grader(stage, plan, tell=told.append).search()
    finding = grade.findings["error-body-lost"]
    assert finding.trial.seed == 1  # though it was another one's that found it
    assert str(finding.trial) == f"{PLAIN} | 1 retry_after seconds=30"
    assert grade.trials >= 4
    assert grade.is_through
    assert any(line.startswith("trial 1:") for line in told)


A_DAY = """
import asyncio, queue, select, sys, threading, time, urllib.request, os, json
began = time.monotonic(), time.time()
request = urllib.request.Request(os.environ["PHI_ENDPOINT"] + "/chat/completions",
    json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode(),
    {"Authorization": "Bearer " + os.environ["PHI_API_KEY"], "Content-Type": "application/json"})
print(json.load(urllib.request.urlopen(request, timeout=5))["choices"][0]["message"]["content"])
done = []
threading.Thread(target=lambda: (time.sleep(7200), done.append("thread"))).start()
time.sleep(3600); done.append("sleep")
try: queue.Queue().get(timeout=1800)
except queue.Empty: done.append("queue")
select.select([], [], [], 900); done.append("select")
threading.Event().wait(300); done.append("event")
async def main():
    async def late():
        await asyncio.sleep(5000); done.append("late")
    task = asyncio.create_task(late())
    try: await asyncio.wait_for(asyncio.Event().wait(), 4000)
    except asyncio.TimeoutError: done.append("timeout")
    await task
asyncio.run(main())
print(*done, file=sys.stderr)
print(int(time.monotonic() - began[0]) // 60, int(time.time() - began[1]) // 60, file=sys.stderr)
"""


def test_hours_of_waits_pass_at_once_and_in_the_order_of_real_time(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(A_DAY, encoding="utf-8")
    for stage in staging(str(program)):
        began = time.monotonic()
        outcome = stage.run(read_trial(PLAIN), within_s=60)
        passed = time.monotonic() - began
    assert outcome.run.status == 0, outcome.run.complained
    assert outcome.run.complained.split("\n")[0] == "sleep queue select event thread timeout late"
    minutes = 60 + 30 + 15 + 5 + 83
    assert [int(word) - minutes for word in outcome.run.complained.split("\n")[1].split()] == [0, 0]
    assert passed < 60  # three hours


def test_the_emulators_waits_and_the_programs_limits_come_in_their_order() -> None:
    for stage in staging(str(PROGRAMS / "right_stream.py")):
        left = stage.run(read_trial(f"{PLAIN} | 1 stall tokens=3 seconds=61"), within_s=60)
        stayed = stage.run(read_trial(f"{PLAIN} | 1 stall tokens=3 seconds=59"), within_s=60)
    assert (left.run.status, stayed.run.status) == (1, 0)
    assert "ReadTimeout" in left.run.complained
    assert stayed.seconds > 59


def test_a_program_that_gives_no_answer_cannot_be_graded(tmp_path: Path) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text("print('hello')", encoding="utf-8")
    for stage in staging(str(silent)):
        with pytest.raises(NotGradableError, match="asked nothing: exit status 0"):
            Grader(stage, Plan()).search()
    with (
        pytest.raises(CannotStartError, match="command not found"),
        staged(["no-such-program"], EmulatorConfig(port=0), environment),
    ):
        pass


ENDLESS = """
import os, subprocess, sys, time
subprocess.Popen(["sleep", "1000"])
print(os.getpid(), flush=True)
while True: pass
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_program_without_end_is_killed_with_whoever_it_started(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(ENDLESS, encoding="utf-8")
    for stage in staging(str(program)):
        run = stage.run(read_trial(PLAIN), within_s=1).run
    assert run.status is None
    group = run.printed.strip()
    left = [path for path in Path("/proc").glob("[0-9]*/stat") if _group_of(path) == group]
    assert left == []


def _group_of(path: Path) -> str:
    try:
        fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[2]


def test_a_program_that_prints_without_end_is_killed_before_the_disk_is_full(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("while True: print('x' * 1000000)", encoding="utf-8")
    for stage in staging(str(program)):
        run = stage.run(read_trial(PLAIN), within_s=60).run
    assert run.status is None
    assert len(run.printed) == 1024 * 1024
