"""Bars in SVG: well-formed, the same for the same numbers, and harmless whatever texts they are given."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.charts import Bar, Chart, Group, Reference, draw, to_svg

SVG = "{http://www.w3.org/2000/svg}"
TEXTS = st.text(st.characters(codec=None), max_size=40)
NUMBERS = st.floats(0, 1e12, allow_nan=False)
BARS = st.builds(Bar, TEXTS, NUMBERS, TEXTS, st.integers(0, 9), st.none() | NUMBERS, st.booleans())
CHARTS = st.builds(
    Chart,
    TEXTS,
    st.lists(st.builds(Group, TEXTS, st.lists(BARS, max_size=4)), max_size=3),
    st.none() | st.builds(Reference, st.floats(0.001, 1e6), TEXTS),
)


@given(CHARTS)
def test_whatever_it_says_a_chart_is_well_formed_and_bounded(chart: Chart) -> None:
    text = to_svg(chart)
    assert text == to_svg(chart)
    svg = ET.fromstring(text.encode())
    tags = {one.tag.removeprefix(SVG) for one in svg.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "text", "line", "g"}
    assert len([*svg.iter(f"{SVG}g")]) == sum(len(group.bars) for group in chart.groups)
    for place in svg.iter(f"{SVG}rect"):
        assert float(place.get("x", "0")) + float(place.attrib["width"]) <= 640


def test_what_would_be_markup_is_text() -> None:
    hostile = "</svg><script>alert(1)</script>\x00\u202e"
    svg = to_svg(Chart(hostile, [Group(hostile, [Bar(hostile, 1, hostile)])]))
    assert "<script" not in svg
    assert "\x00" not in svg
    assert "&lt;script&gt;" in svg


def test_a_long_name_is_cut_beside_its_bar_and_whole_in_its_title() -> None:
    row = draw(Chart("t", [Group("g", [Bar("n" * 80, 1, "1")])])).find("g")
    assert row is not None
    assert row.findtext("title") == f"{'n' * 80}: 1"
    assert len(row.findtext("text") or "") < 40
