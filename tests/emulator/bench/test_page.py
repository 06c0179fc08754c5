"""A benchmark as one page: all numbers, the bars that fail, how it came about, and nothing from elsewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from phi_emulator import bench
from phi_emulator.bench import verdicts
from phi_emulator.bench.page import Origin, html_page
from phi_emulator.bench.report import Report, Side
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.command_line.report_files import write_report

ORIGIN = Origin(
    "phi-emulator bench --rounds 1", datetime(2026, 3, 4, 5, 6, tzinfo=UTC), {"processor": "Some <chip>"}
)
SCHEME = re.compile(r"https?:|//|javascript:|data:|url\(|@import")


def report(**changes: Any) -> Report:
    made = Report(
        "m", "fp_1", "continuous", 4, 150_000_000, deterministic=False, resident_bytes_before=100_000_000
    )
    made.sides = {1: (Side(0.01, 100.0), Side(0.02, 97.0)), 4: (Side(0.02, 200.0), Side(0.03, 155.2))}
    made.first_cold_s, made.first_second_turn_s, made.first_alternating_s = 1.0, 0.05, 0.1
    made.gap_normal_s, made.gaps_joining_s = 0.01, (0.011, 0.05, 0.08, 0.1)
    made.worst_gap_ratio, made.newcomer_tokens = 10.0, 500
    made.health_s = made.loop_delay_s = (0.001, 0.002, 0.003, 0.006)
    made.hang_up_streamed_s = made.hang_up_whole_s = (0.02, 0.05, 0.05, 0.05)
    made.requests, made.at_a_time, made.answered = 64, 32, 64
    made.resident_bytes_after = 150_000_000
    for name, value in changes.items():
        setattr(made, name, value)
    return made


class Read(HTMLParser):
    """The cells of a page, the texts of its plots, its tags and its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.texts.setdefault(self._open[-1], []).append(data)


def test_every_cell_of_the_tables_is_on_the_page() -> None:
    made = report()
    cells = Read(html_page(made, ORIGIN)).texts["td"]
    assert [
        cell for table in made.tables() for row in table.rows for cell in row if cell and cell not in cells
    ] == []
    for verdict in verdicts(made):
        assert {verdict.figure, verdict.measured, verdict.bar} <= set(cells)


def test_no_number_of_a_plot_is_missing_in_the_tables() -> None:
    page = Read(html_page(report(), ORIGIN))
    cells = set(re.findall(r"[\d.]+", " ".join(page.texts["td"])))
    assert set(re.findall(r"[\d.]+", " ".join(page.texts["text"]))) <= cells


def test_bars_that_fail_are_shown_in_words_and_looks() -> None:
    fine = html_page(report(), ORIGIN)
    assert "All 7 bars hold." in fine
    assert 'class="fails"' not in fine
    failing = Read(html_page(report(first_second_turn_s=0.2, lost=3), ORIGIN))
    assert "2 of 7 bars don't hold." in failing.texts["p"]
    assert failing.texts["td"].count("✗ no") == 2
    # One of the two is a count, which is no bar of a plot.
    assert [text for text in failing.texts["text"] if "fails" in text] == ["0.20 (at most 0.1) ✗ fails"]
    assert [tag for tag, values in failing.tags if values.get("class") == "fails"] == [
        "p",
        "rect",
        "td",
        "td",
    ]


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    html = html_page(report(), ORIGIN)
    assert SCHEME.search(html.replace('xmlns="http://www.w3.org/2000/svg"', "")) is None
    tags = {tag for tag, _ in Read(html).tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "a", "base"}
    assert "default-src 'none'; style-src 'unsafe-inline'" in html


def test_the_machine_and_the_command_are_under_the_numbers() -> None:
    html = html_page(report(), ORIGIN)
    assert "Some &lt;chip&gt;" in html
    assert html.index("phi-emulator bench --rounds 1") > html.index("memory before / after")
    assert "2026-03-04 at 05:06 UTC" in html


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\x00\x1b[31m\u202e\ud800", "<!--", "&amp;"])
def test_a_hostile_name_of_a_model_is_text(name: str) -> None:
    page = Read(html_page(report(model=name), ORIGIN))
    assert "script" not in {tag for tag, _ in page.tags}
    heading = next(text for text in page.texts["p"] if "continuous batching" in text)
    assert not set(heading) & set("\x00\x1b\u202e\ud800")


def test_what_was_not_measured_has_no_plot() -> None:
    bare = Report("m", "fp", "continuous", 1, 1, deterministic=True, resident_bytes_before=None)
    bare.repeats, bare.different_texts = 100, 2
    page = Read(html_page(bare, ORIGIN))
    assert "svg" not in {tag for tag, _ in page.tags}
    assert "1 of 1 bars don't hold." in page.texts["p"]


def test_the_command_writes_the_page_with_itself_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the command makes of the numbers is tested; measuring them takes a minute.
    monkeypatch.setattr(bench, "run_benchmark", lambda *_args, **_options: report())
    monkeypatch.setenv("PHI_EMULATOR_THREADS", "2")
    file = tmp_path / "a page.html"
    file.write_text("old", encoding="utf-8")
    file.chmod(0o640)
    result = CliRunner().invoke(
        phi_emulator, ["bench", "--rounds", "1", "--html", str(file)], prog_name="phi-emulator"
    )
    assert result.exit_code == 0, result.output
    page = Read(file.read_text(encoding="utf-8"))
    assert page.texts["code"] == [f"phi-emulator bench --rounds 1 --html '{file}'"]
    cells = page.texts["td"]
    assert cells[cells.index("threads") + 1] == "2"
    assert "processor" in cells
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["a page.html"]


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_a_place_where_nothing_can_be_written_is_told_before_anything_is_measured(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "run_benchmark", lambda *_args, **_options: pytest.fail("it was measured"))
    for file, says in ((tmp_path / "none" / "x", "there is no folder"), (tmp_path, "is a directory")):
        result = CliRunner().invoke(phi_emulator, ["bench", option, str(file)])
        assert result.exit_code == 2
        assert says in result.output
    both = ["--html", str(tmp_path / "x"), "--json", str(tmp_path / "x")]
    assert "the same file" in CliRunner().invoke(phi_emulator, ["bench", *both]).output


def test_a_report_that_cannot_be_written_leaves_the_old_one_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bench, "run_benchmark", lambda *_args, **_options: report())
    file = tmp_path / "x.html"
    file.write_bytes(b"old")
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", cut)
        result = CliRunner().invoke(phi_emulator, ["bench", "--html", str(file)])
    assert result.exit_code == 1
    assert "a report can't be written: [Errno 28]" in result.output
    assert "| one conversation" in result.output
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]


def test_a_link_is_followed_and_what_is_no_file_is_written_as_it_comes(tmp_path: Path) -> None:
    real = tmp_path / "real"
    link = tmp_path / "link"
    link.symlink_to(real)
    write_report(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    write_report(Path("/dev/null"), b"gone")
    assert not Path("/dev/null").is_file()
