"""Whether going on with a `map` is of use: a wrong key fails each item, and so does a hook with a fault.

It must not know what else an item is; it sees outcomes as they come.
"""

from __future__ import annotations

from typing import Final

from phi_client._call.errors import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    CredentialError,
    NotFoundError,
    PermissionDeniedError,
    PhiError,
    UnexpectedError,
    copied,
)
from phi_client._call.retrying import LONGEST_ASKED_WAIT_S

__all__ = ["MOST_HOPELESS", "Hope"]

MOST_HOPELESS: Final = 10
"""Items in a row that may fail for one reason outside of them before no more are sent."""

_QUOTA: Final = "quota"
_OF_THE_CLIENT: Final = (AuthenticationError, PermissionDeniedError, NotFoundError, CredentialError)


class Hope:
    """Counts failures in a row whose reason is not the item's; one answer is enough for what `needs_one` only."""

    def __init__(self, *, needs_one: bool = False) -> None:
        self._needs_one = needs_one
        self._has_one = False
        self._row: list[PhiError] = []
        self._reason: object = None
        self._first: PhiError | None = None
        self._is_all = True

    def see(self, error: PhiError | None) -> None:
        """Note how an item ended."""
        self._has_one = self._has_one or error is None
        reason = _reason_of(error)
        if error is None or reason is None:
            self._row, self._reason, self._is_all = [], None, False
            return
        if reason != self._reason:
            self._row, self._reason = [], reason
        self._row.append(error)
        self._first = self._first or error

    @property
    def is_gone(self) -> bool:
        """Whether no more should be sent; an answer that comes even so brings hope back."""
        return len(self._row) >= MOST_HOPELESS and not self._has_enough

    @property
    def is_vain(self) -> bool:
        """Whether waiting is of no use: the last word was that a quota is used up for longer than anyone waits."""
        return bool(self._row) and self._reason == _QUOTA and not self._has_enough

    def verdict(self, unsent: int) -> PhiError | None:
        """The error that ends the whole, with `unsent` items left; `None` where each item has its own outcome."""
        is_over = self.is_gone or (unsent > 0 and self.is_vain)
        first = self._row[0] if is_over else self._first if self._is_all else None
        if first is None:
            return None
        # The item has its error for itself.
        error = copied(first)
        if len(self._row) > 1:
            others = ", so the others were not sent" if unsent else ""
            error.note = f"{len(self._row)} items in a row failed like this{others}"
        return error

    @property
    def _has_enough(self) -> bool:
        return self._needs_one and self._has_one


def _reason_of(error: PhiError | None) -> object:
    """What is wrong, if it is not the item; equal for items that fail for one reason."""
    if isinstance(error, _OF_THE_CLIENT):
        return "client"
    if isinstance(error, APIStatusError) and (error.retry_after or 0.0) > LONGEST_ASKED_WAIT_S:
        return _QUOTA
    if isinstance(error, UnexpectedError):
        return type(error.cause)
    return str(error) if isinstance(error, ConfigurationError) else None
