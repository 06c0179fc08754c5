"""The job that runs others' suites notices what newly differs, what no longer does, and a suite that did not run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/foreign-suites.md"
TABLE = """
## one

| Answered by | Tests | What differs, and why |
|---|---|---|
| model, script | `TestA::test_x[*`, `*_y` | because |
| model | `TestA::test_z` | because |

## another

| Answered by | Tests | What differs, and why |
|---|---|---|
| script | `TestB::test_q` | because |
"""


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare", ROOT / ".ci/foreign/compare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_counts_for_its_suite_and_for_who_answered(compare: ModuleType) -> None:
    assert compare.differences(TABLE, "one", "model") == ["TestA::test_x[*", "*_y", "TestA::test_z"]
    assert compare.differences(TABLE, "one", "script") == ["TestA::test_x[*", "*_y"]
    assert compare.differences(TABLE, "another", "model") == []


@pytest.mark.parametrize(
    ("results", "complaint"),
    [
        ({"TestA::test_x[1]": False, "TestA::test_y": False, "TestA::test_ok": True}, None),
        ({"TestA::test_x[1]": False, "TestA::test_y": False, "TestA::test_ok": False}, "is not listed"),
        ({"TestA::test_x[1]": False, "TestA::test_x[2]": True, "TestA::test_y": False}, "passes, though"),
        ({"TestA::test_x[1]": False}, "no such test was run"),
        ({}, "no test was run"),
    ],
)
def test_what_is_not_as_listed_is_told(
    compare: ModuleType, results: dict[str, bool], complaint: str | None
) -> None:
    told = compare.complaints(["TestA::test_x[*", "*_y"], results)
    assert [complaint in one for one in told] == ([] if complaint is None else [True])


def test_a_report_tells_failures_and_errors_and_leaves_out_what_was_skipped(compare: ModuleType) -> None:
    report = """<testsuites><testsuite>
        <testcase classname="module.TestA" name="passes"/>
        <testcase classname="TestA" name="fails"><failure/></testcase>
        <testcase classname="TestA" name="breaks"><error/></testcase>
        <testcase classname="TestA" name="waits"><skipped/></testcase>
    </testsuite></testsuites>"""
    assert compare.read_report(report) == {
        "TestA::passes": True,
        "TestA::fails": False,
        "TestA::breaks": False,
    }


def test_the_page_lists_both_suites(compare: ModuleType) -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| Answered")]
    assert all(compare.ROW.fullmatch(row) for row in rows)
    for suite in ("langchain-tests", "azure-ai-inference"):
        for answers in ("model", "script"):
            assert compare.differences(page, suite, answers)
