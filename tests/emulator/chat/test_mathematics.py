"""Mathematics in a line: readable, and never another value than was written."""

from __future__ import annotations

import math
import re
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phi_emulator.chat.mathematics import read_mathematics


@pytest.mark.parametrize(
    ("written", "read", "in_ascii"),
    [
        (r"\(\frac{a+b}{2}\)", "(a+b)/2", "(a+b)/2"),
        (r"\(\frac{1}{2a}\)", "1/(2a)", "1/(2a)"),
        (r"\(2\frac{1}{2}\)", "2 1/2", "2 1/2"),
        (r"\(\frac{1}{2}x\)", "(1/2)x", "(1/2)x"),
        (r"17 \times 24 = \boxed{408}", "17 × 24 = [408]", "17 * 24 = [408]"),
        (r"$x^2 + x_1 \le 2^{10}$", "x² + x₁ ≤ 2¹⁰", "x^2 + x_1 <= 2^10"),
        (r"$e^{xy}z$", "e^(xy)z", "e^(xy)z"),
        (r"\[ \sqrt{b^2-4ac} \]", "√(b²-4ac)", "sqrt(b^2-4ac)"),
        (r"\(\sqrt[3]{8} \in \mathbb{N}\)", "∛8 ∈ ℕ", "root3(8) in N"),
        (r"$\text{if } x \neq 0$", "if x ≠ 0", "if x != 0"),
        (r"\(90^\circ\)", "90°", "90 deg"),
        (r"\(\left( \frac{1}{2} \right)^2\)", "( 1/2 )²", "( 1/2 )^2"),
        ("it costs $5 and $6", "it costs $5 and $6", "it costs $5 and $6"),
        (r"`\frac{1}{2}` is code", r"`\frac{1}{2}` is code", r"`\frac{1}{2}` is code"),
        (r"C:\times\new", r"C:\times\new", r"C:\times\new"),
        (r"a snake_case and 2^10", "a snake_case and 2^10", "a snake_case and 2^10"),
        (r"\frac{1", r"\frac{1", r"\frac{1"),
        (r"\(\unknown{x}\)", r"\unknown{x}", r"\unknown{x}"),
        (r"100\% of \$5", r"100\% of \$5", r"100\% of \$5"),
    ],
)
def test_it_reads_as_a_person_does(written: str, read: str, in_ascii: str) -> None:
    assert read_mathematics(written) == read
    assert read_mathematics(written, is_ascii=True) == in_ascii


Formula = tuple[str, Fraction]
NUMBERS = st.integers(1, 99).map(lambda number: (str(number), Fraction(number)))


def _larger(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(lambda p: (rf"\frac{{{p[0][0]}}}{{{p[1][0]}}}", p[0][1] / p[1][1])),
        pairs.map(lambda p: (rf"\left({p[0][0]} + {p[1][0]}\right)", p[0][1] + p[1][1])),
        pairs.map(lambda p: (rf"{p[0][0]} \cdot {p[1][0]}", p[0][1] * p[1][1])),
        pairs.map(lambda p: (rf"({p[0][0]})({p[1][0]})", p[0][1] * p[1][1])),
        pairs.map(lambda p: (rf"{p[0][0]} \times \frac{{{p[1][0]}}}{{3}}", p[0][1] * p[1][1] / 3)),
        inner.map(lambda one: (rf"{{({one[0]})}}^{{2}}", one[1] ** 2)),
        inner.map(lambda one: (rf"\sqrt{{({one[0]}) \cdot ({one[0]})}}", one[1])),
    )


def _value(read: str) -> float:
    """What a line of mathematics amounts to, by the rules that everybody learns."""
    text = read.replace("·", "*").replace("×", "*").replace("²", "**2").replace(" ", "")
    while (root := text.find("√")) >= 0:
        text = f"{text[:root]}r{text[root + 1 :]}" if text[root + 1] == "(" else text[:root]
    text = re.sub(r"(?<=\))(?=[(\dr])|(?<=\d)(?=\()", "*", text)
    return float(eval(text, {"r": math.sqrt}))


@settings(max_examples=200, deadline=None)
@given(st.recursive(NUMBERS, _larger, max_leaves=8))
@example((r"\frac{1}{\frac{2}{3}}", Fraction(3, 2)))
def test_what_is_read_has_the_value_of_what_was_written(formula: Formula) -> None:
    written, value = formula
    assert _value(read_mathematics(f"\\({written}\\)")) == pytest.approx(float(value), rel=1e-6)


LATEX = st.text(alphabet="\\{}^_$()[]&~ \n`12ax", max_size=60) | st.lists(
    st.sampled_from(
        [r"\frac", r"\sqrt", "{", "}", "[", "]", r"\(", r"\)", r"\[", r"\]", "$", "$$", r"\boxed", "^", "_", "1", "x",
         r"\left", r"\right", ".", r"\begin{cases}", r"\end", r"\text", r"\alpha", " ", "\\"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(LATEX, st.booleans())
def test_whatever_is_written_is_read_without_an_error(text: str, is_ascii: bool) -> None:
    read = read_mathematics(text, is_ascii=is_ascii)
    # No digit is lost or made up, whatever form it has now.
    digits = re.sub(r"\D", "", unicodedata.normalize("NFKC", read))
    written = re.sub(r"\D", "", text)
    assert digits.replace("1", "").replace("2", "") == written.replace("1", "").replace("2", "")
    assert len(read) <= 8 * len(text) + 8


@pytest.mark.parametrize(
    "piece", ["{", r"\(", r"\frac", "$a", "^", "`", r"\boxed{", r"\sqrt[", "$ ", r"\(\)", "$$"]
)
def test_a_long_text_takes_no_longer_for_being_wrong(piece: str) -> None:
    # Nesting is bounded, and so is how far an end is looked for; the suite's limit of time is the measure.
    assert len(read_mathematics(piece * (8000 // len(piece)))) <= 8000
