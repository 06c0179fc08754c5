r"""The answer in a box is read as a person would read it, whatever stands around the box and however it is written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client._call.boxes import find_boxed_answer

BRACED = [
    (r"So \boxed{408}.", "408"),
    (r"First \boxed{1}, then \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{ x + {y} }", "x + {y}"),
    (r"\boxed{\text{a}}", r"\text{a}"),
    (r"\boxed {7}", "7"),
    ("\\boxed\n{7}", "7"),
    (r"\boxed{a}}", "a"),
    (r"} \boxed{3}", "3"),
    (r"{ \boxed{3}", "3"),
    (r"\\boxed{7}", "7"),
    (r"\\\boxed{7}", "7"),
    (r"\boxed{1\\2}", r"1\\2"),
    (r"\fbox{9}", "9"),
    (r"\fbox{$9$}", "9"),
    (r"\framebox{3}", "3"),
    (r"\framebox[2cm][c]{3}", "3"),
    (r"\boxed{\boxed{5}}", "5"),
    (r"\boxed{x = \boxed{5}}", "5"),
    (r"\boxed{{5}}", "5"),
    (r"\boxed{{\frac{1}{2}}}", r"\frac{1}{2}"),
    (r'\boxed{{"a": 1}}', '{"a": 1}'),
    (r"\boxed{\$5}", r"\$5"),
    (r"\boxed{$5}", "$5"),
    (r"\boxed{+}", "+"),
    (r"\boxed{\emptyset}", r"\emptyset"),
    (r"\boxed{\{\}}", r"\{\}"),
]
UNBRACED = [
    (r"\boxed 7", "7"),
    (r"\boxed7", "7"),
    (r"So $\boxed 408$.", "408"),
    (r"\boxed 10,080.", "10,080"),
    (r"\boxed 1/2, I think", "1/2"),
    (r"\boxed .5", ".5"),
    (r"\boxed 3 cm", "3"),
    (r"\boxed -5", "-5"),
    (r"$\boxed -\frac{1}{2}$", r"-\frac{1}{2}"),
    (r"\boxed\frac12", r"\frac12"),
    (r"\boxed\frac 1 2", r"\frac 1 2"),
    (r"\boxed\sqrt 2", r"\sqrt 2"),
    (r"\boxed\sqrt[3]{2}", r"\sqrt[3]{2}"),
    (r"$\boxed 3\sqrt{2}$", r"3\sqrt{2}"),
    (r"\boxed 50\%.", r"50\%"),
    (r"$\boxed 90^\circ$", r"90^\circ"),
    (r"$\boxed x^2+1$", "x^2+1"),
    (r"\boxed\pi.", r"\pi"),
    (r"\boxed\text{yes}.", r"\text{yes}"),
    (r"\boxed(1, 2)", "(1, 2)"),
    (r"\boxed\left(1, 2\right)", r"\left(1, 2\right)"),
    (r"$\boxed\left|x\right|$", r"\left|x\right|"),
    (r"\boxed\{1, 2\}", r"\{1, 2\}"),
    (r"\boxed\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"{\boxed 7}", "7"),
    (r"**\boxed 7**", "7"),
    (r"`\boxed 7`", "7"),
    (r"\boxed A.", "A"),
    (r"$\boxed yes$", "yes"),
    (r"\boxed\boxed{5}", "5"),
]
SILENT = [
    "", r"\boxed", r"$\boxed$", r"\boxed{}", r"\boxed{ }", r"\boxed{\quad}", r"\boxed{\,~}", r"\boxed{...}",
    r"\boxed{\ldots}", r"\boxed{?}", r"\boxed{\_\_}", r"\boxed{\text{ }}", r"\boxed{{}}", r"\boxed{\boxed{}}",
    r"\boxed as asked", r"\boxed notation, see above", r"\boxed\frac{1}", r"\boxed(1, 2", r"\boxed{2",
    r"\boxed{\text{a}", r"\boxedx{3}", r"boxed{2}", r"\boxed \\", r"\boxed.", r"\framebox[2cm]{}",
]  # fmt: skip


@pytest.mark.parametrize(("content", "answer"), [*BRACED, *UNBRACED])
def test_a_box_says_its_answer(content: str, answer: str) -> None:
    assert find_boxed_answer(content) == answer


@pytest.mark.parametrize("content", SILENT)
def test_a_box_that_says_nothing_is_none(content: str) -> None:
    assert find_boxed_answer(content) is None


@pytest.mark.parametrize("silent", SILENT)
@pytest.mark.parametrize(("content", "answer"), [BRACED[0], BRACED[2], BRACED[12], UNBRACED[2]])
def test_a_box_that_says_nothing_leaves_the_one_before(content: str, answer: str, silent: str) -> None:
    assert find_boxed_answer(f"{content} I put it into {silent}") == answer


numbers = st.from_regex(r"-?[1-9][0-9]{0,4}(\.[0-9])?", fullmatch=True)
braced = st.recursive(
    numbers | st.sampled_from([r"\pi", r"\{1, 2\}", r"\text{even}", "x + 1", r"\emptyset", "A", r"50\%"]),
    lambda inner: st.one_of(
        st.builds(r"\frac{{{}}}{{{}}}".format, inner, inner),
        st.builds(r"\sqrt{{{}}}".format, inner),
        st.builds("({}, {})".format, inner, inner),
    ),
    max_leaves=4,
)
bare = numbers | st.sampled_from(
    [r"\frac12", r"\frac{1}{2}", r"\sqrt 2", r"\pi", "(1, 2)", r"\text{no}", "x^2"]
)
boxed = st.one_of(
    st.tuples(st.sampled_from([r"\boxed{%s}", r"\boxed { %s }", r"\fbox{%s}", r"\fbox{$%s$}", r"\boxed{\boxed{%s}}",
                               r"\framebox[3cm]{%s}", r"\mathbf{\boxed{%s}}"]), braced),
    st.tuples(st.sampled_from([r"\boxed %s", r"\fbox %s", r"\boxed{\boxed %s}"]), bare),
)  # fmt: skip
prose = st.lists(
    st.sampled_from(
        ["so ", "the answer is ", "$x$ ", r"\{ ", r"\text{it} ", r"\\ ", "boxed ", "{a} ", "\n", "1. ", "} "]
    ),
    max_size=5,
).map("".join)


@given(
    prose, st.lists(st.tuples(boxed, prose), min_size=1, max_size=3), st.lists(st.sampled_from(SILENT[:-8]))
)
def test_the_last_box_that_says_anything_is_the_answer(
    before: str, written: list[tuple[tuple[str, str], str]], silent: list[str]
) -> None:
    text = before + "".join(f"{form % answer}. {after}" for (form, answer), after in written)
    answer = written[-1][0][1]
    assert find_boxed_answer("".join([text, *(f" and {box}, " for box in silent)])) == answer


@given(st.text("\\{}[]()$ boxedfra1.\n", max_size=60))
def test_any_text_is_read(content: str) -> None:
    answer = find_boxed_answer(content)
    assert answer is None or answer.strip() == answer


@given(st.lists(st.sampled_from(
    [r"\boxed", "{", "}", r"\{", r"\}", "1", " ", r"\frac", r"\fbox", "x", "$", r"\left", "(", ")", "\\", r"\fbox["]
)))  # fmt: skip
def test_any_run_of_tokens_is_read(tokens: list[str]) -> None:
    answer = find_boxed_answer("".join(tokens))
    assert answer != ""


MANY = 50_000


@pytest.mark.parametrize("text", [
    "\\boxed{" * MANY, "{" * MANY, "\\" * MANY, "}" * MANY, "\\boxed{}" * MANY, "\\boxed{" * MANY + "}" * MANY,
    "\\boxed(" * MANY, "\\boxed\\frac{" * MANY, "\\boxed 1" * MANY, "\\boxed " + "{" * MANY, "\\framebox[" * MANY,
    "\\boxed{" + "{" * MANY + "5" + "}" * MANY + "}", "\\boxed\\left(" * MANY, "\\boxed" + " " * MANY + "x",
    "\\boxed\\sqrt[" * MANY, "\\boxed(" + "a " * MANY, "\\boxed" + "\\," * MANY, "\\boxed{" + "\\boxed{}" * MANY + "5}",
    "\\boxed{" + "$" * MANY + "}", "\\boxed{" + "\\boxed{ " * MANY + "} " * MANY + "5}", "\\boxed " + "1," * MANY,
], ids=range(21))  # fmt: skip
def test_any_text_takes_time_that_grows_with_its_length_only(text: str) -> None:
    started = time.process_time()
    find_boxed_answer(text)
    assert time.process_time() - started < 3
