"""An item that is sent: what watches over its call, and tells the pace of each endpoint what came of each attempt.

It must not send anything, nor decide what an outcome means for the item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from phi_client._map.lanes import Place

if TYPE_CHECKING:
    from phi_client._call.options import CompletionOptions
    from phi_client._call.request_types import Message

__all__ = ["Start"]

_T = TypeVar("_T", bound="str | Sequence[Message]")


class Start(Generic[_T]):
    """An item to be sent now; it is the `Watcher` of its call. Used by one thread at a time."""

    __slots__ = ("_sent", "first_lane", "messages", "options", "place", "position")

    def __init__(self, position: int, messages: _T, options: CompletionOptions, place: Place) -> None:
        self.position = position
        self.messages = messages
        self.options = options
        self.place = place
        self.first_lane = place.lane
        self._sent = 0

    def __repr__(self) -> str:
        return f"<Start of item {self.position} at endpoint {self.place.lane}>"

    @property
    def retries(self) -> int:
        """The attempts after the first."""
        return max(0, self._sent - 1)

    def sends(self, lane: int) -> None:
        """An attempt goes out."""
        self._sent += 1
        self.place.move(lane)

    def answered(self, lane: int, headers: Mapping[str, str], error: BaseException | None) -> None:
        """The attempt has come to an answer, or to an error."""
        self.place.move(lane)
        self.place.observe(headers, error)

    def waits(self, lane: int, seconds: float) -> None:
        """The next attempt follows after so long."""
        self.place.move(lane)
        self.place.repeat(seconds)
