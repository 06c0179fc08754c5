"""Proves `phi-emulator grade`: programs with planted bugs, of which each must be found, and right ones.

Run it from the root of the repository: `python -m benchmarks.grade`. Each program with a bug is searched for at most
60 seconds; its line is then replayed as often as `--replays` says. Right programs are searched with each of `--seeds`.
"""
# ruff: noqa: INP001  # commands beside one another, no package

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from phi_emulator.command_line.grade_command import environment
from phi_emulator.config import EmulatorConfig
from phi_emulator.grading.grader import Grader, Plan
from phi_emulator.grading.stage import staged
from phi_emulator.grading.verdicts import VERDICTS

from tests.emulator.grading.expected import PLANTED, RIGHT

PROGRAMS: Final = Path(__file__).parents[1] / "tests" / "emulator" / "grading" / "programs"


def command(name: str) -> Sequence[str]:
    """What runs a program of the tests."""
    return [sys.executable, str(PROGRAMS / f"{name}.py"), "{prompt}"]


def find(name: str, verdict: str, *, seconds: float, replays: int) -> bool:
    """Whether the bug was found in time, and its line showed it each time again."""
    plan = Plan(seconds=seconds, ignored=frozenset(VERDICTS) - {verdict})
    with staged(command(name), EmulatorConfig(port=0), environment) as stage:
        grader = Grader(stage, plan)
        found = grader.search().findings.get(verdict)
        took = grader.grade.seconds
        if found is None:
            print(
                f"| `{name}` | {verdict} | **not found** in {took:.0f} s, {grader.grade.trials} trials | | |"
            )
            return False
        again = Grader(stage, replace(plan, repeats=replays)).replay(found.trial).shown.get(verdict, 0)
        print(
            f"| `{name}` | {verdict} | {took:.0f} s, {grader.grade.trials} trials | `{found.trial}` "
            f"| {again} of {replays} |",
            flush=True,
        )
        return again == replays


def leave_alone(name: str, *, seconds: float, seeds: Sequence[int]) -> bool:
    """Whether nothing was found in a right program, with any seed."""
    is_right, trials, started = True, 0, time.monotonic()
    for seed in seeds:
        with staged(command(name), EmulatorConfig(port=0), environment) as stage:
            grade = Grader(stage, Plan(seed=seed, seconds=seconds)).search()
        trials += grade.trials
        for finding in [*grade.findings.values(), *grade.unsteady.values()]:
            is_right = False
            print(f"**{name}**, seed {seed}: {finding.verdict}: {finding.proof} (`{finding.trial}`)")
    took = time.monotonic() - started
    print(
        f"| `{name}` | {'nothing' if is_right else '**something**'} | {trials} trials, {took:.0f} s |",
        flush=True,
    )
    return is_right


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grade", description=__doc__)
    parser.add_argument("names", nargs="*", help="programs; without any all of them")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a search")
    parser.add_argument("--replays", type=int, default=100, help="of each line that was found")
    parser.add_argument("--seeds", type=int, default=3, help="how many, for right programs")
    options = parser.parse_args()
    names = options.names or [*PLANTED, *RIGHT]
    print("| Program | Its bug | Found after | Line | Replays |\n| --- | --- | --- | --- | --- |")
    holds = [
        find(name, PLANTED[name], seconds=options.seconds, replays=options.replays)
        for name in names
        if name in PLANTED
    ]
    print("\n| Right program | Found | In |\n| --- | --- | --- |")
    holds += [
        leave_alone(name, seconds=options.seconds, seeds=range(options.seeds))
        for name in names
        if name in RIGHT
    ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
