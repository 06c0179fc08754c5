"""What is logged of an error that nobody foresaw: its kind and where in this project it was, never a value.

It must not write an exception's own text, nor its traceback: whatever library raised it may quote a prompt there.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import Final

import phi_client
import phi_emulator

__all__ = ["log_unforeseen"]

_ROOTS: Final = tuple(
    (Path(package.__file__).parent, package.__name__)
    for package in (phi_emulator, phi_client)
    if package.__file__ is not None
)
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
        path = Path(traceback.tb_frame.f_code.co_filename)
        for root, name in _ROOTS:
            if path.is_relative_to(root):
                places.append(f"{name}/{path.relative_to(root).as_posix()}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return places[-_MOST_PLACES:]
