"""What guidance refuses, in words for whoever asked.

Knows the native library's complaints; imports nothing of it.
"""

from __future__ import annotations

import re
from typing import Final

from phi_emulator.engine.base import GuidanceError

__all__ = ["guidance_error", "lost_guidance"]

_PLACE: Final = re.compile(r"^at \d+\(\d+\): ")
_MOST_WORDS: Final = 300


def guidance_error(complaint: str) -> GuidanceError:
    """What the compiler of grammars said, without its own names for places in a grammar that nobody wrote."""
    lines = complaint.removeprefix("Error creating grammar: ").splitlines()
    said = _PLACE.sub("", lines[0]) if lines else "no reason given"
    reason = next((line for line in lines if line.startswith("error: ")), None)
    if reason is not None:
        # A regular expression, which is quoted at length before the reason.
        said = f"invalid regular expression: {reason.removeprefix('error: ')}"
    return GuidanceError(said[:_MOST_WORDS])


def lost_guidance() -> GuidanceError:
    """The grammar grew past what may be looked at for one token, or no token fits it."""
    return GuidanceError("the form can't be followed any further: make the schema or the expression simpler")
