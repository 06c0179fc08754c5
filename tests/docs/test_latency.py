"""The page about profiles of latency is current, and has every key and preset."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.latency.language import KEYS
from phi_emulator.latency.presets import PRESETS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference() -> Any:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("latency_reference")
    finally:
        sys.path.remove(str(DOCS))


def test_the_reference_is_current(reference: Any) -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run `python docs/latency_reference.py`"
    )


def test_every_key_and_preset_is_in_the_reference(reference: Any) -> None:
    page = reference.page()
    assert [name for name in (*(key.name for key in KEYS), *PRESETS) if f"`{name}`" not in page] == []


def test_the_guide_names_presets_that_there_are() -> None:
    guide = (DOCS / "how-to" / "imitate-latency.md").read_text(encoding="utf-8")
    named = {word.strip("`\",'") for word in guide.split() if word.strip("`\",'").startswith("phi-4-")}
    assert named <= PRESETS.keys() | {"phi-4-mini-reasoning"}
    assert named & PRESETS.keys()
