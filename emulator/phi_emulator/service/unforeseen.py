"""What is logged of an error that nobody foresaw: its kind and where in this project it was, never a value.

It must not write an exception's own text, nor its traceback: whatever library raised it may quote a prompt there.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import Final

__all__ = ["log_unforeseen"]

_OURS: Final = ("phi_emulator", "phi_client")
_MOST_CAUSES: Final = 5
_MOST_PLACES: Final = 12


def log_unforeseen(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log that `what` failed."""
    logger.error("%s: %s", what, "; from ".join(_told(one) for one in _chain(error)))


def _chain(error: BaseException | None) -> list[BaseException]:
    """The error and what it came from."""
    chain: list[BaseException] = []
    while error is not None and error not in chain and len(chain) < _MOST_CAUSES:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def _told(error: BaseException) -> str:
    kind = type(error)
    places = _places(error.__traceback__)
    return f"{kind.__module__}.{kind.__qualname__}" + (f" at {' > '.join(places)}" if places else "")


def _places(traceback: TracebackType | None) -> list[str]:
    """The lines of this project that the error went through, outermost first."""
    places: list[str] = []
    while traceback is not None:
        parts = Path(traceback.tb_frame.f_code.co_filename).parts
        if any(package in parts for package in _OURS):
            first = max(number for number, part in enumerate(parts) if part in _OURS)
            places.append(f"{'/'.join(parts[first:])}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return places[-_MOST_PLACES:]
