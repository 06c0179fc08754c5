"""How far a download is, where there is no terminal: lines, and not too many of them."""

import io

from phi_emulator.command_line.progress import Lines, show_progress

LONG = 1_000_000_000


def test_a_long_stage_writes_a_line_at_each_tenth() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.begin("downloading", LONG)
    for _ in range(1000):
        lines.advance(LONG // 1000)
    written = out.getvalue().splitlines()
    assert written[0] == "downloading (1.00 GB)"
    assert written[1:] == [f"  downloading: {tenth} %" for tenth in range(10, 101, 10)]


def test_what_was_there_before_is_told_and_not_counted_again() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.begin("downloading", LONG, LONG // 2)
    lines.advance(LONG // 10)
    assert out.getvalue().splitlines() == [
        "downloading (1.00 GB, 500.0 MB of it are here)",
        "  downloading: 60 %",
    ]


def test_a_short_stage_is_one_line_and_bytes_in_vain_are_taken_back() -> None:
    out = io.StringIO()
    with show_progress(out) as lines:
        lines.begin("short", 1000)
        lines.advance(1000)
        lines.begin("long", LONG)
        lines.advance(LONG // 2)
        lines.advance(-LONG // 2)
        lines.advance(LONG // 2)
    assert out.getvalue().splitlines() == ["short (1.0 kB)", "long (1.00 GB)", "  long: 50 %", "  long: 50 %"]


def test_nothing_to_do_is_no_division_by_zero() -> None:
    out = io.StringIO()
    Lines(out).begin("nothing", 0)
    assert out.getvalue() == "nothing (0 bytes)\n"


def test_how_long_the_rest_takes_is_measured_in_the_first_seconds_and_said_once() -> None:
    out = io.StringIO()
    now = 0.0
    lines = Lines(out, clock=lambda: now)
    lines.begin("downloading", LONG, LONG // 2)
    for _ in range(8):
        now += 1.0
        lines.advance(12_500_000)
    assert out.getvalue().splitlines()[1:] == [
        "  downloading: 100 Mbit/s so far, at which the rest takes 35 s",
        "  downloading: 60 %",
    ]
