"""What is said of a test: its exchanges, and what went unanswered. It must not know pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_phi.emulator import PhiEmulator
    from pytest_phi.recordings import RecordingOfTest

__all__ = ["exchanges_told", "unanswered"]

_MOST_TOLD: Final = 20


def exchanges_told(emulator: PhiEmulator) -> str:
    """The exchanges of the test whose turn it is, the last ones whole; nothing where there were none."""
    turn = emulator.turn
    if turn is None or turn.emulator is None:
        return ""
    found = turn.emulator.journal.exchanges(scope=turn.scope)
    lines = [one.describe() for one in found[-_MOST_TOLD:]]
    if len(found) > _MOST_TOLD:
        lines.insert(0, f"{len(found) - _MOST_TOLD} exchanges before these are left out")
    lines += [
        f"{count} of them came from a client that was made in {name}, which is over"
        for name, count in emulator.late().items()
    ]
    return "\n".join(lines)


def unanswered(recording: RecordingOfTest | None) -> list[str]:
    """Why the test whose turn it is had requests that nothing was written down for, in their order."""
    return [] if recording is None else list(recording.unanswered)
