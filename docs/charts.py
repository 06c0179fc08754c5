"""Draws the charts of the pages: each shows the table above it, and no number that isn't there.

python docs/charts.py            write the SVG files
python docs/charts.py --check    exit 1 when one is not what would be written

A page names a chart by its picture, `![…](charts/NAME.svg)`; the nearest table above it has the numbers.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pages import write_or_check
from phi_emulator.charts import Bar, Chart, Group, Reference, to_svg

__all__ = ["CHARTS", "FOLDER", "Plot", "plotted"]

EXPLANATION: Final = Path(__file__).parent / "explanation"
FOLDER: Final = EXPLANATION / "charts"
Table = list[list[str]]


@dataclass(frozen=True, slots=True)
class Plot:
    """How a table becomes a chart."""

    page: str
    title: str
    columns: dict[int, str] | None = None
    """The columns that are bars, with their names; all but the first, by their heads, where it is left out."""
    rows: int | None = None
    """Only so many of the first."""
    across: bool = False
    """Whether a column is a group, instead of a row."""
    heading: str = "{}"
    """What stands over a group, with the name of its row or column."""
    limit: int | None = None
    """The column of what the first bar of a row may be at most."""
    reference: Reference | None = None


_STEPS: Final = Reference(1.0, "a plain step")
_AT_ONCE: Final = {3: "bare engine", 4: "emulator"}
CHARTS: Final = {
    "client-speed": Plot(
        "speed.md",
        "What a client costs, to bare httpx",
        columns={2: "phi-client", 3: "openai", 4: "azure-ai-inference", 5: "httpx2"},
        limit=1,
        reference=Reference(1.0, "bare httpx"),
    ),
    "transports": Plot(
        "speed.md",
        "What a transport costs, to httpcore",
        columns={2: "ours", 3: "ours on uvloop", 4: "httpcore on uvloop", 5: "aiohttp", 6: "httpx2"},
        rows=3,
        reference=Reference(1.0, "httpcore"),
    ),
    "drafts": Plot(
        "engine.md",
        "What a step with drafts costs, in plain steps",
        across=True,
        heading="Drafts: {}",
        reference=_STEPS,
    ),
    "graph": Plot(
        "engine.md",
        "What a step costs, to the stock graph's",
        across=True,
        heading="Context: {}",
        reference=Reference(1.0, "the stock graph"),
    ),
    "tokens-bundled": Plot(
        "engine.md", "Tokens a second of the bundled model", columns=_AT_ONCE, heading="At once: {}"
    ),
    "tokens-smollm2": Plot(
        "engine.md", "Tokens a second of SmolLM2-135M", columns=_AT_ONCE, heading="At once: {}"
    ),
    "tokens-phi-size": Plot(
        "engine.md",
        "Tokens a second of a model of Phi-4-mini's size",
        columns=_AT_ONCE,
        heading="At once: {}",
    ),
}


def table_above(page: str, name: str) -> Table:
    """The cells of the table that stands nearest above a chart, its head first.

    Raises:
        ValueError: the page doesn't show the chart, or no table stands above it.
    """
    before, picture, _ = page.partition(f"](charts/{name}.svg)")
    tables = re.findall(r"(?:^\|.*\|\n)+", before, re.MULTILINE)
    if not picture or not tables:
        raise ValueError(f"the page has no table with a chart charts/{name}.svg below it")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[-1].splitlines()]
    return [rows[0], *rows[2:]]


def chart_of(plot: Plot, table: Table) -> Chart:
    """The chart of a table.

    Raises:
        ValueError: a cell is no number.
    """
    head, body = table[0], table[1:][: plot.rows]
    columns = plot.columns or dict(enumerate(head))
    columns = {number: name for number, name in columns.items() if number > 0}
    if plot.across:
        groups = [
            Group(
                plot.heading.format(name), [_bar(kind, row[0], row[number]) for kind, row in enumerate(body)]
            )
            for number, name in columns.items()
        ]
    else:
        groups = [_group_of(plot, row, columns) for row in body]
    return Chart(plot.title, groups, plot.reference)


def _group_of(plot: Plot, row: Sequence[str], columns: dict[int, str]) -> Group:
    bars = [_bar(kind, name, row[number]) for kind, (number, name) in enumerate(columns.items())]
    heading = plot.heading.format(row[0])
    if plot.limit is None:
        return Group(heading, bars)
    first, most = bars[0], float(row[plot.limit])
    fails = first.value > most
    bars[0] = Bar(first.name, first.value, f"{first.text} (at most {row[plot.limit]})", 0, most, fails)
    return Group(heading, bars)


def _bar(kind: int, name: str, cell: str) -> Bar:
    number = re.match(r"[\d,]+(?:\.\d+)?", cell)
    if number is None:
        raise ValueError(f"{cell!r} is no number")
    return Bar(name, float(number[0].replace(",", "")), cell, kind)


def plotted() -> Iterator[tuple[Path, str]]:
    """Each file with what belongs into it."""
    for name, plot in CHARTS.items():
        page = (EXPLANATION / plot.page).read_text(encoding="utf-8")
        yield FOLDER / f"{name}.svg", to_svg(chart_of(plot, table_above(page, name)))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    sys.exit(max(write_or_check(path, text) for path, text in plotted()))
