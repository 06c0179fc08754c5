"""A benchmark as one page of HTML: plots, the tables beside them, and how they came about.

It must not know how the numbers were taken, and takes all texts and numbers from `report` and `bars`. The page has no
script and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.etree import ElementTree as ET

from phi_emulator.bench.bars import Verdict, verdicts
from phi_emulator.bench.report import Report, Side, Table, milliseconds
from phi_emulator.charts import Bar, Chart, Group, Reference, draw
from phi_emulator.models.printable import printable

__all__ = ["Origin", "html_page"]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = """
:root {
  color-scheme: light dark;
  --text: #1f2328; --paper: #ffffff; --soft: #f6f8fa; --line: #8c959f; --bad: #a40e26; --good: #116329;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e6edf3; --paper: #0d1117; --soft: #161b22; --line: #7d8590; --bad: #ff9a94; --good: #56d364;
  }
}
body { margin: 0 auto; max-width: 78rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; }
body { color: var(--text); background: var(--paper); }
section { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; margin: 2rem 0; }
section > h2, section > p { flex-basis: 100%; margin: 0; }
section > div { flex: 1 1 20rem; min-width: 0; overflow-x: auto; }
svg.chart { display: block; max-width: 100%; height: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { background: var(--soft); }
.fails { color: var(--bad); font-weight: 600; }
.holds { color: var(--good); }
pre { padding: .7rem; background: var(--soft); white-space: pre-wrap; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """How numbers came about."""

    command: str
    """What takes them again, as for a shell."""
    began: datetime
    """When they were taken, in UTC."""
    measured_on: Mapping[str, str]
    """What they hold for: the machine, and settings; by name, as it is shown."""


def html_page(report: Report, origin: Origin) -> str:
    """The page, whole."""
    html = ET.Element("html", lang="en")
    head = ET.SubElement(html, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _text(head, "title", f"phi-emulator bench: {report.model}")
    ET.SubElement(head, "style").text = _STYLE
    body = ET.SubElement(ET.SubElement(html, "body"), "main")
    _text(body, "h1", "What HTTP, queue and streaming cost")
    _text(body, "p", report.heading)
    _verdicts(body, list(verdicts(report)))
    for title, charts, table in _parts(report):
        section = _section(body, title)
        if charts:
            plots = ET.SubElement(section, "div")
            plots.extend(map(draw, charts))
        ET.SubElement(section, "div").append(_table(table))
    _origin(body, origin)
    return "<!doctype html>\n" + ET.tostring(html, encoding="unicode", method="html") + "\n"


def _verdicts(body: ET.Element, judged: Sequence[Verdict]) -> None:
    if not judged:
        return
    section = _section(body, "What each figure must reach")
    failed = sum(not verdict.holds for verdict in judged)
    says = f"{failed} of {len(judged)} bars don't hold." if failed else f"All {len(judged)} bars hold."
    _text(section, "p", says, "fails" if failed else "holds")
    shown = [
        Group(v.figure, [Bar("measured", v.part, f"{v.measured} ({v.bar})", fails=not v.holds)])
        for v in judged
        if v.part is not None
    ]
    if shown:
        chart = Chart("Figures beside their bars", shown, Reference(1.0, "the bar"))
        ET.SubElement(section, "div").append(draw(chart))
    cells = ET.SubElement(section, "div")
    rows = [(v.figure, v.measured, v.bar, "✓ yes" if v.holds else "✗ no") for v in judged]
    table = _table(Table(("Figure", "Measured", "Bar", "Holds"), rows))
    for row, verdict in zip(table.iter("tr"), [None, *judged], strict=True):
        if verdict is not None:
            row[-1].set("class", "holds" if verdict.holds else "fails")
    cells.append(table)


def _parts(report: Report) -> Iterator[tuple[str, list[Chart], Table]]:
    *before, others = report.tables()
    for table in before:
        yield "Conversations at once", [*_of_sides(report.sides)], table
    yield "First tokens, gaps and waits", [*_of_times(report)], others


def _of_sides(sides: Mapping[int, tuple[Side, Side]]) -> Iterator[Chart]:
    names = ("bare engine", "emulator")
    yield Chart(
        "Tokens a second, of all conversations together",
        [
            Group(
                f"At once: {number}",
                [
                    Bar(name, side.tokens_a_second, f"{side.tokens_a_second:.0f}", kind)
                    for kind, (name, side) in enumerate(zip(names, both, strict=True))
                ],
            )
            for number, both in sides.items()
        ],
    )
    yield Chart(
        "Time to the first token",
        [
            Group(
                f"At once: {number}",
                [
                    _time(name, side.first_s, kind)
                    for kind, (name, side) in enumerate(zip(names, both, strict=True))
                ],
            )
            for number, both in sides.items()
        ],
    )


def _of_times(report: Report) -> Iterator[Chart]:
    if report.first_cold_s:
        times = (
            ("an unseen prompt", report.first_cold_s),
            ("a second turn", report.first_second_turn_s),
            ("chats that alternate", report.first_alternating_s),
        )
        bars = [_time(name, seconds) for name, seconds in times if seconds]
        yield Chart("First token by what was seen before", [Group("First token of", bars)])
    if report.gap_normal_s and report.gaps_joining_s:
        joining = [_time(name, gap, 1) for name, gap in zip(_RANKS, report.gaps_joining_s, strict=True)]
        groups = [
            Group("Three streams alone", [_time("usual", report.gap_normal_s)]),
            Group("While a newcomer joins", joining),
        ]
        yield Chart("Gaps between tokens", groups)
    spreads = (
        ("Event loop's delay while four streams run", report.loop_delay_s),
        ("Health route while four streams run", report.health_s),
        ("Idle after a hang-up in a long prompt, streamed", report.hang_up_streamed_s),
        ("Idle after a hang-up in a long prompt, not streamed", report.hang_up_whole_s),
    )
    groups = [
        Group(title, [_time(name, seconds) for name, seconds in zip(_RANKS, spread, strict=True)])
        for title, spread in spreads
        if spread
    ]
    if groups:
        yield Chart("Waits", groups)


_RANKS: Final = ("median", "95 %", "99 %", "worst")


def _time(name: str, seconds: float, kind: int = 0) -> Bar:
    return Bar(name, seconds, milliseconds(seconds), kind)


def _origin(body: ET.Element, origin: Origin) -> None:
    section = _section(body, "How they were taken")
    cells = ET.SubElement(section, "div")
    _text(cells, "p", f"On {origin.began:%Y-%m-%d at %H:%M} UTC, by this command:")
    _text(ET.SubElement(cells, "pre"), "code", origin.command)
    _text(cells, "p", "Between machines, compare ratios and not times. This one:")
    cells.append(_table(Table(("Machine and settings", ""), [*origin.measured_on.items()])))


def _section(body: ET.Element, title: str) -> ET.Element:
    section = ET.SubElement(body, "section")
    _text(section, "h2", title)
    return section


def _table(table: Table) -> ET.Element:
    made = ET.Element("table")
    head = ET.SubElement(ET.SubElement(made, "thead"), "tr")
    for cell in table.head:
        _text(head, "th", cell).set("scope", "col")
    body = ET.SubElement(made, "tbody")
    for cells in table.rows:
        row = ET.SubElement(body, "tr")
        for cell in cells:
            _text(row, "td", cell)
    return made


def _text(parent: ET.Element, tag: str, text: str, look: str = "") -> ET.Element:
    element = ET.SubElement(parent, tag, {"class": look} if look else {})
    element.text = printable(text)
    return element
