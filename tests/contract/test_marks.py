"""What may still become a mark: the one function that both sides of the wire hold text back with."""

from hypothesis import given
from hypothesis import strategies as st

from phi_client.contract.marks import begun_length

LETTERS = st.text("ab<", max_size=12)


@given(LETTERS, st.text("ab<", min_size=1, max_size=6))
def test_the_longest_end_that_begins_the_mark_is_found(text: str, mark: str) -> None:
    ends = [size for size in range(1, len(mark)) if text.endswith(mark[:size])]
    assert begun_length(text, mark) == max(ends, default=0)


@given(LETTERS)
def test_a_text_that_ends_with_the_whole_mark_begins_only_another(text: str) -> None:
    assert begun_length(f"{text}</think>", "</think>") == 0
