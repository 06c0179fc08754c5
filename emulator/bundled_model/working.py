"""The step-by-step working that `phi-tiny-arith` learns to write, one function for each operation.

Knows arithmetic and how a step is spelled; knows nothing of questions, tags, tokens or training. Each function returns
the sentences and the exact result, and asserts that the two agree, so a wrong lesson can't be generated.

The working is digit-wise because a small model can't add four-digit numbers in its head, but can look up `8+7` and
copy. Numbers are padded to one width first: corresponding digits then stand at a fixed distance, which attention
learns quickly.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Working", "add", "calculate", "divide", "multiply", "subtract"]

COLUMNS = ("ones", "tens", "hundreds", "thousands", "ten thousands")


class Working(NamedTuple):
    """Sentences of working and the number that they arrive at."""

    text: str
    result: int


def add(a: int, b: int) -> Working:
    """Add two integers of either sign."""
    if a < 0 and b < 0:
        text, total = add(-a, -b)
        return Working(f"{a}+({b}) is -({-a}+{-b}). {text} So {-total}.", -total)
    if a < 0:
        text, total = subtract(b, -a)
        return Working(f"{a}+{b} is {b}-{-a}. {text}", total)
    if b < 0:
        text, total = subtract(a, -b)
        return Working(f"{a}+({b}) is {a}-{-b}. {text}", total)
    if a < 10 and b < 10:
        return Working(f"{a}+{b}={a + b}.", a + b)
    width = max(len(str(a)), len(str(b)))
    left, right = f"{a:0{width}}", f"{b:0{width}}"
    steps, digits, carry = [], "", 0
    for column, (x, y) in zip(COLUMNS, zip(reversed(left), reversed(right), strict=True), strict=False):
        total = int(x) + int(y) + carry
        shown = f"{x}+{y}+1" if carry else f"{x}+{y}"
        carry = total // 10
        steps.append(f"{column} {shown}={total} write {total % 10}" + (" carry 1" if carry else ""))
        digits = str(total % 10) + digits
    if carry:
        steps.append(f"{COLUMNS[width]} write 1")
        digits = "1" + digits
    assert int(digits) == a + b
    return Working(f"Line up {left}+{right}: {', '.join(steps)}. That is {a + b}.", a + b)


def _compare(left: str, right: str) -> tuple[str, bool]:
    """Compare two numbers of one width digit by digit from the left: `4=4, 3<5`, and whether the left one is less."""
    seen = []
    for x, y in zip(left, right, strict=True):
        seen.append(f"{x}{'<' if x < y else '>' if x > y else '='}{y}")
        if x != y:
            break
    return ", ".join(seen), left < right


def subtract(a: int, b: int) -> Working:
    """Subtract `b` from `a`, either of any sign."""
    if b < 0:
        text, total = add(a, -b)
        return Working(f"{a}-({b}) is {a}+{-b}. {text}", total)
    if a < 0:
        text, total = add(-a, b)
        return Working(f"{a}-{b} is -({-a}+{b}). {text} So {-total}.", -total)
    if b <= a < 10:
        return Working(f"{a}-{b}={a - b}.", a - b)
    width = max(len(str(a)), len(str(b)))
    left, right = f"{a:0{width}}", f"{b:0{width}}"
    compared, turned = _compare(left, right)
    text = f"Line up {left}-{right}: {compared}"
    if turned:
        left, right = right, left
        text += f", so turn it round: {left}-{right}"
    steps, digits, borrow = [], "", 0
    for column, (x, y) in zip(COLUMNS, zip(reversed(left), reversed(right), strict=True), strict=False):
        taken = f"-{y}-1" if borrow else f"-{y}"
        total = int(x) - int(y) - borrow
        borrow = 1 if total < 0 else 0
        shown = f"{x}{taken} borrow 1{x}{taken}" if borrow else f"{x}{taken}"
        steps.append(f"{column} {shown}={total % 10} write {total % 10}")
        digits = str(total % 10) + digits
    size = abs(a - b)
    assert int(digits) == size
    text += f": {', '.join(steps)}. That is {size}."
    return Working(f"{text} So {-size}.", -size) if turned else Working(text, size)


def _times_digit(a: int, digit: int) -> str:
    """One line for a number of at most two digits times a digit: `23*7=140+21=161`."""
    if a < 10 or digit < 2 or a % 10 == 0:
        return f"{a}*{digit}={a * digit}"
    tens, ones = a // 10 * 10 * digit, a % 10 * digit
    return f"{a}*{digit}={tens}+{ones}={a * digit}"


def multiply(a: int, b: int) -> Working:
    """Multiply two integers, each of at most two digits, either of any sign."""
    if a < 0 or b < 0:
        text, total = multiply(abs(a), abs(b))
        if (a < 0) == (b < 0):
            return Working(f"Two minus signs cancel: {abs(a)}*{abs(b)}. {text}", total)
        return Working(f"One minus sign: {abs(a)}*{abs(b)}. {text} So {-total}.", -total)
    assert max(a, b) < 100
    if a < 10 <= b:
        a, b = b, a
    if b < 10:
        return Working(f"{_times_digit(a, b)}.", a * b)
    tens, ones = divmod(b, 10)
    tens_line = f"{_times_digit(a, tens)}, so {a}*{tens * 10}={a * tens * 10}"
    if ones == 0:
        return Working(f"{tens_line}.", a * b)
    text, total = add(a * ones, a * tens * 10)
    assert total == a * b
    return Working(f"{_times_digit(a, ones)}. {tens_line}. {a * ones}+{a * tens * 10}: {text}", a * b)


def _quotient_digit(part: int, divisor: int) -> str:
    """How often `divisor` fits into `part`: from the tables for a digit, by trying multiples for two digits."""
    digit, rest = divmod(part, divisor)
    if divisor < 10 or digit == 0:
        return f"{part}/{divisor}={digit} rest {rest}"
    # The part stands beside each multiple, so that comparing them needs no look back.
    tried = [f"{divisor}*{k}={divisor * k}<{part}" for k in range(1, digit + 1)]
    if rest == 0:
        tried[-1] = f"{divisor}*{digit}={part}={part}"
        return f"{part}/{divisor}: {', '.join(tried)}, so {digit} rest 0"
    tried.append(f"{divisor}*{digit + 1}={divisor * (digit + 1)}>{part}")
    rest_text = calculate(part, "-", divisor * digit).text.removesuffix(".")
    return f"{part}/{divisor}: {', '.join(tried)}, so {digit}. {rest_text}"


def divide(a: int, b: int) -> Working:
    """Divide `a` by `b` (1 to 99), digit by digit; the result is the whole quotient.

    The digits that are still to come stand after each rest, so that the next one is always the first of them. A
    division that leaves a rest ends with the sentence that says so, and the caller then has no answer to give.
    """
    if a < 0:
        text, total = divide(-a, b)
        return Working(f"One minus sign: {-a}/{b}. {text} So {-total}.", -total)
    assert 0 < b < 100
    digits = str(a)
    start = next((n for n in range(1, len(digits) + 1) if int(digits[:n]) >= b), len(digits))
    rest, steps = int(digits[:start]), []
    if start < len(digits):
        steps.append(f"{digits[:start]} then {digits[start:]}")
    for index in range(start, len(digits) + 1):
        step = _quotient_digit(rest, b)
        rest %= b
        if index < len(digits):
            step += f" then {digits[index:]}"
            rest = rest * 10 + int(digits[index])
        steps.append(step)
    text = ". ".join(steps)
    if rest:
        return Working(f"{text}. It does not divide evenly.", a // b)
    return Working(f"{text}. That is {a // b}.", a // b)


def calculate(a: int, op: str, b: int) -> Working:
    """Work out `a op b` for an operator of `+-*/`, with the expression in front: `48+377: Line up …`."""
    working = {"+": add, "-": subtract, "*": multiply, "/": divide}[op](a, b)
    shown = f"({b})" if b < 0 else str(b)
    return Working(f"{a}{op}{shown}: {working.text}", working.result)
