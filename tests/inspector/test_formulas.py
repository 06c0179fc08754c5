"""Formulas become trees of known elements and attributes, whatever is in them, and never anything else."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.inspector.formulas import _ATTRIBUTES, _ELEMENTS, draw, read_formulas

COMMANDS = [
    "\\frac", "\\sqrt", "\\boxed", "\\text", "\\left(", "\\right)", "\\begin{pmatrix}", "\\end{pmatrix}", "\\href",
    "\\color{red}", "\\style", "^", "_", "{", "}", "&", "\\\\", "x", "12", "<script>", "&lt;b&gt;", "javascript:1",
    "\\over", "\\sum", "\\limits", "[", "]", "\x00", "\u202e", "\\mathbb{R}", "\\operatorname{a}", "\\", "$",
]  # fmt: skip


def check(tree: Any) -> None:
    name, attributes, children = tree
    assert _ELEMENTS.fullmatch(name)
    assert all(_ATTRIBUTES.fullmatch(key) and isinstance(value, str) for key, value in attributes.items())
    for child in children:
        if not isinstance(child, str):
            check(child)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(COMMANDS), max_size=25).map("".join) | st.text(max_size=60), st.booleans())
def test_whatever_is_drawn_is_made_of_known_parts(tex: str, display: bool) -> None:
    tree = draw(tex, display=display)
    if tree is not None:
        check(tree)
        assert tree[0] == "math"


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\frac{a}{b}", "ab"),
        (r"x^2 + \sqrt{3}", "x2+3"),
        (r"\boxed{42}", "42"),
        (r"\text{a < b}", "a\xa0<\xa0b"),
        (r"\begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix}", "(1234)"),
    ],
)
def test_a_formula_is_drawn(tex: str, text: str) -> None:
    def texts(tree: Any) -> str:
        return "".join(one if isinstance(one, str) else texts(one) for one in tree[2])

    tree = draw(tex)
    assert tree is not None
    check(tree)
    assert texts(tree) == text


@pytest.mark.parametrize(
    "tex", ["{", r"\frac", r"\nosuchcommand x", "x" * 2001, "{" * 1500, r"\sqrt" * 400 + "x", "^" * 900]
)
def test_what_cannot_be_drawn_is_left_as_it_is(tex: str) -> None:
    assert draw(tex) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "Give"),
        ({}, "Give"),
        ({"formulas": {}}, "Give"),
        ({"formulas": [], "more": 1}, "Give"),
        ({"formulas": ["x"]}, r"formulas\[0\]"),
        ({"formulas": [{"tex": "x"}, {"tex": 1}]}, r"formulas\[1\]"),
        ({"formulas": [{"tex": "x", "display": "yes"}]}, "true or false"),
        ({"formulas": [{"tex": "x"}] * 201}, "201 items; 200"),
        ({"formulas": [{"tex": "x" * 1000}] * 11}, "11000 characters; 10000"),
    ],
)
def test_what_is_no_list_of_formulas_is_refused_in_words(body: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_formulas(body)


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["formulas", "tex", "display", "x"]), inner)
        ),
    )
)
def test_any_body_is_read_or_refused(body: object) -> None:
    with suppress(ValueError):
        assert all(isinstance(tex, str) for tex, _ in read_formulas(body))
