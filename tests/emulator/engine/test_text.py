"""Stop strings: whatever the pieces, the text ends before the first one, and no part of one is shown."""

import time

from hypothesis import example, given
from hypothesis import strategies as st
from phi_emulator.engine.serving.text import StopStrings

PIECES = st.lists(st.text(alphabet="abc", max_size=4), max_size=12)
STOPS = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3)


def run(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    machine = StopStrings(stops)
    shown = ""
    for piece in pieces:
        shown += machine.feed(piece)
    return shown + machine.flush(), machine.stopped


def earliest_completion(text: str, stops: list[str]) -> str | None:
    """The text before the stop string that is complete first as the text grows, the longest match there winning."""
    for length in range(1, len(text) + 1):
        found = [text[:length].find(stop) for stop in stops if stop in text[:length]]
        if found:
            return text[: min(found)]
    return None


@given(PIECES, STOPS)
@example(["xabcd"], ["abcd", "bc"])
@example(["xabcdbc"], ["bcdb", "abc"])
def test_text_ends_before_the_first_complete_stop_string_however_it_is_cut(
    pieces: list[str], stops: list[str]
) -> None:
    text = "".join(pieces)
    expected = earliest_completion(text, stops)
    for cut in (pieces, list(text), [text]):
        assert run(stops, cut) == ((text, False) if expected is None else (expected, True))


def test_long_stop_strings_and_many_of_them_cost_what_the_text_costs() -> None:
    began = time.process_time()
    long = ["x" * 300_000 + "y", "ab" * 150_000, *(f"{number}zz" for number in range(3000))]
    machine = StopStrings(long)
    pieces = ["x" * 1000] * 150 + ["ab" * 1000] * 100 + ["x" * 300_000, "y"]
    shown = "".join(machine.feed(piece) for piece in pieces)
    assert machine.stopped
    assert shown == "".join(pieces)[: -len(long[0])]
    assert time.process_time() - began < 5, "much longer than the text alone accounts for"


def test_a_piece_takes_no_longer_beside_45_000_stop_strings() -> None:
    def seconds(stops: list[str]) -> float:
        machine = StopStrings(stops)
        began = time.process_time()
        for _ in range(2000):
            machine.feed("zq 1")
        return time.process_time() - began

    alone = max(min(seconds(["zq2"]) for _ in range(3)), 0.001)
    assert seconds([f"zq{number}x" for number in range(45_000)]) < 100 * alone


@given(
    st.lists(st.text(alphabet="ab", max_size=9), max_size=6), st.lists(st.text("ab", min_size=1), max_size=6)
)
def test_no_more_is_held_back_than_may_become_a_stop_string(pieces: list[str], stops: list[str]) -> None:
    machine, shown, text = StopStrings(stops), "", ""
    for piece in pieces:
        shown += machine.feed(piece)
        text += piece
        if machine.stopped:
            return
        may = (n for n in range(len(text), 0, -1) if any(stop.startswith(text[-n:]) for stop in stops))
        assert shown == text[: len(text) - next(may, 0)]


@given(PIECES, STOPS)
def test_what_is_shown_early_is_never_taken_back(pieces: list[str], stops: list[str]) -> None:
    machine, shown = StopStrings(stops), ""
    for piece in pieces:
        shown += machine.feed(piece)
        assert not any(stop in shown for stop in stops)
    assert run(stops, pieces)[0].startswith(shown)


def test_a_possible_start_is_held_back_until_it_is_decided() -> None:
    machine = StopStrings(["bcd"])
    assert machine.feed("ab") == "a"
    assert machine.feed("ce") == "bce"
    assert machine.feed("bcdx") == ""
    assert machine.stopped
    assert machine.feed("more") == ""
