"""Answers that are written differently and are the same, by form or by math-verify in a process that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from phi_client._answers import math_verify
from phi_client._answers.forms import are_same, read_form
from phi_client._answers.math_verify import Grader

SAME = [
    ("408", " 408. "),
    ("025", "25"),
    ("0.5", r"\frac{1}{2}"),
    (r"\dfrac12", "1/2"),
    (r"-\frac{3}{4}", r"\frac{-3}{4}"),
    (r"3\frac{1}{2}", r"\frac72"),
    (r"-1\frac{1}{2}", "-1.5"),
    ("10,080", r"10,\!080"),
    ("1 000", r"1\,000"),
    ("10{,}080", "10080"),
    (r"\$18.90", "18.9"),
    (r"90^\circ", "90"),
    (r"50\%", "50"),
    (r"12\text{ cm}^2", "12"),
    (r"5.4 \text{ cents}", "5.4"),
    (r"12\,\mathrm{cm}", "12"),
    ("x = 5", "5"),
    ("\N{MINUS SIGN}3", "-3"),
    (r"\text{Even}", "even"),
    (r"\text{(C)}", "C"),
    ("(C)", "c"),
    (r"\left( 1, 2 \right)", "(1,2)"),
    ("52_8", "52_{8}"),
    (r"$7$", "+7"),
    (r"\sqrt{ 2 }", r"\sqrt{2}"),
]
DIFFERENT = [
    ("0.333333", r"\frac13"),  # math-verify rounds, and would say they are the same
    ("52_8", "52_9"),
    (r"50\%", "0.5"),
    ("5", "-5"),
    (r"\text{even}", "odd"),
    ("C", "D"),
]
UNDECIDED = [
    (r"\sqrt{12}", r"2\sqrt{3}"),
    ("2, 100", "2100"),
    ("1/0", "0"),
    ("x^2+1", "y^2+1"),
    (r"\frac{a}{b}", "1"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_answer_in_two_forms(one: str, other: str) -> None:
    assert are_same(read_form(one), read_form(other)) is True
    assert are_same(read_form(other), read_form(one)) is True


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_answers(one: str, other: str) -> None:
    assert are_same(read_form(one), read_form(other)) is False


@pytest.mark.parametrize(("one", "other"), UNDECIDED)
def test_forms_say_when_they_do_not_decide(one: str, other: str) -> None:
    assert are_same(read_form(one), read_form(other)) is None


@pytest.mark.parametrize(
    "answer", ["", "9" * 5000, "1/" + "9" * 5000, "{" * 10_000, " " * 100_000, r"\text{" * 9999]
)
def test_any_text_has_a_form(answer: str) -> None:
    assert are_same(read_form(answer), read_form(answer)) is True


@pytest.fixture
def grader() -> Grader:
    pytest.importorskip("math_verify", reason="the extra `eval` is not installed")
    return Grader()


def test_algebra_decides_where_forms_do_not(grader: Grader) -> None:
    with grader:
        assert grader.are_same(read_form(r"\sqrt{12}"), read_form(r"2\sqrt{3}"))
        assert grader.are_same(read_form("x^2+2x+1"), read_form("(x+1)^2"))
        # math-verify says so in one direction only.
        assert grader.are_same(read_form(r"0 \le x < 1"), read_form("[0,1)"))
        assert grader.are_same(read_form("[0,1)"), read_form(r"0 \le x < 1"))
        assert not grader.are_same(read_form("x^2+1"), read_form("y^2+1"))
        process = grader._process
        assert process is not None
    assert process.returncode is not None
    assert grader.undecided == 0


def test_a_comparison_that_never_ends_is_killed_and_counted_and_the_next_goes_on() -> None:
    pytest.importorskip("math_verify", reason="the extra `eval` is not installed")
    with Grader(limit_s=0.2) as grader:
        assert grader.are_same(read_form(r"\sqrt{4}"), read_form("2"))
        process = grader._process
        assert process is not None
        assert not grader.are_same(read_form("9^{9^{9}}"), read_form("5"))
        assert process.returncode is not None
        assert grader.undecided == 1
        assert grader.are_same(read_form(r"\sqrt{9}"), read_form("3"))


def test_once_the_time_for_all_comparisons_is_used_up_forms_alone_decide(grader: Grader) -> None:
    with Grader(total_limit_s=0) as late:
        assert not late.are_same(read_form(r"\sqrt{4}"), read_form("2"))
        assert late.are_same(read_form("2"), read_form("2.0"))
        assert (late.undecided, late._process) == (1, None)


def test_a_grader_works_outside_the_main_thread(grader: Grader) -> None:
    verdicts: list[bool] = []

    def ask() -> None:
        with grader:
            verdicts.append(grader.are_same(read_form(r"\sqrt{12}"), read_form(r"2\sqrt{3}")))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_without_math_verify_forms_alone_decide() -> None:
    # `-S` leaves out the installed packages; the script needs none of them.
    script = (
        "import sys, types, pathlib; package = types.ModuleType('phi_client'); "
        "package.__path__ = [str(pathlib.Path('phi_client').resolve())]; sys.modules['phi_client'] = package; "
        "sys.modules['math_verify'] = None; "
        "import importlib.util; importlib.util.find_spec = lambda name: None; "
        "from phi_client._answers.math_verify import Grader; from phi_client._answers.forms import read_form; "
        "grader = Grader(); "
        "print(grader.are_same(read_form('0.5'), read_form('1/2')), "
        "grader.are_same(read_form('2x'), read_form('x+x')), "
        "grader.undecided, grader._process)"
    )
    root = Path(math_verify.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["True", "False", "0", "None"]


def test_an_interpreter_that_can_not_be_started_leaves_it_to_the_forms(
    grader: Grader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", os.devnull + "/no-such-file")
    with grader:
        assert not grader.are_same(read_form(r"\sqrt{4}"), read_form("2"))
    assert "math-verify can't be started" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
def test_what_a_forgotten_process_takes_is_bounded() -> None:
    script = (
        "import resource; from phi_client._answers.math_verify_worker import limit_resources; limit_resources(); "
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["120", str(2 * 1024**3)]
