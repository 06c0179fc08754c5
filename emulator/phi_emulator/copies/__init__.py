"""An exchange of the journal as something to run again: a command, a program, a recording, a test.

    COPIES[form](entry, url)  ──►  text    for the emulator at `url`
                              └─►  CopyError, which says why it can't be, and what to do

No secret is in any of them: the key is the environment's `PHI_API_KEY`. It must not know HTTP, or who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from phi_emulator.copies.copied import CopyError
from phi_emulator.copies.programs import as_curl, as_openai, as_python
from phi_emulator.copies.pytest_program import as_test
from phi_emulator.copies.recorded import as_recording
from phi_emulator.journal.entry import JournalEntry

__all__ = ["COPIES", "CopyError"]

COPIES: Final[Mapping[str, Callable[[JournalEntry, str], str]]] = {
    "curl": as_curl,
    "python": as_python,
    "openai": as_openai,
    "recording": as_recording,
    "test": as_test,
}
"""The forms, by their names."""
