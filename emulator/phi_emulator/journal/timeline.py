"""When each piece of an answer went out, and how many bytes it had: bounded, and cheap to keep.

It must not know what is in a piece.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from operator import add
from typing import Final, NamedTuple, overload

__all__ = ["Chunk", "Timeline"]

_MOST_CHUNKS: Final = 16_384


class Chunk(NamedTuple):
    """A piece of an answer's body, as it was handed to the connection."""

    ms: float
    """Since the request came in."""
    size: int
    """In bytes."""
    events: int
    """Events of a stream that end in it: those of several tokens that came together are one piece."""


class Timeline(Sequence[Chunk]):
    """The pieces of one answer, in their order.

    Where there are too many, neighbours become one, so that the whole answer is told at half the detail.
    """

    __slots__ = ("_events", "_most", "_ms", "_sizes")

    def __init__(self, chunks: Sequence[Chunk] = (), *, most: int = _MOST_CHUNKS) -> None:
        self._most = max(most, 2)
        self._ms = array("d")
        self._sizes = array("Q")
        self._events = array("L")
        for chunk in chunks:
            self.add(*chunk)

    def add(self, ms: float, size: int, events: int) -> None:
        """The next piece."""
        if len(self._ms) >= self._most:
            self._halve()
        self._ms.append(ms)
        self._sizes.append(size)
        self._events.append(events)

    def copy(self) -> Timeline:
        """The same pieces; the copy does not grow."""
        other = Timeline(most=self._most)
        # One after the other, while the loop's thread may append: the shortest one counts.
        other._events, other._sizes, other._ms = self._events[:], self._sizes[:], self._ms[:]
        return other

    @property
    def size(self) -> int:
        """Bytes that all of them had."""
        return sum(self._sizes)

    @property
    def memory(self) -> int:
        """Bytes that this takes."""
        return sum(len(column) * column.itemsize for column in (self._ms, self._sizes, self._events))

    def __len__(self) -> int:
        return min(len(self._ms), len(self._sizes), len(self._events))

    @overload
    def __getitem__(self, index: int) -> Chunk: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Chunk]: ...
    def __getitem__(self, index: int | slice) -> Chunk | Sequence[Chunk]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return Chunk(self._ms[index], self._sizes[index], self._events[index])

    def __iter__(self) -> Iterator[Chunk]:
        return (Chunk(*column) for column in zip(self._ms, self._sizes, self._events, strict=False))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeline) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"<{len(self)} chunks, {self.size} bytes>"

    def _halve(self) -> None:
        """Make one of each two neighbours; the later one's time is theirs."""
        even = len(self._ms) // 2 * 2

        def pairs(column: array[int]) -> list[int]:
            return [*map(add, column[:even:2], column[1:even:2]), *column[even:]]

        self._ms = array("d", [*self._ms[1:even:2], *self._ms[even:]])
        self._sizes = array("Q", pairs(self._sizes))
        self._events = array("L", pairs(self._events))
