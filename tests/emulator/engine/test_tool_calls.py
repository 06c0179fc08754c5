"""Calls of tools in a text: found however it is cut, and half a mark is never shown."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.forms.tool_calls import CallArguments, CallBegin, SaidText, ToolCallReader, write_calls

MARKS = ("<|tool_call|>", "<|/tool_call|>")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(['"', "\\", "}{", "<|/tool_call|>"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text(max_size=6), JSON, max_size=3).map(json.dumps)
CALLS = st.lists(st.tuples(st.from_regex(r"\A[a-zA-Z0-9_-]{1,9}\Z"), ARGUMENTS), min_size=1, max_size=4)
TEXTS = st.text("<|/tool_call>think ab\n", max_size=30).filter(
    lambda text: "<think>" not in text and MARKS[0] not in text
)


def read(pieces: Iterable[str], *, opens_reasoning: bool = False) -> tuple[str, list[tuple[str, str]], int]:
    """Text, calls, and how many of them are complete."""
    reader = ToolCallReader(MARKS, opens_reasoning=opens_reasoning)
    text, calls = "", list[tuple[str, str]]()
    for found in [*(item for piece in pieces for item in reader.feed(piece)), *reader.flush()]:
        match found:
            case SaidText(said):
                text += said
            case CallBegin(number, name):
                assert number == len(calls)
                calls.append((name, ""))
            case CallArguments(number, said):
                assert number == len(calls) - 1
                calls[-1] = (calls[-1][0], calls[-1][1] + said)
    return text, calls, reader.complete


def pieces_of(text: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[begin:end] for begin, end in pairwise(places)]


@given(TEXTS, CALLS, st.lists(st.integers(0, 500), max_size=40))
def test_what_was_written_is_read_however_it_is_cut(
    said: str, calls: list[tuple[str, str]], cuts: list[int]
) -> None:
    thoughts = f"<think>I may write {MARKS[0]} here.</think>"
    text = f"{thoughts}{said}{MARKS[0]}{write_calls(calls)}{MARKS[1]}"
    assert read(pieces_of(text, cuts)) == (thoughts + said, calls, len(calls))


@given(
    st.text('<|/tool_call>[]{}":, \\nameargumentsthink', max_size=80),
    st.lists(st.integers(0, 500), max_size=40),
)
def test_any_text_gives_the_same_however_it_is_cut(text: str, cuts: list[int]) -> None:
    assert read(pieces_of(text, cuts)) == read([text])


@given(TEXTS, st.integers(1, len(MARKS[0]) - 1))
def test_half_a_mark_is_held_back_and_shown_when_it_comes_to_nothing(said: str, size: int) -> None:
    reader = ToolCallReader(MARKS)
    shown = "".join(item[-1] for item in reader.feed("<think></think>" + said + MARKS[0][:size]))
    assert shown == "<think></think>" + (said + MARKS[0][:size]).removesuffix(
        _mark_at_end(said + MARKS[0][:size])
    )
    assert shown + "".join(item[-1] for item in reader.flush()) == "<think></think>" + said + MARKS[0][:size]


def _mark_at_end(text: str) -> str:
    return max((text[at:] for at in range(len(text)) if MARKS[0].startswith(text[at:])), key=len, default="")


def test_a_call_that_was_cut_is_there_as_far_as_it_goes_and_not_complete() -> None:
    text = f'{MARKS[0]}[{{"name": "f", "arguments": {{"a": 1}}}}, {{"name": "g", "arguments": {{"b": "x'
    assert read([text]) == ("", [("f", '{"a": 1}'), ("g", '{"b": "x')], 1)


def test_the_head_of_a_call_that_was_cut_is_not_shown() -> None:
    assert read([f'a{MARKS[0]}[{{"name": "f', '", "argu']) == ("a", [], 0)


def test_reasoning_that_the_template_opened_is_text_until_it_is_closed() -> None:
    text = f"hm {MARKS[0]}</think>b"
    assert read([text], opens_reasoning=True) == (text, [], 0)


@pytest.mark.parametrize("text", ["", "<think>cut", "plain", "</think>x"])
def test_text_without_calls_is_text(text: str) -> None:
    assert read(list(text)) == (text, [], 0)
