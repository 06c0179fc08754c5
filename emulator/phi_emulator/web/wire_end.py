"""The emulator's end of a connection, as a virtual clock has to know it; with real time it does nothing.

It must not know HTTP: it is told of bytes, pauses and ends.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from phi_client.contract.clock.base import Clock

if TYPE_CHECKING:
    from phi_client.contract.clock.wires import Wire

__all__ = ["WireEnd"]


_NOTHING: Final = nullcontext()


class WireEnd:
    """One connection's end."""

    def __init__(self, clock: Clock) -> None:
        self._time = clock.virtual
        self._wire: Wire | None = None

    def begin(self, here: Any, there: Any) -> None:
        """The connection stands, between these addresses of sockets."""
        if self._time is not None:
            self._wire = self._time.wires.served(here, there)

    def answering(self) -> AbstractContextManager[object]:
        """While it is entered, an exchange is under way, at which the emulator works where it does not wait."""
        if self._time is None or self._wire is None:
            return _NOTHING
        return self._time.exchange(is_strange=not self._wire.is_dialled)

    def sending(self) -> AbstractContextManager[object]:
        """While it is entered, the exchange sends: where it can't, it is the client's turn."""
        if self._time is None or self._wire is None or not self._wire.is_stuck:
            return _NOTHING
        return self._time.aside()

    def gives(self, size: int) -> None:
        """So many bytes are about to be sent."""
        if self._wire is not None:
            self._wire.gives(size)

    def took(self, size: int) -> None:
        """So many bytes were received."""
        if self._wire is not None:
            self._wire.took(size)

    def stuck(self, *, is_so: bool) -> None:
        """Whether nothing can be sent before the client reads."""
        if self._wire is not None:
            self._wire.is_stuck = is_so

    def deaf(self, *, is_so: bool) -> None:
        """Whether nothing is read for now."""
        if self._wire is not None:
            self._wire.is_deaf = is_so

    def ends(self) -> None:
        """The end has begun."""
        if self._wire is not None:
            self._wire.ends()

    def lose(self) -> None:
        """The end was seen."""
        if self._wire is not None:
            self._wire.lose()
