"""Numbers as bars, in SVG: the same bytes for the same numbers, on every machine.

It must not know what is measured, and it reckons no numbers: what stands beside a bar is the text that it is given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from phi_emulator.models.printable import printable

__all__ = ["Bar", "Chart", "Group", "Reference", "draw", "to_svg"]

_WIDTH: Final = 640
_MOST_NAMES: Final = 270
"""The most room for the names of bars, left of them."""
_LEAST: Final = 60
"""The room of the longest bar, however long the text beside it is."""
_BAR: Final = 13
_ROW: Final = 19
_HEADING: Final = 24
_GAP: Final = 8
_TOP: Final = 34
_LETTER: Final = 6.6
"""Width of a letter, roughly: names that are longer than their room are cut, and whole in the bar's title."""
_KINDS: Final = 4
_MOST_TEXT: Final = 20_000
_STYLE: Final = """
.chart { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.chart text { fill: #1f2328; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; paint-order: stroke; }
.chart .heading { font-weight: 600; }
.chart .title { font-size: 14px; font-weight: 600; }
.chart .paper { fill: #ffffff; }
.chart .line { stroke: #59636e; stroke-width: 1; stroke-dasharray: 3 3; }
.chart .limit { stroke: #1f2328; stroke-width: 2; }
.chart .kind-0 { fill: #0a5ec2; }
.chart .kind-1 { fill: #9a6700; }
.chart .kind-2 { fill: #7046b4; }
.chart .kind-3 { fill: #59636e; }
.chart .fails { fill: #cf222e; stroke: #82071e; stroke-dasharray: 4 2; }
@media (prefers-color-scheme: dark) {
.chart text { fill: #e6edf3; stroke: #0d1117; }
.chart .paper { fill: #0d1117; }
.chart .line { stroke: #9198a1; }
.chart .limit { stroke: #e6edf3; }
.chart .kind-0 { fill: #4c9bf5; }
.chart .kind-1 { fill: #d29922; }
.chart .kind-2 { fill: #b48af0; }
.chart .kind-3 { fill: #9198a1; }
.chart .fails { fill: #f85149; stroke: #ffdcd7; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One number."""

    name: str
    value: float
    """How long the bar is; finite, and at least 0."""
    text: str
    """The number as it is shown."""
    kind: int = 0
    """Bars of one kind look alike; the name says more."""
    limit: float | None = None
    """Where a mark is set across the bar."""
    fails: bool = False
    """Whether the number is not what it has to be: said in words too."""


@dataclass(frozen=True, slots=True)
class Group:
    """Bars under one heading."""

    heading: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Reference:
    """A line through all groups."""

    value: float
    name: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Groups of bars on one scale, which begins at 0."""

    title: str
    groups: Sequence[Group]
    reference: Reference | None = None


def to_svg(chart: Chart) -> str:
    """The chart as a file of its own."""
    svg = draw(chart)
    ET.indent(svg, " ")
    return ET.tostring(svg, encoding="unicode") + "\n"


def draw(chart: Chart) -> ET.Element:
    """The chart as an element of HTML, or as the root of a file.

    Colours follow the reader's light or dark; each bar has its name and number beside it, so none is known by its
    colour alone. Without scripts, fonts or addresses of its own.
    """
    rows = sum(len(group.bars) for group in chart.groups)
    height = _TOP + (18 if chart.reference else 0) + rows * _ROW + len(chart.groups) * (_HEADING + _GAP)
    name = "chart-" + "-".join(re.findall(r"[a-z0-9]+", chart.title.lower()))
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {height}",
            "width": str(_WIDTH),
            "height": str(height),
            "class": "chart",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-words",
        },
    )
    _child(svg, "title", chart.title, id=f"{name}-title")
    _child(svg, "desc", _in_words(chart), id=f"{name}-words")
    _child(svg, "style", _STYLE)
    _child(svg, "rect", **{"class": "paper", "width": str(_WIDTH), "height": str(height), "rx": "6"})
    _child(svg, "text", chart.title, x="12", y="22", **{"class": "title"})
    _draw_groups(svg, chart, height)
    return svg


def _draw_groups(svg: ET.Element, chart: Chart, height: int) -> None:
    layout = _layout_of(chart)
    y = float(_TOP)
    if chart.reference:
        x = layout.left + chart.reference.value * layout.scale
        _child(svg, "text", chart.reference.name, x=_at(x), y=_at(y + 10), **{"text-anchor": "middle"})
        y += 18
        _child(svg, "line", x1=_at(x), x2=_at(x), y1=_at(y - 4), y2=_at(height - _GAP), **{"class": "line"})
    for group in chart.groups:
        _child(svg, "text", group.heading, x="12", y=_at(y + 15), **{"class": "heading"})
        y += _HEADING
        for bar in group.bars:
            svg.append(_draw_bar(bar, y, layout))
            y += _ROW
        y += _GAP


class _Layout(NamedTuple):
    left: float
    """Where bars begin."""
    scale: float
    """Pixels for a one."""


def _layout_of(chart: Chart) -> _Layout:
    """As long as the bars can be while each has room for its name and its text."""
    bars = [bar for group in chart.groups for bar in group.bars]
    longest = max((len(bar.name) for bar in bars), default=0)
    left = min(round(longest * _LETTER) + 20, _MOST_NAMES)
    room = _WIDTH - left - 2 * _GAP
    scales = [
        max(room - len(_text_of(bar)) * _LETTER, _LEAST) / reach
        for bar in bars
        if (reach := max(bar.value, bar.limit or 0.0)) > 0
    ]
    if chart.reference:
        scales.append((room - _LEAST) / chart.reference.value)
    return _Layout(left, min(scales, default=1.0))


def _text_of(bar: Bar) -> str:
    return f"{bar.text} ✗ fails" if bar.fails else bar.text


def _draw_bar(bar: Bar, y: float, layout: _Layout) -> ET.Element:
    row = ET.Element("g")
    _child(row, "title", f"{bar.name}: {_text_of(bar)}")
    left, scale = layout
    most = int((_MOST_NAMES - 20) / _LETTER)
    name = bar.name if len(bar.name) <= most else bar.name[: most - 1] + "…"
    _child(row, "text", name, x=_at(left - 8), y=_at(y + 11), **{"text-anchor": "end"})
    look = "fails" if bar.fails else f"kind-{bar.kind % _KINDS}"
    end = max(bar.value * scale, 1.0)
    _child(row, "rect", x=_at(left), y=_at(y), width=_at(end), height=str(_BAR), **{"class": look})
    if bar.limit is not None:
        x = left + bar.limit * scale
        _child(row, "line", x1=_at(x), x2=_at(x), y1=_at(y - 2), y2=_at(y + _BAR + 2), **{"class": "limit"})
        end = max(end, bar.limit * scale)
    _child(row, "text", _text_of(bar), x=_at(left + end + 6), y=_at(y + 11))
    return row


def _in_words(chart: Chart) -> str:
    sentences = [f"A line marks {chart.reference.name}."] if chart.reference else []
    for group in chart.groups:
        bars = ", ".join(f"{bar.name} {_text_of(bar)}" for bar in group.bars)
        sentences.append(f"{group.heading}: {bars}.")
    return " ".join(sentences)


def _at(place: float) -> str:
    return f"{place:.1f}"


def _child(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> None:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text if text is None or tag == "style" else printable(text, _MOST_TEXT)
