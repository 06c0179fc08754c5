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

from words import name, place, things
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


def number(r: random.Random, most_digits: int) -> int:
    """A whole number with a uniformly chosen count of digits, so that short ones are as common as long ones."""
    digits = r.randint(1, most_digits)
    return r.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


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


WORDS_ONE = {
    "+": [
        "{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?",
        "{n} had {a} {t}. {m} gives {n} {b} more {t}. How many {t} does {n} have?",
        "{n} has {a} {t} and {m} has {b} {t}. How many {t} do they have together?",
        "There are {a} {t} on the table and {b} {t} in the {p}. How many {t} are there in total?",
        "{n} collected {a} {t} on Monday and {b} {t} on Tuesday. How many {t} did {n} collect altogether?",
        "A {p} sold {a} {t} in the morning and {b} in the afternoon. How many {t} were sold that day?",
        "{n} found {a} {t}, then found {b} more. How many {t} did {n} find in all?",
        "{n} read {a} pages yesterday and {b} pages today. How many pages did {n} read?",
        "{n} bought a book for ${a} and a bag for ${b}. How much did {n} spend in total?",
        "A farmer has {a} {t} and gets {b} more. How many {t} does the farmer have in all?",
        "If {n} has {a} {t} and receives {b} more, how many {t} does {n} have?",
        "There were {a} people on a train. Then {b} more got on. How many people are on the train now?",
        "A class has {a} girls and {b} boys. How many students are in the class?",
        "{n} walked {a} meters and then {b} meters more. How far did {n} walk in total?",
        "{n} scored {a} points in the first game and {b} points in the second. What is the total score of {n}?",
        "{a} {t} are in the {p}. {n} puts {b} more {t} into it. How many {t} are in the {p} now?",
    ],
    "-": [
        "{n} has {a} {t} and gives away {b}. How many {t} are left?",
        "{n} had {a} {t} and lost {b} of them. How many {t} does {n} have now?",
        "There are {a} {t} in the {p}. {n} takes {b}. How many {t} remain?",
        "{n} has {a} {t}. {m} has {b} fewer. How many {t} does {m} have?",
        "A {p} had {a} {t} and sold {b} of them. How many {t} are left in the {p}?",
        "{n} baked {a} {t} and ate {b}. How many {t} are left?",
        "{n} had {a} dollars and spent {b} dollars. How much money does {n} have left?",
        "{n} has {a} {t} and {m} has {b} {t}. How many more {t} does {n} have than {m}?",
        "{n} has ${a} and buys a toy for ${b}. How much money is left?",
        "There were {a} people on a bus and {b} got off. How many people are still on the bus?",
        "A book has {a} pages. {n} has read {b} pages. How many pages are left to read?",
        "If you have {a} {t} and give {b} to {n}, how many {t} do you have left?",
        "{n} needs {a} {t} and already has {b}. How many more {t} does {n} need?",
        "A farmer had {a} {t} and sold {b}. How many {t} does the farmer have now?",
        "Out of {a} {t}, {b} are broken. How many {t} are not broken?",
    ],
    "*": [
        "There are {b} boxes with {a} {t} in each. How many {t} are there altogether?",
        "{n} buys {b} bags of {t}. Each bag has {a} {t}. How many {t} does {n} have?",
        "Each of {b} children has {a} {t}. How many {t} do they have in total?",
        "A {p} has {b} rows with {a} {t} in each row. How many {t} are there?",
        "{n} saves {a} dollars every week. How much does {n} save in {b} weeks?",
        "One ticket costs {a} dollars. How much do {b} tickets cost?",
        "{n} packs {a} {t} into each box and fills {b} boxes. How many {t} did {n} pack?",
        "A ticket costs ${a}. How much do {b} tickets cost?",
        "{n} buys {b} {t} for ${a} each. How much does {n} pay in total?",
        "If one box holds {a} {t}, how many {t} do {b} boxes hold?",
        "There are {b} tables with {a} chairs each. How many chairs are there in all?",
        "{n} runs {a} minutes every day. How many minutes does {n} run in {b} days?",
        "A car drives {a} miles in an hour. How many miles does it drive in {b} hours?",
        "Each {p} has {a} {t}. How many {t} are in {b} of them?",
        "{n} works {b} hours and earns {a} dollars an hour. How much does {n} earn?",
    ],
    "/": [
        "{n} shares {a} {t} equally among {b} friends. How many {t} does each friend get?",
        "{a} {t} are packed into boxes of {b}. How many boxes are needed?",
        "{n} puts {a} {t} into {b} equal groups. How many {t} are in each group?",
        "A {p} has {a} {t} in {b} equal rows. How many {t} are in each row?",
        "{b} tickets cost {a} dollars in total. How much does one ticket cost?",
        "{n} reads {b} pages a day. How many days does {n} need for {a} pages?",
        "{a} {t} are divided equally among {b} children. How many {t} does each child get?",
        "If {b} boxes hold {a} {t} in total, how many {t} are in each box?",
        "{n} has {a} {t} and puts {b} in each bag. How many bags does {n} need?",
        "{b} friends split a bill of ${a} equally. How much does each friend pay?",
        "{n} earns ${a} in {b} days, the same every day. How much does {n} earn a day?",
        "A teacher divides {a} students into groups of {b}. How many groups are there?",
    ],
}
WORDS_TWO = {
    "+-": [
        "{n} has {a} {t}, buys {b} more and gives {c} to {m}. How many {t} does {n} have now?",
        "There were {a} {t} in the {p}. {n} added {b} and {m} took {c}. How many {t} are there now?",
        "{n} had {a} dollars, earned {b} dollars and spent {c} dollars. How many dollars does {n} have?",
        "A bus had {a} people. {b} got on and {c} got off. How many people are on the bus now?",
        "{n} had ${a}, got ${b} for a birthday and bought {t} for ${c}. How much money does {n} have now?",
        "{n} picked {a} {t} and {m} picked {b}. They ate {c} of them. How many {t} are left?",
    ],
    "--": [
        "{n} has {a} {t}. {n} gives {b} to {m} and loses {c}. How many {t} are left?",
        "A {p} had {a} {t}. It sold {b} on Monday and {c} on Tuesday. How many {t} are left?",
        "{n} had {a} {t}, ate {b} of them and gave {c} away. How many {t} remain?",
        "{n} had ${a}. {n} spent ${b} on food and ${c} on {t}. How much money is left?",
        "A book has {a} pages. {n} read {b} pages on Monday and {c} on Tuesday. How many pages are left?",
    ],
    "++": [
        "{n} has {a} {t}, {m} has {b} and their friend has {c}. How many {t} do they have together?",
        "{n} picked {a} {t} on Friday, {b} on Saturday and {c} on Sunday. How many {t} is that in all?",
        "{n} spent ${a} on food, ${b} on {t} and ${c} on a ticket. How much did {n} spend in total?",
        "There are {a} red, {b} blue and {c} green {t}. How many {t} are there altogether?",
    ],
    "*+": [
        "{n} has {b} boxes with {a} {t} in each and {c} more {t}. How many {t} does {n} have in total?",
        "{n} buys {b} packs of {a} {t} and finds {c} {t} at home. How many {t} does {n} have?",
        "{n} earns {a} dollars an hour and works {b} hours, then gets a bonus of {c} dollars. How much is that?",
        "{n} buys {b} {t} for ${a} each and a bag for ${c}. How much does {n} pay in total?",
        "There are {b} rows of {a} {t} and {c} extra {t}. How many {t} are there?",
        "{n} has {c} {t} and buys {b} boxes with {a} {t} in each. How many {t} does {n} have now?",
    ],
    "*-": [
        "{n} has {b} boxes with {a} {t} in each and gives away {c} {t}. How many {t} are left?",
        "A {p} has {b} shelves with {a} {t} on each. {c} {t} are sold. How many {t} remain?",
        "{n} bought {b} bags of {a} {t} and lost {c} {t}. How many {t} does {n} still have?",
        "{n} buys {b} packs of {a} {t}. {n} gives {c} of the {t} to {m}. How many {t} does {n} have left?",
        "A farmer fills {b} baskets with {a} {t} each, but {c} {t} are bad. How many good {t} are there?",
    ],
    "/+": [
        "{n} shares {a} {t} equally among {b} friends. {m} is one of them and already had {c} {t}. "
        "How many {t} does {m} have now?",
        "{a} {t} are put into {b} equal bags, and then {c} more {t} go into each bag. How many {t} are in each bag?",
    ],
    "+/": [
        "{n} has {a} {t} and {m} has {b} {t}. They put them together and share them equally among {c} children. "
        "How many {t} does each child get?",
        "{n} picks {a} {t} and {m} picks {b}. They pack all of them into {c} equal boxes. How many {t} are in each box?",
    ],
}  # fmt: skip
STORY_STEP = {"+": "We add", "-": "We subtract", "*": "We multiply", "/": "We divide"}


def _fill(r: random.Random, template: str, **numbers: int) -> str:
    first, second = name(r), name(r)
    while second == first:
        second = name(r)
    return template.format(n=first, m=second, t=things(r), p=place(r), **numbers)


def story(r: random.Random) -> Problem:
    """A word problem of one step."""
    op = r.choice("+-*/")
    if op in "+-":
        size = r.choice([1, 2, 2, 3, 3, 4])
        a, b = number(r, size), number(r, size)
        if op == "-" and a < b:
            a, b = b, a
    elif op == "*":
        a, b = r.randrange(2, 100), r.randrange(2, 100 if r.random() < 0.3 else 13)
    else:
        b = r.randrange(2, 13) if r.random() < 0.8 else r.randrange(13, 60)
        a = b * r.randint(1, 99)
    question = _fill(r, r.choice(WORDS_ONE[op]), a=a, b=b)
    working, result = calculate(a, op, b)
    return Problem("story", question, f"{STORY_STEP[op]}. {working}", result)


def long_story(r: random.Random) -> Problem:
    """A word problem of two steps."""
    ops = r.choice(list(WORDS_TWO))
    while True:
        if ops[0] == "*":
            a, b, c = r.randrange(2, 100 if r.random() < 0.5 else 13), r.randrange(2, 13), number(r, 2)
        elif ops[0] == "/":
            b = r.randrange(2, 13)
            a, c = b * r.randint(1, 60), number(r, 2)
        elif ops == "+/":
            c = r.randrange(2, 13)
            total = c * r.randint(1, 60)
            a = r.randint(0, total)
            b = total - a
        else:
            size = r.choice([2, 2, 3])
            a, b, c = number(r, size), number(r, size), number(r, size)
        first = calculate(a, ops[0], b)
        second = calculate(first.result, ops[1], c)
        if first.result >= 0 and second.result >= 0:
            break
    question = _fill(r, r.choice(WORDS_TWO[ops]), a=a, b=b, c=c)
    working = f"{STORY_STEP[ops[0]]}. {first.text} {STORY_STEP[ops[1]]}. {second.text}"
    return Problem("long story", question, working, second.result)


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
            problem = r.choices(families, weights=[7, 15, 9, 21, 19, 15, 7, 7])[0](r)
        if is_held_out(problem) == held_out:
            return problem
