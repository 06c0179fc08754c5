"""What is said of a test: its exchanges, and what went unanswered. It must not know pytest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_phi.emulator import PhiEmulator
    from pytest_phi.recordings import RecordingOfTest

__all__ = ["exchanges_told", "unanswered", "unused"]

_MOST_TOLD: Final = 20
_MOST_SHOWN: Final = 200


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


def unanswered(emulator: PhiEmulator, recording: RecordingOfTest | None) -> list[str]:
    """Why the test whose turn it is had requests that nothing was written down for, in their order."""
    if recording is not None:
        return list(recording.unanswered)
    turn = emulator.turn
    if turn is None or turn.emulator is None or not emulator.script.fails_unmatched:
        return []
    return [str(one) for one in emulator.script.unmatched()]


def unused(emulator: PhiEmulator) -> list[str]:
    """The rules of this test's script that answered nothing."""
    turn = emulator.turn
    if turn is None or turn.emulator is None:
        return []
    return [
        f"a rule of the script answered nothing: {_shown(one.rule)}"
        for one in emulator.script.counts()
        if not one.answers and _scope_of(one.rule) == turn.scope
    ]


def _scope_of(rule: Mapping[str, Any]) -> object:
    when: Mapping[str, Any] = rule.get("when", {})
    return when.get("scope")


def _shown(rule: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value!r}" for name, value in rule.items() if name != "when")
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
