"""The page of the control routes is current, and says something of every route, setting and field."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference() -> Any:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("control_reference")
    finally:
        sys.path.remove(str(DOCS))


def test_the_reference_is_current(reference: Any) -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run `python docs/control_reference.py`"
    )


def test_every_route_is_told_as_it_is_asked(reference: Any) -> None:
    page = reference.PAGE.read_text(encoding="utf-8")
    for route in reference.control_routes():
        path = reference.path_of(route)
        assert f"| `{path}` | {route.method} |" in page
        asked = re.sub(r"\{\w+\}", "anything", path)
        assert re.fullmatch(route.path, asked)
        assert route.needs_key or route.method in ("GET", "HEAD") or route.has_own_key


def test_nothing_in_a_table_goes_without_a_word(reference: Any) -> None:
    page = reference.PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| `\w+` \| +\|$", page, re.MULTILINE) == []
    assert re.findall(r"^\| `/[^|]+` \| \w+ \| [\w ]* \| +\|$", page, re.MULTILINE) == []
