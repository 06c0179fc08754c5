"""The charts of the pages are what the command draws of their tables, and show no number that isn't there."""

from __future__ import annotations

import importlib
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FILES = sorted((DOCS / "explanation" / "charts").iterdir())
SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
TABLE = """\
| Figure | at most | ours | theirs |
|---|---|---|---|
| quick | 1.5 | 1 | 2.5 |
| slow | 2 | 3.25 | 0 |

![bars](charts/x.svg)
"""


@pytest.fixture(scope="module")
def charts() -> Any:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("charts")
    finally:
        sys.path.remove(str(DOCS))


def texts(svg: ET.Element) -> list[str]:
    return [one.text or "" for tag in ("text", "title", "desc") for one in svg.iter(f"{SVG}{tag}")]


def bars(svg: ET.Element) -> list[tuple[float, str]]:
    """The width of each bar, with the text beside it."""
    return [
        (float(row.find(f"{SVG}rect").attrib["width"]), [*row.iter(f"{SVG}text")][-1].text or "")  # type: ignore[union-attr]
        for row in svg.iter(f"{SVG}g")
    ]


def drawn(charts: Any, page: str = TABLE, **options: Any) -> ET.Element:
    columns = options.pop("columns", {2: "ours", 3: "theirs"})
    plot = charts.Plot("x.md", "Costs", columns=columns, limit=1, **options)
    return ET.fromstring(charts.to_svg(charts.chart_of(plot, charts.table_above(page, "x"))))


def test_the_files_are_what_the_command_draws(charts: Any) -> None:
    plotted = dict(charts.plotted())
    assert sorted(plotted) == FILES
    for path, text in plotted.items():
        assert path.read_text(encoding="utf-8") == text, "run `make charts`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_number_of_a_chart_is_missing_in_the_table_above_it(path: Path, charts: Any) -> None:
    plot = charts.CHARTS[path.stem]
    page = (DOCS / "explanation" / plot.page).read_text(encoding="utf-8")
    cells = [cell for row in charts.table_above(page, path.stem) for cell in row]
    shown = {number for text in texts(ET.parse(path).getroot()) for number in NUMBER.findall(text)}
    there = {number for text in [*cells, plot.title] for number in NUMBER.findall(text)}
    assert shown
    assert shown <= there
    assert set(NUMBER.findall(plot.title)) <= set(NUMBER.findall(page))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_bars_are_as_long_as_their_numbers_say(path: Path) -> None:
    measured = [
        (width, float(text.split()[0].replace(",", ""))) for width, text in bars(ET.parse(path).getroot())
    ]
    widest, of_it = max(measured)
    assert [width for width, _ in measured] == [
        pytest.approx(max(1.0, number * widest / of_it), abs=0.11) for _, number in measured
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_chart_is_told_in_words_and_is_on_its_page_with_the_command(path: Path, charts: Any) -> None:
    svg = ET.parse(path).getroot()
    ids = svg.attrib["aria-labelledby"].split()
    words = {one.get("id"): one.text or "" for one in svg}
    assert svg.attrib["role"] == "img"
    assert words[ids[0]] == charts.CHARTS[path.stem].title
    assert all(text.split()[0] in words[ids[1]] for _, text in bars(svg))
    page = (DOCS / "explanation" / charts.CHARTS[path.stem].page).read_text(encoding="utf-8")
    assert re.search(rf"!\[\w[^]]+\]\(charts/{path.name}\)", page)
    assert "`make charts`" in page


def test_a_number_above_its_bar_is_shown_as_failing_in_words_and_looks(charts: Any) -> None:
    svg = drawn(charts)
    assert [text for _, text in bars(svg)] == ["1 (at most 1.5)", "2.5", "3.25 (at most 2) ✗ fails", "0"]
    looks = [row.find(f"{SVG}rect").attrib["class"] for row in svg.iter(f"{SVG}g")]  # type: ignore[union-attr]
    assert looks == ["kind-0", "kind-1", "fails", "kind-1"]
    assert len([*svg.iter(f"{SVG}line")]) == 2


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (TABLE.replace("2.5", "much"), "'much' is no number"),
        (TABLE.replace("x.svg", "y.svg"), "no table with a chart"),
        ("![bars](charts/x.svg)", "no table with a chart"),
    ],
)
def test_what_cannot_be_drawn_is_said(page: str, says: str, charts: Any) -> None:
    with pytest.raises(ValueError, match=says):
        drawn(charts, page)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_colours_can_be_told_from_the_paper_in_light_and_dark(charts: Any) -> None:
    style = drawn(charts).find(f"{SVG}style").text or ""  # type: ignore[union-attr]
    halves = style.split("@media (prefers-color-scheme: dark)")
    assert len(halves) == 2
    for half in halves:
        fills = dict(re.findall(r"\.chart (\S+) \{ fill: (#\w{6})", half))
        assert len(fills) == 7
        assert contrast(fills["text"], fills[".paper"]) >= 7
        assert all(contrast(fill, fills[".paper"]) >= 3 for name, fill in fills.items() if name != ".paper")


def test_nothing_of_a_chart_lies_over_another(charts: Any) -> None:
    for path in FILES:
        rows = [float(row.find(f"{SVG}rect").attrib["y"]) for row in ET.parse(path).getroot().iter(f"{SVG}g")]  # type: ignore[union-attr]
        assert all(above + 15 < below for above, below in pairwise(rows))
