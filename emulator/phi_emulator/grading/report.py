"""Reports of a grade: text for people, JSON for programs, JUnit for CI. It must not know how anything was found."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.etree import ElementTree as ET

from phi_emulator.grading.grader import Finding, Grade
from phi_emulator.grading.verdicts import VERDICTS
from phi_emulator.models.printable import printable

__all__ = ["to_json", "to_junit", "to_text"]

_SHOWN: Final = 600


def to_text(grade: Grade, command: Sequence[str]) -> str:
    """What is wrong, what proves it, and the command that shows it again."""
    lines: list[str] = []
    for finding in _ordered(grade):
        verdict = VERDICTS[finding.verdict]
        lines += [
            f"{finding.verdict}: {printable(finding.proof, _SHOWN)}",
            f"    a good client {verdict.good}",
            *_shown(grade, finding),
            f"    {replay_line(finding, command)}",
            "",
        ]
    for finding in grade.unsteady.values():
        lines += [f"not each time: {finding.verdict} in `{finding.trial}`", *_shown(grade, finding), ""]
    if grade.unjudged:
        names = ", ".join(grade.unjudged)
        why = "The program's time is real: `--patience SECONDS` says when it must have given up"
        lines += [f"not judged: {names}. {why}", ""]
    if grade.stuck:
        lines += [f"{grade.stuck} trials did not end and were killed", ""]
    if grade.is_through and grade.plain_tried < grade.plain and not _has_all(grade):
        lines += [
            f"only {grade.plain_tried} of {grade.plain} plain forms were tried: give more `--seconds`",
            "",
        ]
    kinds = "streams" if grade.is_streaming else "whole answers"
    time = "virtual" if grade.is_virtual else "real"
    found = f"{len(grade.findings)} found" if grade.findings else "nothing found"
    over = "" if grade.is_through else ", not through"
    lines.append(f"{found} in {grade.trials} trials and {grade.seconds:.0f} s ({kinds}, {time} time{over})")
    return "\n".join(lines)


def _has_all(grade: Grade) -> bool:
    return len(grade.findings) + len(grade.unjudged) >= len(VERDICTS)


def _shown(grade: Grade, finding: Finding) -> Iterator[str]:
    if finding.verdict in grade.shown:
        yield f"    shown {grade.shown[finding.verdict]} times of {grade.trials}"


def replay_line(finding: Finding, command: Sequence[str]) -> str:
    """The command that shows a finding again."""
    line = ["phi-emulator", "grade", "--replay", str(finding.trial), "--", *command]
    return printable(shlex.join(line), _SHOWN)


def to_json(grade: Grade, command: Sequence[str]) -> str:
    """All of it."""
    found: dict[str, Any] = {
        "command": [*command],
        "findings": [
            {
                "verdict": finding.verdict,
                "title": VERDICTS[finding.verdict].title,
                "proof": finding.proof,
                "good_client": VERDICTS[finding.verdict].good,
                "replay": str(finding.trial),
            }
            for finding in _ordered(grade)
        ],
        "unsteady": [
            {"verdict": finding.verdict, "proof": finding.proof, "replay": str(finding.trial)}
            for finding in grade.unsteady.values()
        ],
        "not_judged": [*grade.unjudged],
        "trials": grade.trials,
        "plain_forms": {"tried": grade.plain_tried, "of": grade.plain},
        "killed": grade.stuck,
        "seconds": round(grade.seconds, 1),
        "time": "virtual" if grade.is_virtual else "real",
        "streams": grade.is_streaming,
        "complete": grade.is_through,
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def to_junit(grade: Grade, command: Sequence[str], ignored: frozenset[str] = frozenset()) -> str:
    """A test case for each verdict."""
    skipped = ignored | set(grade.unjudged)
    suite = ET.Element(
        "testsuite",
        name="phi-emulator grade",
        tests=str(len(VERDICTS)),
        failures=str(len(grade.findings)),
        skipped=str(len(skipped - grade.findings.keys())),
        errors="0",
        time=f"{grade.seconds:.1f}",
    )
    for name, verdict in VERDICTS.items():
        case = ET.SubElement(suite, "testcase", classname="phi-emulator.grade", name=name)
        finding = grade.findings.get(name)
        if finding is not None:
            failure = ET.SubElement(case, "failure", message=_xml(finding.proof))
            failure.text = _xml(f"a good client {verdict.good}\n{replay_line(finding, command)}")
        elif name in skipped:
            ET.SubElement(case, "skipped", message="ignored" if name in ignored else "its time is real")
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return printable(text.replace("\n", " ¶ "), 2 * _SHOWN).replace(" ¶ ", "\n")


def _ordered(grade: Grade) -> Iterator[Finding]:
    return (grade.findings[name] for name in VERDICTS if name in grade.findings)
