"""The questions of earlier talks, for the up arrow: a file that nobody else may read. It must not know terminals.

A line of JSON for each question. Those that hold a key, begin with a blank or are very long are not kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs
from prompt_toolkit.history import History

from phi_client.contract.secrets import SECRET_RUN, find_runs, letters_in
from phi_emulator.chat.words import PASTED

__all__ = ["QuestionHistory", "history_file"]

_MOST: Final = 1000
"""Questions that are kept."""
_SLACK: Final = 200
"""So many more are in the file before it is written anew."""
_LONGEST: Final = 10_000
_MOST_BYTES: Final = 16 * 2**20


def history_file() -> Path:
    """Where it is on this platform."""
    return platformdirs.user_state_path("phi-emulator", appauthor=False) / "chat-history.jsonl"


class QuestionHistory(History):
    """What was asked, as prompt_toolkit reads and writes it. `secrets` are what must not be in it.

    A file that can't be read or written is none.
    """

    def __init__(self, file: Path, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._file = file
        self._secrets = [letters for secret in secrets if (letters := letters_in(secret))]

    def load_history_strings(self) -> Iterable[str]:
        """The questions, newest first."""
        lines = self._read()
        if len(lines) > _MOST + _SLACK:
            self._write_anew(lines[-_MOST:])
        return reversed(lines[-_MOST:])

    def store_string(self, string: str) -> None:
        """Keep a question, if it is one to keep."""
        if not self._may_be_kept(string):
            return
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="ascii") as file:
                self._file.chmod(0o600)
                file.write(json.dumps(string) + "\n")

    def _may_be_kept(self, text: str) -> bool:
        if text.startswith(" ") or len(text) > _LONGEST or PASTED.search(text):
            return False
        letters = letters_in(text)
        return not any(
            secret in letters or any(find_runs(letters, secret, SECRET_RUN)) for secret in self._secrets
        )

    def _read(self) -> list[str]:
        found: list[str] = []
        with suppress(OSError):
            if self._file.stat().st_size > _MOST_BYTES:
                return []
            for line in self._file.read_bytes().splitlines():
                with suppress(ValueError, RecursionError):
                    text = json.loads(line)
                    if isinstance(text, str):
                        found.append(text)
        return found

    def _write_anew(self, lines: list[str]) -> None:
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}.draft")
        with suppress(OSError):
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
            draft.replace(self._file)
