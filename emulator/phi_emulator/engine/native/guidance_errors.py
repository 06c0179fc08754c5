"""What guidance refuses, in our own words for whoever asked.

Knows the native library's complaints; imports nothing of it. Only complaints that are known are passed on, as far as
they are known: what else the library says, such as where it panicked, is for nobody who asked for a form.
"""

from __future__ import annotations

import re
from typing import Final

from phi_emulator.engine.errors import GuidanceError

__all__ = ["guidance_error", "lost_guidance", "too_costly"]

_PLACE: Final = re.compile(r"^(at \d+\(\d+\)|\d+\(\d+\)): ")
_EXPRESSION: Final = re.compile(r"^error: ([A-Za-z][A-Za-z ,;<=>/-]{2,100})$", re.MULTILINE)
_NAME: Final = r"[\w$.:/# -]{1,80}"
_KINDS: Final = "array|object|string|boolean|positive integer|integer|number|f64"
_KNOWN: Final = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (rf"Invalid type: ({_NAME})", "Invalid type: {}"),
        (rf'Unimplemented keys: (\["{_NAME}"(?:, ?"{_NAME}")*\])', "Unimplemented keys: {}"),
        (rf"Unknown format: ({_NAME})", "Unknown format: {}"),
        (rf"Pointer '({_NAME})' does not exist", "`$ref` leads to {}, which does not exist"),
        (r"Resource '.*", "`$ref` leads out of the schema: the emulator does not fetch anything"),
        (
            r"Unsatisfiable schema: (\w+ \([-\d.]+\) is greater than \w+ \([-\d.]+\))",
            "nothing fits the schema: {}",
        ),
        (
            rf"Unsatisfiable schema: required property '({_NAME})' .*",
            "nothing fits the schema: nothing fits {}, which is required",
        ),
        (r"Unsatisfiable schema: .*", "nothing fits the schema"),
        (r"((?:type|properties|enum|anyOf|allOf|oneOf|prefixItems|schema) must be an? [a-z ]+)", "{}"),
        (rf"Expected (?:{_KINDS}) for '(\w{{1,40}})', got .*", "`{}` has a value that it can't have"),
        (
            r"oneOf constraints are not supported\..*",
            "`oneOf` of schemas that overlap is not supported: take `anyOf`",
        ),
        (r"invalid multiple of.*", "`multipleOf` must be a number above 0"),
        (r"Failed to generate regex for \w+ range.*", "the range of a number is too wide"),
        (r'failed to parse "%json": .*', "the schema holds a number that is none, or is too large"),
        (
            r"invalid regex .*lookarounds not supported.*",
            "invalid regular expression: no look-around, no `\\b`",
        ),
    )
)


def guidance_error(complaint: str) -> GuidanceError:
    """What the compiler of grammars complained of, as far as it is known."""
    lines = complaint.removeprefix("Error creating grammar: ").splitlines()
    said = _PLACE.sub("", lines[0]).removeprefix("failed to compile JSON schema: ") if lines else ""
    reason = _EXPRESSION.search(complaint)
    if reason is not None and said.endswith("regex parse error:"):
        # The expression itself is quoted at length before the reason.
        return GuidanceError(f"invalid regular expression: {reason[1]}")
    for pattern, words in _KNOWN:
        found = pattern.fullmatch(said)
        if found is not None:
            return GuidanceError(words.format(*found.groups()))
    return GuidanceError("the schema or the expression can't be followed: make it simpler")


def too_costly() -> GuidanceError:
    """What it compiles to is more than the others who are answered can bear."""
    return GuidanceError(
        "the schema or the expression takes too long or too much memory to compile: make it simpler"
    )


def lost_guidance() -> GuidanceError:
    """The grammar grew past what may be looked at for one token, or no token fits it."""
    return GuidanceError("the form can't be followed any further: make the schema or the expression simpler")
