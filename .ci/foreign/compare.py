"""Holds a foreign suite's report to the page that lists its differences.

    python compare.py PAGE SUITE ANSWERS REPORT

PAGE has a section for each SUITE with a table: who answered, the tests that fail, and why. `*` stands for anything.
Each test of a row must fail and no other may; what is not as listed is printed, and the exit status is 1.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

ROW = re.compile(r"^\| (model, script|model|script) \| (.*?) \| .+ \|$", re.MULTILINE)


def differences(page: str, suite: str, answers: str) -> list[str]:
    """The patterns that the page lists for a suite and who answers it."""
    section = re.split(r"^## ", page.partition(f"\n## {suite}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = ROW.findall(section)
    return [
        pattern
        for who, tests in rows
        if answers in who.split(", ")
        for pattern in re.findall(r"`(.+?)`", tests)
    ]


def read_report(report: str) -> dict[str, bool]:
    """For each test of a JUnit report that was not skipped, as `Class::name`: whether it passed."""
    results = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - written by our own pytest
        name = f"{case.attrib['classname'].rpartition('.')[2]}::{case.attrib['name']}"
        if case.find("skipped") is None:
            results[name] = case.find("failure") is None and case.find("error") is None
    return results


def complaints(patterns: list[str], results: dict[str, bool]) -> list[str]:
    """What is not as listed."""
    if not results:
        return ["no test was run"]
    found: list[str] = []
    listed: set[str] = set()
    for pattern in patterns:
        expression = re.compile(re.escape(pattern).replace(r"\*", ".*"))
        matching = [name for name in results if expression.fullmatch(name)]
        found += [f"passes, though it is listed as {pattern}: {name}" for name in matching if results[name]]
        if not matching:
            found.append(f"is listed, and no such test was run: {pattern}")
        listed.update(matching)
    return found + [
        f"fails, and is not listed: {name}" for name in results if not results[name] and name not in listed
    ]


def main() -> int:
    page, suite, answers, report = sys.argv[1:]
    patterns = differences(Path(page).read_text(encoding="utf-8"), suite, answers)
    path = Path(report)
    results = read_report(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = complaints(patterns, results)
    print(
        *found
        or [f"{sum(not passed for passed in results.values())} of {len(results)} differ, all as listed"],
        sep="\n",
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
