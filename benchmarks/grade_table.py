"""What `phi-emulator grade` finds in clients as they come: a table in markdown.

Run it from the root of the repository, with a Python that has the clients of `.ci/foreign/grade.txt`:

    python -m benchmarks.grade_table --python peers/bin/python

Each client is asked by a program in `examples/grade/`, written as its documentation has it, with default settings.
"""
# ruff: noqa: INP001  # commands beside one another, no package

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from phi_emulator.command_line.grade_command import environment
from phi_emulator.config import EmulatorConfig
from phi_emulator.grading.grader import Grade, Grader, NotGradableError, Plan
from phi_emulator.grading.program import CannotStartError
from phi_emulator.grading.stage import staged
from phi_emulator.grading.verdicts import VERDICTS

PROGRAMS: Final = Path(__file__).parents[1] / "examples" / "grade"
CLIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "phi-client": ("phi_client_whole", "phi_client_stream"),
    "openai": ("openai_whole", "openai_stream"),
    "azure-ai-inference": ("azure_ai_inference_whole", "azure_ai_inference_stream"),
    "litellm": ("litellm_whole",),
    "langchain-openai": ("langchain_openai_whole",),
    "pydantic-ai": ("pydantic_ai_whole",),
    "instructor": ("instructor_whole",),
}
"""The programs of each client."""
OTHERS: Final = frozenset({"litellm", "langchain-openai", "pydantic-ai", "instructor"})
"""Those that are not in this project's own environment."""
DISTRIBUTIONS: Final = {"pydantic-ai": "pydantic-ai-slim"}


def grade(python: str, program: str, plan: Plan) -> Grade:
    """What is found in one program."""
    command = [python, str(PROGRAMS / f"{program}.py"), "{prompt}"]
    with staged(command, EmulatorConfig(port=0), environment) as stage:
        grader = Grader(stage, plan, tell=lambda line: print(line, file=sys.stderr))
        return grader.search()


def row(client: str, version: str, found: Grade) -> str:
    """One line of the table."""
    cells = ["**wrong**" if name in found.findings else "" for name in VERDICTS]
    kind = "streams" if found.is_streaming else "whole"
    right = f"{len(VERDICTS) - len(found.findings)} of {len(VERDICTS)}"
    tried = (
        f"{found.trials}"
        if found.plain_tried == found.plain
        else f"{found.trials}, not through the plain forms"
    )
    return f"| {client} {version}, {kind} | " + " | ".join([*cells, right, tried]) + " |"


def version_of(python: str, client: str) -> str:
    """The version of a client in that environment."""
    name = DISTRIBUTIONS.get(client, client)
    script = f"import importlib.metadata as m; print(m.version({name!r}))"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grade_table", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"clients; without any all of {', '.join(CLIENTS)}")
    parser.add_argument("--python", default=sys.executable, help="what has those that are not installed here")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the search in each program")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--repeats", type=int, default=3, help="how often a finding must show again")
    options = parser.parse_args()
    # litellm asks the network for prices without it.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    plan = Plan(seconds=options.seconds, seed=options.seed, repeats=options.repeats)
    lines: list[str] = []
    print("| Client | " + " | ".join([*(one.title for one in VERDICTS.values()), "Right", "Trials"]) + " |")
    print("| --- |" + " --- |" * (len(VERDICTS) + 2), flush=True)
    status = 0
    for client in options.names or CLIENTS:
        python = options.python if client in OTHERS else sys.executable
        for program in CLIENTS[client]:
            try:
                found = grade(python, program, plan)
            except (NotGradableError, CannotStartError) as error:
                print(f"{program} can't be graded: {error}", file=sys.stderr)
                status = 2
                continue
            print(row(client, version_of(python, client), found), flush=True)
            for name, finding in found.findings.items():
                lines.append(f"| `{program}` | {name} | `{finding.trial}` | {finding.proof} |")
    print("\n| Program | Verdict | Line | What was seen |\n| --- | --- | --- | --- |")
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
