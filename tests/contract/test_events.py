"""The SSE decoder gives the same events however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client.contract.events import DONE, EventDecoder, ServerSentEvent, encode_event
from phi_client.contract.wire import ContractError

HARD_STREAM = (
    b"\xef\xbb\xbfdata: after the mark\n\n"
    b": a comment\r\n"
    b'data: {"a": "\xc3\xa9\xf0\x9f\x98\x80"}\r\n\r\n'
    b"data:no space\r\r"
    b"event: error\ndata: first\ndata: second\n\n"
    b"id: 7\nretry: 10\n\n"
    b"data\n\n"
    b"data:  two spaces\n\n"
    b"data: [DONE]\n"
)
HARD_EVENTS = [
    ServerSentEvent("after the mark"),
    ServerSentEvent('{"a": "é😀"}'),
    ServerSentEvent("no space"),
    ServerSentEvent("first\nsecond", "error"),
    ServerSentEvent(""),
    ServerSentEvent(" two spaces"),
    ServerSentEvent(DONE),
]


def decode(*pieces: bytes) -> list[ServerSentEvent]:
    decoder = EventDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.flush()


def test_a_stream_in_one_piece_gives_its_events() -> None:
    assert decode(HARD_STREAM) == HARD_EVENTS


def test_a_stream_of_single_bytes_gives_the_same_events() -> None:
    assert decode(*(bytes([byte]) for byte in HARD_STREAM)) == HARD_EVENTS


@pytest.mark.parametrize("cut", range(len(HARD_STREAM) + 1))
def test_a_cut_anywhere_changes_nothing(cut: int) -> None:
    assert decode(HARD_STREAM[:cut], HARD_STREAM[cut:]) == HARD_EVENTS


@given(st.lists(st.integers(0, len(HARD_STREAM)), max_size=12))
def test_many_cuts_change_nothing(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(HARD_STREAM)]
    pieces = [HARD_STREAM[start:end] for start, end in pairwise(places)]
    assert decode(*pieces) == HARD_EVENTS


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1))
def test_what_is_encoded_is_decoded(lines: list[str]) -> None:
    data = "\n".join(lines)
    expected = [ServerSentEvent(data)]
    assert decode(encode_event(data)) == expected


@given(st.sampled_from(["\n", "\r", "\r\n"]), st.integers(1, 5))
def test_each_line_end_gives_the_same_events(end: str, size: int) -> None:
    stream = f"data: a{end}data: b{end}{end}: c{end}data: d{end}{end}".encode()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert decode(*pieces) == [ServerSentEvent("a\nb"), ServerSentEvent("d")]


def test_an_encoded_event_is_as_azure_sends_it() -> None:
    assert encode_event("{}") == b"data: {}\n\n"
    assert encode_event("broken", name="error") == b"event: error\ndata: broken\n\n"


@pytest.mark.parametrize(
    "pieces", [[b"data: " + b"x" * 20], [b"data: ", b"x" * 20], [b"data: xxxxxxxx\n"] * 3]
)
def test_an_event_beyond_the_bound_is_refused(pieces: list[bytes]) -> None:
    decoder = EventDecoder(max_event_bytes=20)
    for piece in pieces[:-1]:
        assert decoder.feed(piece) == []
    with pytest.raises(ContractError, match="longer than 20 bytes"):
        decoder.feed(pieces[-1])


def test_data_that_is_not_utf8_is_refused_and_a_comment_is_not() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b": \xff\n\n") == []
    with pytest.raises(ContractError, match="not UTF-8"):
        decoder.feed(b"data: \xff\n\n")
