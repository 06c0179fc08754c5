"""The bar: drawn again on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io

from phi_client._map.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Watch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_on_a_terminal_one_line_is_drawn_again() -> None:
    stream, now = Terminal(), Watch()
    bar = Progress(200, 0, stream, now)
    bar.show(0, 0, 0)
    now.seconds = 10
    bar.show(50, 2, 12_345)
    assert stream.getvalue().count("\r") == 2
    assert "\n" not in stream.getvalue()
    last = stream.getvalue().rpartition("\r")[2]
    assert last.startswith("[######..................] 50/200  25%, 5.0/s, 0:30 left, 2 failed, 12,345 to")
    bar.show(200, 2, 99, is_last=True)
    assert stream.getvalue().endswith("\n")


def test_a_shorter_line_leaves_nothing_of_a_longer_one() -> None:
    stream, now = Terminal(), Watch()
    bar = Progress(2, 0, stream, now)
    bar.show(1, 1, 1_000_000)
    now.seconds = 1
    bar.show(2, 0, 1, is_last=True)
    first, second = stream.getvalue().split("\r")[1:]
    assert len(second.rstrip("\n")) >= len(first)


def test_it_is_not_drawn_more_often_than_eyes_can_read() -> None:
    stream, now = Terminal(), Watch()
    bar = Progress(1000, 0, stream, now)
    for done in range(1000):
        now.seconds += 0.01
        bar.show(done, 0, 0)
    assert 90 <= stream.getvalue().count("\r") <= 101


def test_elsewhere_there_is_a_line_every_ten_seconds_and_at_the_end() -> None:
    stream, now = io.StringIO(), Watch()
    bar = Progress(300, 0, stream, now)
    for done in range(300):
        now.seconds += 0.1
        bar.show(done, 0, 0)
    bar.show(300, 0, 0, is_last=True)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert "\r" not in stream.getvalue()
    assert lines[-1].startswith("[########################] 300/300 100%")


def test_what_was_restored_does_not_count_as_speed() -> None:
    stream, now = io.StringIO(), Watch()
    bar = Progress(1000, 900, stream, now)
    now.seconds = 10
    bar.show(910, 0, 0)
    assert "1.0/s, 1:30 left" in stream.getvalue()


def test_hours_are_written_as_such_and_no_items_are_all_items() -> None:
    stream, now = io.StringIO(), Watch()
    now.seconds = 0
    bar = Progress(100_001, 0, stream, now)
    now.seconds = 10
    bar.show(1, 0, 0)
    assert "277:46:40 left" in stream.getvalue()
    Progress(0, 0, stream, now).show(0, 0, 0)
    assert "0/0 100%" in stream.getvalue()
