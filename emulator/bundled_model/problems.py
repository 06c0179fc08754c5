"""Problems that `phi-tiny-arith` can solve: question, working and answer, by family.

Knows the families and how people phrase them; knows nothing of tags, templates, tokens or training. Every function
takes a `random.Random`, so a seed names a problem set. One problem in 32 is held out: training never sees its numbers
in that family, in any phrasing, and the evaluation uses nothing else.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

import stories
from words import number
from working import calculate

__all__ = ["FAMILIES", "Problem", "is_held_out", "sample_problem"]


class Problem(NamedTuple):
    """A question in words, the working, and the answer (None when there is none to give)."""

    family: str
    question: str
    working: str
    answer: int | None


SIGNS = {
    "+": ["+", "+", "+", "plus"],
    "-": ["-", "-", "-", "minus", "−"],
    "*": ["*", "*", "×", "x", "times", "multiplied by", "·"],
    "/": ["/", "/", "÷", "divided by", "over"],
}
ASK = [
    "What is {e}?",
    "What is {e}?",
    "What's {e}?",
    "what is {e}",
    "whats {e}",
    "Compute {e}.",
    "compute {e}",
    "Compute {e}",
    "Calculate {e}.",
    "Calculate {e}",
    "calculate {e}",
    "{e}",
    "{e}",
    "{e} =",
    "{e}=",
    "{e} = ?",
    "{e}?",
    "Find {e}.",
    "Solve {e}",
    "Solve: {e}",
    "Evaluate {e}.",
    "evaluate {e}",
    "Please compute {e}.",
    "How much is {e}?",
    "how much is {e}",
    "Can you calculate {e}?",
    "Could you tell me what {e} is?",
    "Tell me {e}.",
    "What does {e} equal?",
    "{e} equals what?",
    "Work out {e}.",
    "Work out {e}",
    "I need to know {e}.",
    "What do you get for {e}?",
    "Give me the value of {e}.",
    "What is the result of {e}?",
    "Find the value of {e}.",
    "Simplify {e}.",
    "Hi! What is {e}?",
    "Quick question: {e}",
    "Please help me: what is {e}?",
    "Determine {e}.",
    "What is the value of {e}?",
    "Answer this: {e}",
    "Q: {e}\nA:",
    "Do the math: {e}",
    "Hello, can you work out {e} for me?",
    "My homework asks for {e}.",
    "Let me know what {e} is.",
]
NAMED = {
    "+": ["What is the sum of {a} and {b}?", "Add {a} and {b}.", "Add {a} to {b}.", "Find the sum of {a} and {b}.",
          "What do you get when you add {a} and {b}?", "What is the total of {a} and {b}?", "Increase {a} by {b}.",
          "What is {b} more than {a}?", "sum {a} and {b}", "add {a} {b}"],
    "-": ["Subtract {b} from {a}.", "What is the difference between {a} and {b}?", "Take {b} away from {a}.",
          "What is {a} take away {b}?", "Find the difference of {a} and {b}.", "Decrease {a} by {b}.",
          "What is {b} less than {a}?", "subtract {b} from {a}", "What remains if you take {b} from {a}?"],
    "*": ["What is the product of {a} and {b}?", "Multiply {a} by {b}.", "Multiply {a} and {b}.",
          "Find the product of {a} and {b}.", "multiply {a} with {b}", "What do you get if you multiply {a} by {b}?"],
    "/": ["Divide {a} by {b}.", "What is the quotient of {a} and {b}?", "How many times does {b} go into {a}?",
          "How often does {b} fit into {a}?", "What do you get if you divide {a} by {b}?", "divide {a} by {b}"],
}  # fmt: skip


def written(r: random.Random, value: int) -> str:
    """The number as people write it: now and then with a thousands separator."""
    return f"{value:,}" if value >= 1000 and r.random() < 0.1 else str(value)


def join(r: random.Random, left: str, op: str, right: str) -> str:
    """`left op right` with one of the operator's spellings, sometimes without the spaces."""
    sign = r.choice(SIGNS[op])
    return f"{left}{sign}{right}" if r.random() < 0.3 and not sign[0].isalpha() else f"{left} {sign} {right}"


def ask(r: random.Random, expression: str) -> str:
    return r.choice(ASK).format(e=expression)


def _one_step(r: random.Random, family: str, a: int, op: str, b: int) -> Problem:
    left, right = written(r, a), written(r, b)
    named = r.random() < 0.2
    question = r.choice(NAMED[op]).format(a=left, b=right) if named else ask(r, join(r, left, op, right))
    working, result = calculate(a, op, b)
    return Problem(family, question, working, result)


def addition(r: random.Random) -> Problem:
    return _one_step(r, "addition", number(r, 4), "+", number(r, 4))


def subtraction(r: random.Random) -> Problem:
    a, b = number(r, 4), number(r, 4)
    if a < b and r.random() < 0.4:
        a, b = b, a
    return _one_step(r, "subtraction", a, "-", b)


def multiplication(r: random.Random) -> Problem:
    if r.random() < 0.5:
        a, b = r.randrange(10, 100), r.randrange(10, 100)
    else:
        a, b = number(r, 2), number(r, 2)
    return _one_step(r, "multiplication", a, "*", b)


def quotient(r: random.Random, divisor: int) -> int:
    """A quotient that keeps the dividend at four digits at most, short ones more often."""
    most = min(9999 // divisor, r.choice([12, 99, 99, 999]))
    return r.randint(1, most)


def division(r: random.Random) -> Problem:
    b = r.randrange(2, 10) if r.random() < 0.45 else r.randrange(10, 100)
    return _one_step(r, "division", b * quotient(r, b), "/", b)


def uneven_division(r: random.Random) -> Problem:
    """A division with a rest: worked through, then declined. Not a family of its own in the evaluation."""
    b = r.randrange(2, 10) if r.random() < 0.6 else r.randrange(10, 100)
    a = b * quotient(r, b) + r.randrange(1, b)
    problem = _one_step(r, "uneven", a, "/", b)
    return problem._replace(answer=None)


def _operand(r: random.Random, op: str) -> int:
    return r.randrange(2, 100) if op == "*" else number(r, r.choice([2, 2, 3]))


def _pair(r: random.Random, op: str) -> tuple[int, int]:
    if op == "/":
        b = r.randrange(2, 13) if r.random() < 0.8 else r.randrange(13, 100)
        return b * r.randint(1, min(99, 999 // b)), b
    if op == "*":
        return r.randrange(2, 100), r.randrange(2, 13 if r.random() < 0.6 else 100)
    return _operand(r, op), _operand(r, op)


def _valid(a: int, op: str, b: int) -> bool:
    """Whether one step stays inside what the one-step families teach."""
    if op == "/":
        return 1 < b < 100 and 0 < a < 10000 and a % b == 0
    if op == "*":
        return abs(a) < 100 and abs(b) < 100
    return abs(a) < 10000 and abs(b) < 10000


def two_steps(r: random.Random) -> Problem:
    """`a op b op c`, with parentheses or by precedence."""
    while True:
        inner, outer = r.choice("+-*/"), r.choice("+-+-*/")
        a, b = _pair(r, inner)
        first = calculate(a, inner, b)
        inner_left = r.random() < 0.6
        c = r.randrange(2, 13) if outer in "*/" else number(r, 3)
        if outer == "/" and not inner_left:
            c = abs(first.result) * r.randint(1, 20)
        left, right = (first.result, c) if inner_left else (c, first.result)
        if not _valid(left, outer, right) or (first.result < 0 and not inner_left and outer in "*/"):
            continue
        second = calculate(left, outer, right)
        if abs(second.result) < 10000:
            break
    # Parentheses are needed where precedence would group otherwise; elsewhere they are sometimes
    # written all the same.
    tight = inner in "*/" and outer in "+-"
    needed = not tight and (not inner_left or (inner in "+-" and outer in "*/"))
    inner_text = join(r, str(a), inner, str(b))
    if needed or r.random() < 0.15:
        inner_text = f"({inner_text})"
    text = join(r, inner_text, outer, str(c)) if inner_left else join(r, str(c), outer, inner_text)
    working = f"First {first.text} Then {second.text}"
    return Problem("two steps", ask(r, text), working, second.result)


EQUATION_ASK = [
    "Solve {e}", "Solve {e}.", "Solve {e} for {v}.", "solve {e}", "Solve for {v}: {e}", "Find {v} if {e}.", "Find {v}: {e}",
    "If {e}, what is {v}?", "What is {v} if {e}?", "{e}, {v} = ?", "{e}. What is {v}?", "Solve the equation {e}.", "{e}",
    "What value of {v} makes {e}?", "Given {e}, find {v}.", "find {v} when {e}", "Determine {v}: {e}", "Let {e}. Find {v}.",
]  # fmt: skip


def equation(r: random.Random) -> Problem:
    """A linear equation in one unknown with a whole solution."""
    unknown = r.choice("xxxxynazktbmpw")
    space = r.random() < 0.8
    plus, minus, equals = (" + ", " - ", " = ") if space else ("+", "-", "=")
    times = r.choice(["", "", "", "", "*", " "])
    form = r.choice(["ax+b", "ax+b", "ax+b", "ax-b", "ax-b", "b+ax", "x+b", "x-b", "b+x", "b-x", "ax", "x/a"])
    a, b = (r.randrange(2, 13) if r.random() < 0.8 else r.randrange(13, 30)), number(r, r.choice([2, 2, 3]))
    x = r.randrange(0, 13) if r.random() < 0.3 else r.randrange(1, 100)
    if form in ("x+b", "b+x", "b-x", "ax+b") and r.random() < 0.15:
        x = -r.randrange(1, 50)
    ax = f"{a}{times}{unknown}"
    steps: list[str] = []

    def step(words: str, left: int, op: str, right: int) -> int:
        work, result = calculate(left, op, right)
        steps.append(f"{words} {work}")
        return result

    if form in ("ax+b", "b+ax", "ax-b"):
        sign = "-" if form == "ax-b" else "+"
        c = a * x - b if sign == "-" else a * x + b
        signed = plus if sign == "+" else minus
        text = f"{b}{plus}{ax}" if form == "b+ax" else f"{ax}{signed}{b}"
        moved = step(f"{'Add' if sign == '-' else 'Subtract'} {b}:", c, "+" if sign == "-" else "-", b)
        steps[-1] += f" So {a}{unknown}={moved}."
        result = step(f"Divide by {a}:", moved, "/", a)
    elif form in ("x+b", "b+x"):
        c = x + b
        text = f"{unknown}{plus}{b}" if form == "x+b" else f"{b}{plus}{unknown}"
        result = step(f"Subtract {b}:", c, "-", b)
    elif form == "x-b":
        c = x - b
        text = f"{unknown}{minus}{b}"
        result = step(f"Add {b}:", c, "+", b)
    elif form == "b-x":
        c = b - x
        text = f"{b}{minus}{unknown}"
        result = step(f"So {unknown}={b}-({c})." if c < 0 else f"So {unknown}={b}-{c}.", b, "-", c)
    elif form == "ax":
        c = a * x
        text = ax
        result = step(f"Divide by {a}:", c, "/", a)
    else:
        a = min(a, 12)
        c = abs(x) or 1
        text = f"{unknown}{' / ' if space else '/'}{a}"
        result = step(f"Multiply by {a}:", c, "*", a)
        x = a * c
    assert result == x
    sides = f"{c}{equals}{text}" if r.random() < 0.08 else f"{text}{equals}{c}"
    question = r.choice(EQUATION_ASK).format(e=sides, v=unknown)
    return Problem("equation", question, " ".join([*steps, f"So {unknown}={x}."]), x)


def story(r: random.Random) -> Problem:
    """A word problem of one step."""
    return Problem("story", *stories.one_step(r))


def long_story(r: random.Random) -> Problem:
    """A word problem of two steps."""
    return Problem("long story", *stories.two_steps(r))


FAMILIES: dict[str, Callable[[random.Random], Problem]] = {
    "addition": addition,
    "subtraction": subtraction,
    "multiplication": multiplication,
    "division": division,
    "two steps": two_steps,
    "equation": equation,
    "story": story,
    "long story": long_story,
}


def is_held_out(problem: Problem) -> bool:
    """Whether these numbers, in this family and order, are kept for the evaluation."""
    numbers = re.findall(r"\d+", problem.question.replace(",", ""))
    return zlib.crc32(f"{problem.family} {numbers}".encode()) % 32 == 0


def sample_problem(r: random.Random, *, held_out: bool) -> Problem:
    """A problem of a random family, or now and then a division with a rest."""
    families = list(FAMILIES.values())
    while True:
        if r.random() < 0.02:
            problem = uneven_division(r)
        else:
            problem = r.choices(families, weights=[6, 13, 8, 18, 19, 14, 11, 11])[0](r)
        if is_held_out(problem) == held_out:
            return problem
