"""Reasoning is split from content the same way whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client.contract.reasoning import ReasoningSplitter, SplitText, split_reasoning

WHOLES = [
    ("<think>a</think>b", "a", "b"),
    ("  \n<think>\n a b \n</think>\n\n c d \n", "a b", "c d \n"),
    ("<think></think>b", "", "b"),
    ("<think>never closed", "never closed", ""),
    ("<think>cut in its tag</thi", "cut in its tag</thi", ""),
    ("never opened\n</think>\nb", "never opened", "b"),
    ("</think>b", "", "b"),
    ("no reasoning at all", "", "no reasoning at all"),
    (" \n plain", "", " \n plain"),
    ("", "", ""),
    ("   ", "", "   "),
    ("<thin", "", "<thin"),
    ("say <think> in the middle", "", "say <think> in the middle"),
    ("<think>1 < 2 and </ 3</think>x < y", "1 < 2 and </ 3", "x < y"),
    ("<think>a</think>b</think>c<think>d", "a", "b</think>c<think>d"),
    # A second block.
    ("<think>a</think>\n\n<think>\nb\n</think>\n\nc", "a\n\nb", "c"),
    ("<think>a</think><think>b</think>c", "a\n\nb", "c"),
    ("<think>a</think>b\n<think>c</think>\nd", "a\n\nc", "b\nd"),
    ("<think></think><think> </think><think>a</think>b", "a", "b"),
    ("<think>a</think>b\n <think>cut", "a\n\ncut", "b\n "),
    ("a\n</think>\n<think>b</think>c", "a\n\nb", "c"),
    ("Well.\n<think>a</think>b", "a", "Well.\nb"),
    # Tags that are quoted.
    ("<think>a\n```\n<think>b</think>c\n```\nd</think>e", "a\n```\n<think>b</think>c\n```\nd", "e"),
    (
        "<think>a\n~~~~\n<think>\n```\n</think>\n~~~~\nd</think>e",
        "a\n~~~~\n<think>\n```\n</think>\n~~~~\nd",
        "e",
    ),
    ("<think>a\n```py\nb = 1</think>c\n```\nd\n```", "a\n```py\nb = 1", "c\n```\nd\n```"),
    ("<think>a\n```\n<think>\n```\nb</think>c", "a\n```\n<think>\n```\nb", "c"),
    ("<think>it ends with `</think>`, so</think>b", "it ends with `</think>`, so", "b"),
    ("<think>`<think>a</think>` is one</think>b", "`<think>a</think>` is one", "b"),
    ("<think>`<think>` opens</think>b", "`<think>` opens", "b"),
    ("<think>`<think>a\nb</think>c", "`<think>a\nb", "c"),
    ("<think>it is `x`</think>`y`", "it is `x`", "`y`"),
    ("<think>it is `x`</think>", "it is `x`", ""),
    ("Write:\n```\n<think>a</think>b\n```\n", "", "Write:\n```\n<think>a</think>b\n```\n"),
    ("Close it by `</think>`.", "", "Close it by `</think>`."),
    ("<think>a</think>Write:\n```\n<think>b</think>\n```", "a", "Write:\n```\n<think>b</think>\n```"),
    ("<think>a<think>b</think>c", "a<think>b", "c"),
    ("<think>  </think>  ", "", ""),
    # A pair that is quoted in a fence which is open at the end.
    ("<think>a\n```\n<think>b\n</think>\nc", "a\n```\n<think>b", "c"),
    ("<think>a\n```\n<think>b</think>c\n<think>d</think>e", "a\n```\n<think>b\n\nd", "c\ne"),
    ("<think>a</think>b\n<think>\n```\n<think>c</think>d", "a\n\n```\n<think>c", "b\nd"),
    ("<think>a\n```\n<think>b</think>c</think>d", "a\n```\n<think>b</think>c", "d"),
    ("<think>a\n```\n<think>b</think>c\n```", "a\n```\n<think>b</think>c\n```", ""),
    ("<think>a\n```\n<think>b</think>\n```\nc\n```\nd", "a\n```\n<think>b</think>\n```\nc\n```\nd", ""),
    ("<think>`<think>a</think>\n```\nb", "`<think>a</think>\n```\nb", ""),
]


@pytest.mark.parametrize(("text", "reasoning", "content"), WHOLES)
def test_a_whole_answer_is_split(text: str, reasoning: str, content: str) -> None:
    assert split_reasoning(text) == SplitText(reasoning, content)


def fed(pieces: list[str], *, is_cut: bool = False) -> tuple[SplitText, SplitText]:
    """What the pieces gave, joined, and what the splitter holds at the end."""
    splitter = ReasoningSplitter()
    out = [splitter.feed(piece) for piece in pieces] + [splitter.flush(is_cut=is_cut)]
    joined = SplitText("".join(part.reasoning for part in out), "".join(part.content for part in out))
    return joined, SplitText(splitter.reasoning, splitter.content)


@pytest.mark.parametrize(("text", "reasoning", "content"), WHOLES)
def test_single_characters_give_the_same_split(text: str, reasoning: str, content: str) -> None:
    joined, held = fed(list(text))
    assert held == SplitText(reasoning, content)
    if not text.startswith(("never opened", "a\n</think>")):
        assert joined.content == held.content
        assert joined.reasoning.startswith(held.reasoning.partition("\n\n")[0])


def test_of_an_answer_that_was_cut_off_in_a_fence_nothing_is_said_after_it() -> None:
    text = "<think>a\n```\n<think>b</think>c"
    assert split_reasoning(text, is_cut=True) == SplitText(text.removeprefix("<think>"))


def test_content_in_an_open_fence_is_handed_out_at_the_end() -> None:
    splitter = ReasoningSplitter()
    before = splitter.feed("<think>a\n```\n<think>b</think>\n42")
    assert (before.content, splitter.flush()) == ("", SplitText(content="42"))


@pytest.mark.parametrize(("text", "reasoning", "content"), WHOLES)
def test_a_cut_anywhere_gives_the_same_split(text: str, reasoning: str, content: str) -> None:
    for cut in range(len(text) + 1):
        assert fed([text[:cut], text[cut:]])[1] == SplitText(reasoning, content)


pieces_of_answers = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<", "</", "think>", "a", " ", "\n", "<thi", "é", "`", "\n```\n", "~~~\n"]
    ),
    max_size=12,
)


@given(pieces_of_answers, pieces_of_answers)
def test_however_an_answer_is_cut_its_split_is_the_same(first: list[str], second: list[str]) -> None:
    pieces = first + second
    whole = split_reasoning("".join(pieces))
    joined, held = fed(pieces)
    assert held == whole
    assert fed(["".join(first), "".join(second)])[1] == whole
    cut_off = split_reasoning("".join(pieces), is_cut=True)
    joined_of_cut, held_of_cut = fed(pieces, is_cut=True)
    assert held_of_cut == cut_off
    if "".join(pieces).lstrip().startswith("<think>"):
        assert joined.content == whole.content
        assert joined_of_cut == cut_off
    # The end of a fence is all that differs, and it only ever gives an answer to what had none.
    assert whole == cut_off or (whole.content.startswith(cut_off.content) and "</think>" in cut_off.reasoning)


@given(pieces_of_answers)
def test_a_tag_that_is_not_quoted_never_shows_in_the_reasoning_that_is_handed_out(pieces: list[str]) -> None:
    pieces = [piece for piece in pieces if not {"`", "~"} & {*piece}]
    splitter = ReasoningSplitter()
    handed = "".join(splitter.feed(piece).reasoning for piece in ["<think>", *pieces])
    assert "</think>" not in handed


def test_beside_a_field_of_its_own_an_unopened_tag_is_text() -> None:
    splitter = ReasoningSplitter()
    splitter.reasoning_elsewhere = True
    assert splitter.feed("the tag </think> ends it") == SplitText(content="the tag </think> ends it")
