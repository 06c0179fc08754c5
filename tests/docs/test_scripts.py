"""The page about scripts is current, and has every key and trace."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.scripts.matching import CONDITIONS
from phi_emulator.scripts.replies import REPLIES
from phi_emulator.scripts.rules import FILE_KEYS, RULE_KEYS
from phi_emulator.scripts.traces import TRACES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference() -> Any:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("script_reference")
    finally:
        sys.path.remove(str(DOCS))


def test_the_reference_is_current(reference: Any) -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run `python docs/script_reference.py`"
    )


def test_every_key_and_trace_is_in_the_reference(reference: Any) -> None:
    page = reference.page()
    assert [
        name for name in (*FILE_KEYS, *CONDITIONS, *REPLIES, *RULE_KEYS, *TRACES) if f"`{name}`" not in page
    ] == []
