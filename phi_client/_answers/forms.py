r"""When two answers are the same by their form: numbers by their value, words by their letters, all else by its text.

It must not know algebra: where forms don't decide, as for `\sqrt{12}` and `2\sqrt{3}`, it says so.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

__all__ = ["Form", "are_same", "read_form"]

# Python refuses to read longer ones than 4,300, and equal text is enough for those.
_MOST_DIGITS: Final = 1000

_NOTHING: Final = re.compile(r"\\!\s*|\\displaystyle|\\left(?![a-z])|\\right(?![a-z])|\\?\$")
# A space after `\\` ends a matrix's row.
_BLANK: Final = re.compile(r"(?<!\\)\\[,;: ]|\\quad|~|\s+")
_NAMED: Final = re.compile(r"^(?:[A-Za-z](?:_\w)? ?= ?(?=[^=]*$)|\\approx ?)")
_TEXT: Final = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textit) ?\{([^{}]*)\}")
# A unit: words after a value, with the power of an area or a volume.
_UNIT: Final = re.compile(r"(?<=[\d}]) ?" + _TEXT.pattern + r"(?: ?\^ ?\{?\d\}?)?$")
_SIGN: Final = re.compile(r" ?(?:\^ ?\{?\\circ ?\}?|\\degree|°|\\?%)$")
_LETTER: Final = re.compile(r"\(([A-Za-z])\)")
_WORD: Final = re.compile(r"[^\W\d_]+(?: [^\W\d_]+)*")
_BASED: Final = re.compile(r"(\w+)_(?:\{(\d+)\}|(\d+))")
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d+)?")
_DECIMAL: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_SLASH: Final = re.compile(r"([+-]?\d+)/([+-]?\d+)")
_FRACTION: Final = re.compile(r"([+-]?)(\d*)\\frac(?:\{([+-]?\d+)\}|(\d))(?:\{([+-]?\d+)\}|(\d))")


@dataclass(frozen=True, slots=True)
class Form:
    """An answer's form: `value` of a number, `base` of digits that name one, `is_word` for words and letters."""

    text: str
    value: Fraction | None = None
    base: str | None = None
    is_word: bool = False


def read_form(answer: str) -> Form:
    r"""The form of an answer as it stands in `\boxed{}`. Units, degrees, percent and currency signs don't count."""
    text = re.sub(r"\\[dtc]frac", r"\\frac", answer.replace("\N{MINUS SIGN}", "-").replace("{,}", ","))
    text = _BLANK.sub(" ", _NOTHING.sub("", text)).strip().rstrip(".").strip()
    text = _NAMED.sub("", text)
    whole = _TEXT.fullmatch(text)
    text = whole[1].strip() if whole else _UNIT.sub("", text)
    text = _SIGN.sub("", text)
    text = _LETTER.sub(r"\1", text) if _LETTER.fullmatch(text) else text
    if _WORD.fullmatch(text):
        return Form(text.casefold(), is_word=True)
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    text = text.replace(" ", "")
    value = _value_of(text)
    if value is not None:
        return Form(str(value), value)
    based = _BASED.fullmatch(text)
    if based is not None:
        base = based[2] or based[3]
        return Form(f"{based[1]}_{base}", base=base)
    return Form(text)


def are_same(one: Form, other: Form) -> bool | None:
    """Whether both are the same answer; `None` where their forms don't decide."""
    if one.text == other.text:
        return True
    has_values = one.value is not None and other.value is not None
    has_bases = one.base is not None and other.base is not None
    if has_values or has_bases or (one.is_word and other.is_word):
        return False
    return None


def _value_of(text: str) -> Fraction | None:
    """The exact value of a whole number, a decimal, a fraction or a mixed number."""
    if len(text) > _MOST_DIGITS or not text.isascii():
        return None
    if _DECIMAL.fullmatch(text):
        return Fraction(text)
    slash = _SLASH.fullmatch(text)
    if slash is not None:
        return _ratio(int(slash[1]), int(slash[2]))
    parts = _FRACTION.fullmatch(text)
    if parts is None:
        return None
    ratio = _ratio(int(parts[3] or parts[4]), int(parts[5] or parts[6]))
    if ratio is None:
        return None
    value = int(parts[2] or 0) + ratio
    return -value if parts[1] == "-" else value


def _ratio(above: int, below: int) -> Fraction | None:
    return Fraction(above, below) if below else None
