"""The pages about faults are current: the reference, and the rules under the measured table."""

from __future__ import annotations

import importlib
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.faults.catalogue import EFFECTS, ERRORS
from phi_emulator.faults.rules import CONDITIONS, When

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference() -> Any:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("fault_reference")
    finally:
        sys.path.remove(str(DOCS))


def test_the_reference_is_current(reference: Any) -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run `python docs/fault_reference.py`"
    )


def test_the_reference_of_the_grade_is_current() -> None:
    sys.path.insert(0, str(DOCS))
    try:
        grade = importlib.import_module("grade_reference")
    finally:
        sys.path.remove(str(DOCS))
    assert grade.PAGE.read_text(encoding="utf-8") == grade.page(), "run `python docs/grade_reference.py`"


def test_every_effect_error_and_condition_is_in_the_reference(reference: Any) -> None:
    page = reference.page()
    assert [name for name in (*EFFECTS, *ERRORS, *CONDITIONS) if f"`{name}`" not in page] == []
    assert set(CONDITIONS) == {field.name for field in fields(When)}


def test_the_measured_clients_were_judged_by_the_catalogue() -> None:
    from benchmarks.fault_table import ROWS  # noqa: PLC0415

    page = (DOCS / "explanation" / "faults.md").read_text(encoding="utf-8")
    assert [row.fault for row in ROWS if f"| {row.fault} | {row.rule} |" not in page] == []
