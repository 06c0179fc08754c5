"""Where a fault strikes: the first thing of an answer that goes otherwise than it would have gone.

It must not know what any fault does: it compares what goes into a machine with what comes out.
"""

from __future__ import annotations

from phi_emulator.faults.actions import Action, Bytes, End, Head

__all__ = ["Striker"]


class Striker:
    """Looks at one answer."""

    def __init__(self) -> None:
        self._head: Head | None = None
        self._due = bytearray()
        """What came in and has not gone out."""
        self.sent = 0
        """Bytes of the body that have gone out."""

    def takes(self, part: Head | bytes) -> None:
        """What would go out without a fault."""
        if isinstance(part, Head):
            self._head = part
        else:
            self._due += part

    def strikes(self, action: Action) -> bool:
        """Whether an action is another one than without a fault. Ask once for each, in their order."""
        match action:
            case Head():
                return action != self._head
            case Bytes():
                is_same = self._due.startswith(action.data)
                if is_same:
                    del self._due[: len(action.data)]
                    self.sent += len(action.data)
                return not is_same
            case End():
                return bool(self._due)
            case _:
                return True
