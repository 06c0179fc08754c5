"""The body of an answer as it went out, kept small. It must not know what is in it."""

from __future__ import annotations

import zlib
from typing import final

__all__ = ["Sent"]


@final
class Sent:
    """Bytes, packed. Answers that stream say most of each event again and again."""

    __slots__ = ("_packed", "is_whole")

    def __init__(self, body: bytes, *, is_whole: bool) -> None:
        self._packed = zlib.compress(body, 1)
        self.is_whole = is_whole
        """Whether it is all of the body, and not its beginning."""

    @property
    def body(self) -> bytes:
        """The bytes."""
        return zlib.decompress(self._packed)

    @property
    def memory(self) -> int:
        """Bytes that this takes."""
        return len(self._packed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sent) and (self._packed, self.is_whole) == (other._packed, other.is_whole)

    def __hash__(self) -> int:
        return hash(self._packed)

    def __repr__(self) -> str:
        # What was said is not shown.
        return f"<Sent of {len(self._packed)} packed bytes>"
