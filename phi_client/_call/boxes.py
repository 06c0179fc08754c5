r"""The answer in a box, read as a person would who knows what LaTeX makes of it and what people write instead.

It must not know the wire, nor judge an answer: it works on text alone, once from its beginning to its end.

    \boxed{408}   \fbox{408}   \framebox[2cm]{408}   \boxed 408   \boxed\frac12   \boxed(1,2)
    \boxed{}   \boxed{\quad}   \boxed{...}   \boxed{2      say nothing: an earlier box is the answer
"""

import re
from bisect import bisect_left
from typing import Final

__all__ = ["find_boxed_answer"]

_BOX: Final = re.compile(
    # A second backslash is what escaping leaves; `\framebox` may say how wide it is.
    r"\\{1,2}(?:boxed|fbox|framebox)(?![A-Za-z])(?:(?<=framebox)(?:\s{0,9}\[[^\]\n{}]{0,20}\]){1,2}(?=\s{0,9}\{))?"
)
_TOKEN: Final = re.compile(r"(?P<box>" + _BOX.pattern + r")|\\[A-Za-z]+|\\.|[{}]|[^\\{}]+|\\", re.DOTALL)
_SAYS: Final = re.compile(r"[^\s$.…_?~*\u200b]")
_EMPTY_BOX: Final = re.compile(_BOX.pattern + r"\s{0,9}\{[^{}]{0,99}\}")

# What only places, spaces or names the kind of what follows, and what stands for a blank.
_SILENT: Final = re.compile(
    r"q?quad|[hv]?phantom|(?:h|en|thin)?space|hfill|null|relax|text(?:bf|it|rm|tt|sf)?|math(?:rm|bf|it|sf|tt)|bf|it|rm"
    r"|boldsymbol|underline|(?:display|text)style|left|right|[bB]igg?|[lL]arge|[lc]?dots|dotsc|square|Box|[,;:!>_$\s()\[\]\\]"
)

# What may stand in a box without braces, piece by piece, and the blanks before it.
_BLANK: Final = re.compile(r"(?:[ \t]|\\[,;:! ])*")
_STEP: Final = re.compile(
    r"(?P<left>\\left(?![A-Za-z])[ \t]*(?:\\[A-Za-z]+|\\.|\S))"
    r"|(?P<right>\\right(?![A-Za-z])[ \t]*(?:\\[A-Za-z]+|\\.|\S))"
    r"|(?P<box>\\(?:boxed|fbox|framebox)(?![A-Za-z]))|\\(?P<command>[A-Za-z]+)|(?P<opens>\\\{|[({\[])"
    r"|(?P<closes>\\\}|[)}\]])|(?P<ends>\\[()\[\]\\]|[\s$&|\"'`<]|\*\*)|(?P<sign>\\.)"
    r"|(?P<number>\d+(?:[.,:/]\d+|,\\!\d+|\{,\}\d+)*|\.\d+)|(?P<mark>[.,;:])|(?P<word>[^\W\d_]+)|(?P<other>.)",
    re.DOTALL,
)
_STARTERS: Final = frozenset({"left", "command", "opens", "sign", "number", "word"})
_SIGNS: Final = frozenset("+-\N{MINUS SIGN}\N{PLUS-MINUS SIGN}")
_WITHIN: Final = frozenset({" ", "\t", "<", "|", "'", "&", "\\\\"})
_DEPTH: Final = {"left": 1, "right": -1, "opens": 1, "closes": -1}
_FORMULA: Final = re.compile(r"[\d\\=^_(+<>]")
_FORMULA_ENDS: Final = re.compile(r"\s{0,9}(?:\$|\\[)\]])")
_ARGUMENTS: Final = {
    "frac": 2, "dfrac": 2, "tfrac": 2, "cfrac": 2, "binom": 2, "dbinom": 2, "sqrt": 1, "text": 1, "textbf": 1,
    "textit": 1, "mathrm": 1, "mathbf": 1, "mathbb": 1, "overline": 1, "vec": 1, "begin": 1, "end": 1,
}  # fmt: skip
_PAIRS: Final = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_MOST_LAYERS: Final = 4
"""Of braces and signs of formulas around an answer that are taken off."""


def find_boxed_answer(content: str) -> str | None:
    r"""What stands in the last box that says anything, or `None`.

    Of boxes in one another the innermost counts. A box that is not closed says nothing: its answer was cut. Time is
    linear, whatever the text.
    """
    if "box" not in content:
        return None
    boxes, saying = _boxes_and_words(content)
    for start, end in sorted(boxes, reverse=True):
        place = bisect_left(saying, start)
        if place < len(saying) and saying[place] < end:
            return _bare(content[start:end], has_boxes=any(start < box[0] < end for box in boxes))
    return None


def _boxes_and_words(content: str) -> tuple[list[tuple[int, int]], list[int]]:
    """From where to where the inside of each box goes, and where something is said."""
    boxes: list[tuple[int, int]] = []
    saying: list[int] = []
    opened: list[int | None] = []
    place = 0
    while token := _TOKEN.match(content, place):
        place = token.end()
        text = token[0]
        if token["box"] is not None:
            brace = _after_blank(content, place)
            if content.startswith("{", brace):
                place = brace + 1
                opened.append(place)
            else:
                span = _unbraced(content, place)
                boxes += [span] if span is not None else []
        elif text == "{":
            opened.append(None)
        elif text == "}":
            start = opened.pop() if opened else None
            if start is not None:
                boxes.append((start, token.start()))
        elif text[0] == "\\":
            if not _SILENT.fullmatch(text[1:]):
                saying.append(token.start())
        elif (said := _SAYS.search(text)) is not None:
            # The first place is enough: no box begins or ends in a text.
            saying.append(token.start() + said.start())
    return boxes, saying


def _after_blank(content: str, place: int) -> int:
    while place < len(content) and content[place].isspace():
        place += 1
    return place


def _unbraced(content: str, place: int) -> tuple[int, int] | None:
    r"""From where to where the argument of a box without braces goes: a number, a command with what it takes, a letter.

    A word is none, unless the formula ends behind it: `I put it into \boxed as asked`.
    """
    blank = _BLANK.match(content, place)
    start = place = blank.end() if blank else place
    depth, last = 0, start
    while step := _STEP.match(content, place):
        kind = step.lastgroup or ""
        is_first = step.start() == start
        if is_first and kind not in _STARTERS and step[0] not in _SIGNS:
            return None
        depth += _DEPTH.get(kind, 0)
        if depth < 0 or kind == "box" or (kind == "ends" and not (depth and step[0] in _WITHIN)):
            break
        place = step.end()
        if kind == "command":
            name = step["command"]
            depth += {"begin": 1, "end": -1}.get(name, 0)
            after = _arguments(content, place, _ARGUMENTS.get(name, 0))
            if after is None:
                return None
            place = after
        if kind == "mark" and not depth:
            break
        last = place
    run = content[start:last]
    is_words = len(run) > 1 and not _FORMULA.search(run)
    if depth > 0 or not run or run in _SIGNS or (is_words and not _FORMULA_ENDS.match(content, last)):
        return None
    return start, last


def _arguments(content: str, place: int, count: int) -> int | None:
    """Where `count` arguments of a command end, or `None` when one is not there."""
    if count == 1 and content.startswith("[", place):
        root = content.find("]", place, place + 20)
        place = root + 1 if root >= 0 else place
    for _ in range(count):
        while content.startswith((" ", "\t"), place):
            place += 1
        if content.startswith("{", place):
            end = _group_end(content, place)
            if end is None:
                return None
            place = end
        elif (step := _STEP.match(content, place)) and step.lastgroup in ("command", "number", "word"):
            # TeX takes one letter or digit, whatever follows it.
            place = step.end() if step.lastgroup == "command" else place + 1
        else:
            return None
    return place


def _group_end(content: str, place: int) -> int | None:
    """Behind the brace that closes the one at `place`; `None` where a line ends or a box begins before it."""
    depth = 0
    for token in _TOKEN.finditer(content, place):
        if token["box"] is not None or (token[0][0] not in "\\{}" and "\n" in token[0]):
            return None
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if not depth:
            return token.end()
    return None


def _bare(inside: str, *, has_boxes: bool) -> str:
    """What is inside a box, without boxes that say nothing and without what only surrounds it."""
    text = _EMPTY_BOX.sub("", inside).strip() if has_boxes else inside.strip()
    for _ in range(_MOST_LAYERS):
        for opening, closing in _PAIRS:
            middle = text[len(opening) : len(text) - len(closing)]
            if text == opening + middle + closing and middle and opening not in middle:
                text = middle.strip()
        # Braces that hold a list or JSON may be the answer's own.
        if text.startswith("{") and _group_end(text, 0) == len(text) and not re.search(r'[":,]', text):
            text = text[1:-1].strip()
    return text
