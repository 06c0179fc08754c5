"""The reference of the settings and their schema are current, and the example in it is read."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from phi_emulator.config import SETTINGS, EmulatorConfig

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference() -> Any:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("settings_reference")
    finally:
        sys.path.remove(str(DOCS))


def test_the_reference_and_the_schema_are_current(reference: Any) -> None:
    for path, text in ((reference.PAGE, reference.page()), (reference.SCHEMA, reference.schema())):
        assert path.read_text(encoding="utf-8") == text, "run `python docs/settings_reference.py`"


def test_every_setting_is_in_the_reference_once(reference: Any) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", reference.page(), re.MULTILINE)
    assert sorted(rows) == sorted(SETTINGS)


def test_the_published_schema_is_a_schema(reference: Any) -> None:
    schema = json.loads(reference.SCHEMA.read_text(encoding="utf-8"))
    jsonschema_rs.meta.validate(schema)


def test_the_example_of_the_reference_is_read(reference: Any, tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", reference.page(), re.DOTALL)
    path = tmp_path / "phi-emulator.toml"
    path.write_text(example, encoding="utf-8")
    assert EmulatorConfig.from_file(path).deployments == ("phi",)
