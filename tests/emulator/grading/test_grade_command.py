"""The command `phi-emulator grade`: exit statuses, reports, and what is said of wrong usage."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.grading.verdicts import VERDICTS

PROGRAMS = Path(__file__).parent / "programs"
PLAIN = "plain seed=1 pieces=7"


def grade(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(phi_emulator, ["grade", *words], prog_name="phi-emulator")
    return result.exit_code, result.output


def program(name: str) -> list[str]:
    return ["--", sys.executable, str(PROGRAMS / f"{name}.py"), "{prompt}"]


def test_what_is_found_is_in_every_report(tmp_path: Path) -> None:
    reports = tmp_path / "grade.json", tmp_path / "grade.xml"
    status, said = grade(
        "--replay", f"{PLAIN} | 1 no_end", "--json", str(reports[0]), "--junit", str(reports[1]),
        *program("cut_without_a_finish_reason"),
    )  # fmt: skip
    assert status == 1
    assert "cut-taken-as-whole: exit status 0, and the answer has no finish reason" in said
    assert f"phi-emulator grade --replay '{PLAIN} | 1 no_end' -- " in said
    found = json.loads(reports[0].read_text(encoding="utf-8"))
    assert [(one["verdict"], one["replay"]) for one in found["findings"]] == [
        ("cut-taken-as-whole", f"{PLAIN} | 1 no_end")
    ]
    assert found["time"] == "virtual"
    suite = ET.fromstring(reports[1].read_text(encoding="utf-8"))
    assert [case.attrib["name"] for case in suite] == [*VERDICTS]
    assert [case.attrib["name"] for case in suite if case.find("failure") is not None] == [
        "cut-taken-as-whole"
    ]


def test_nothing_found_is_status_0_and_ignoring_is_nothing_found() -> None:
    line = f"{PLAIN} | 1 no_end"
    assert grade("--quiet", "--replay", line, *program("right_stream"))[0] == 0
    ignoring = grade(
        "--replay", line, "--ignore", "cut-taken-as-whole", *program("cut_without_a_finish_reason")
    )
    assert ignoring[0] == 0
    other = grade("--replay", line, "--only", "retry-storm", *program("cut_without_a_finish_reason"))
    assert other[0] == 0
    assert "nothing found" in other[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--replay", "x", "--", "true"], "is no answer: write `KIND seed=NUMBER pieces=NUMBER`"),
        (["--only", "nothing", "--", "true"], "'nothing' is no verdict: known are retry-after-ignored"),
        (["--", "no-such-program"], "command not found: 'no-such-program'"),
        (["--", sys.executable, "-c", "pass"], "the program asked nothing: exit status 0"),
        (["--json", "no/such/folder.json", "--", "true"], "there is no folder 'no/such'"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_to_do(words: list[str], said: str) -> None:
    status, output = grade(*words)
    assert status == 2
    assert said in output


def test_the_list_names_all_verdicts() -> None:
    status, said = grade("--list")
    assert status == 0
    assert all(name in said for name in VERDICTS)


@pytest.mark.skipif(sys.platform == "win32", reason="a signal that Windows doesn't send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_prints_what_was_found_so_far(tmp_path: Path, number: signal.Signals) -> None:
    report = tmp_path / "grade.json"
    command = [sys.executable, "-m", "phi_emulator", "grade", "--json", str(report)]
    with subprocess.Popen(
        [*command, *program("length_scored")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("trial 2:"):
                break
        running.send_signal(number)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "not through" in said
    assert json.loads(report.read_text(encoding="utf-8"))["complete"] is False
