"""The emulator's README tells of every known deviation."""

from __future__ import annotations

from pathlib import Path

from phi_emulator.service.deviations import DEVIATIONS

README = Path(__file__).parents[3] / "emulator" / "README.md"


def test_the_readme_tells_of_every_deviation() -> None:
    text = README.read_text(encoding="utf-8")
    rows = [f"| {item.subject} | {item.azure} | {item.emulator} |" for item in DEVIATIONS]
    assert [row for row in rows if row not in text] == []
