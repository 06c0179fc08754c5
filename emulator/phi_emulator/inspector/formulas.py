r"""Formulas as people and models write them, LaTeX, as a tree of MathML that a page builds without reading markup.

It must not know who asks. A tree is `[name, {attribute: value}, [children]]`, and a child a tree or a text. Names and
attributes are those of two lists, so nothing in a formula can be a link, a style or a script. The bounds keep the work
small: `latex2mathml` takes about 0.1 ms for a character, and ends what is nested too deeply with an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any, Final, TypeAlias
from xml.etree.ElementTree import Element

from phi_emulator.models.strict_json import list_of, object_of

__all__ = ["MOST_CHARACTERS", "MOST_OF_ALL", "draw", "read_formulas"]

MOST_CHARACTERS: Final = 2_000
"""Of one formula; a longer one stays as it is written."""
MOST_OF_ALL: Final = 10_000
"""Of all formulas of one request together."""
_MOST_FORMULAS: Final = 200
_MOST_DEPTH: Final = 60

_ELEMENTS: Final = re.compile(
    "math|menclose|mfrac|mi|mmultiscripts|mn|mo|mover|mpadded|mphantom|mprescripts|mroot|mrow|mspace|msqrt|mstyle|msub|"
    "msubsup|msup|mtable|mtd|mtext|mtr|munder|munderover|none"
)
_ATTRIBUTES: Final = re.compile(
    "columnalign|columnlines|columnspacing|display|displaystyle|fence|form|height|largeop|linethickness|lspace|"
    "mathvariant|maxsize|minsize|movablelimits|notation|rowlines|rowspacing|rspace|scriptlevel|separator|stretchy|"
    "symmetric|width"
)

Tree: TypeAlias = list[Any]


def read_formulas(given: object) -> Sequence[tuple[str, bool]]:
    r"""The formulas of `{"formulas": [{"tex": "\\frac12", "display": true}]}`: each with whether it stands by itself.

    Raises:
        ValueError: it is not that, or more than the bounds allow; the message says where.
    """
    body = object_of(given)
    formulas = None if body is None or body.keys() != {"formulas"} else list_of(body["formulas"])
    if formulas is None:
        raise ValueError('Give {"formulas": [{"tex": "…", "display": false}]}.')
    if len(formulas) > _MOST_FORMULAS:
        raise ValueError(f"`formulas` has {len(formulas)} items; {_MOST_FORMULAS} are the most.")
    read = [_read(one, f"formulas[{number}]") for number, one in enumerate(formulas)]
    size = sum(len(tex) for tex, _ in read)
    if size > MOST_OF_ALL:
        raise ValueError(f"`formulas` has {size} characters; {MOST_OF_ALL} are the most.")
    return read


def draw(tex: str, *, display: bool = False) -> Tree | None:
    """The tree of one formula; `None` where it can't be drawn, and is better shown as it is written."""
    if len(tex) > MOST_CHARACTERS:
        return None
    from latex2mathml.converter import convert_to_element  # noqa: PLC0415 - loaded by the first formula

    try:
        element = convert_to_element(tex, display="block" if display else "inline")
        return _tree(element, _MOST_DEPTH)
    except Exception:  # noqa: BLE001 - it raises whatever its parser stumbles over; the formula stays as it is written
        return None


def _read(given: object, place: str) -> tuple[str, bool]:
    formula = object_of(given)
    if formula is None or not {"tex"} <= formula.keys() <= {"tex", "display"}:
        raise ValueError(f'`{place}` must be {{"tex": "…", "display": false}}.')
    tex, display = formula["tex"], formula.get("display", False)
    if not isinstance(tex, str) or not isinstance(display, bool):
        raise ValueError(f"`{place}` must have a text as `tex`, and true or false as `display`.")  # noqa: TRY004
    return tex, display


def _tree(element: Element, depth: int) -> Tree:
    if depth == 0 or not _ELEMENTS.fullmatch(element.tag):
        raise ValueError("not to be drawn")
    attributes = {name: value for name, value in element.attrib.items() if _ATTRIBUTES.fullmatch(name)}
    return [element.tag, attributes, [*_children(element, depth)]]


def _children(element: Element, depth: int) -> Iterator[Tree | str]:
    if element.text:
        text = unescape(element.text)
        if text.startswith("\\") and len(text) > 1:
            raise ValueError("a command that is not known")
        yield text
    for child in element:
        yield _tree(child, depth - 1)
