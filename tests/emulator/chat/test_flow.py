"""Texts as a terminal can show them: harmless, of its width, and the same however they were cut."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.chat.flow import Flow, wrapped
from phi_emulator.chat.look import Look
from phi_emulator.models.printable import without_controls
from wcwidth import wcswidth

HOSTILE = "A\x1b[2J\x1b]0;title\x07 \x9b31m red \u202e evil \b\b\x00 <script>"


def lines_of(text: str, *cuts: int) -> list[str]:
    flow = Flow()
    pieces = [text[start:end] for start, end in zip((0, *cuts), (*cuts, len(text)), strict=True)]
    return [line for piece in pieces for line in flow.feed(piece)] + flow.finish()


TEXTS = st.lists(
    st.sampled_from(
        ["a", "乘", " ", "  ", "\n", "\r\n", "\\[", "\\]", "$$", "\\frac{1}{2}", "```", "e\u0301", "\x1b[31m", "word",
         "👨‍👩‍👧", "\ud800"]
    )
    | st.characters()
).map("".join)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.data())
def test_a_text_gives_the_same_lines_however_it_is_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    assert lines_of(text, *cuts) == lines_of(text)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(2, 60))
def test_rows_fit_and_nothing_but_blanks_is_lost(text: str, width: int) -> None:
    for line in lines_of(text):
        rows = [*wrapped(line, width)]
        assert all(wcswidth(row) <= width for row in rows)
        assert "".join("".join(rows).split()) == "".join(line.split())


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_no_line_has_a_character_that_a_terminal_obeys(text: str) -> None:
    for line in lines_of(text):
        assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(one) for one in line}
    assert not {"\x1b", "\x9b", "\r", "\b", "\x00", "\u202e"} & set(without_controls(text))


def test_a_hostile_text_is_shown_and_does_nothing() -> None:
    (line,) = lines_of(HOSTILE)
    assert "\x1b" not in line
    assert "<script>" in line


def test_a_formula_over_several_lines_is_one_line() -> None:
    assert lines_of("So\n\\[\n\\frac{1}{2}\n\\]\nis it.") == ["So", "1/2", "is it."]


def test_a_formula_that_never_ends_is_shown_all_the_same() -> None:
    flow = Flow()
    shown = [line for _ in range(200) for line in flow.feed("$$ a line of more than twenty letters\n")]
    assert shown


def test_code_stays_as_it_is() -> None:
    assert lines_of("```\n\\frac{1}{2}\n```\n\\boxed{7}") == ["```", "\\frac{1}{2}", "```", "[7]"]


def test_a_line_of_a_megabyte_comes_in_parts() -> None:
    flow = Flow()
    lines = flow.feed("x" * 1_000_000)
    assert len(lines) > 200
    assert sum(map(len, flow.pending)) <= 4000


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "no such encoding"])
def test_a_result_stands_in_a_frame_that_fits(columns: int, encoding: str) -> None:
    look = Look(encoding)
    for boxed in ("408", r"\frac{3}{4}", "snake_case", "乘" * 100, "x" * 300, " "):
        rows = [row for _, row in look.result(boxed, columns)]
        assert len({wcswidth(row) for row in rows}) == 1
        assert wcswidth(rows[0]) < columns
        assert all(row.isascii() for row in (rows[0], rows[-1])) is look.is_ascii
    assert [row for _, row in Look("utf-8").result(r"\frac{3}{4}", 80)][1] == "│ 3/4 │"
    assert [row for _, row in Look("utf-8").result("snake_case", 80)][1] == "│ snake_case │"


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8), st.integers(10, 200))
def test_a_status_line_shows_what_there_is_room_for(parts: list[str], columns: int) -> None:
    line = Look("utf-8").status(parts, columns)
    assert line.isprintable()
    assert wcswidth(line) <= max(columns, wcswidth(parts[0]) + 2 if wcswidth(parts[0]) >= 0 else 40)
