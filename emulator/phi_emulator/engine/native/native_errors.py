"""What the native engine says when it won't do something, for whoever asked.

Knows the errors' texts; must not import the native engine.
"""

from __future__ import annotations

from typing import Final

from phi_emulator.engine.errors import GuidanceError, SequenceError
from phi_emulator.engine.native.guidance_errors import guidance_error
from phi_emulator.engine.protocol import Sampling

__all__ = ["refusal", "short_words"]

_LONGEST: Final = 200


def refusal(sampling: Sampling, error: Exception) -> GuidanceError | SequenceError:
    """What a sequence is told that could not begin."""
    if sampling.guidance is not None:
        return guidance_error(str(error))
    return SequenceError(f"the native engine refused the request: {short_words(error)}")


def short_words(error: Exception) -> str:
    """What an error says, in a line."""
    said = " ".join(str(error).split())
    return (said if len(said) <= _LONGEST else said[:_LONGEST] + "…") or type(error).__name__
