"""Takes credentials out of what the journal keeps. How they are known and found again is the contract's.

It must not know what else is in a text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from phi_client.contract.secrets import (
    SECRET,
    SECRET_RUN,
    credentials_in,
    find_runs,
    letters_in,
    placed_letters,
)

__all__ = ["Cleaner"]

_SHORTEST: Final = 6
"""Letters and digits of a secret from which on it is looked for outside of its own header: shorter ones are words."""


class Cleaner:
    """Knows the emulator's own `keys` and the credentials that a request brings."""

    def __init__(self, keys: Collection[str], headers: Mapping[str, str]) -> None:
        known = {letters_in(secret) for secret in (*keys, *credentials_in(headers))}
        self._wanted = sorted((one for one in known if len(one) >= _SHORTEST), key=len, reverse=True)

    def head(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Headers without credentials; several of one name are joined, as HTTP has it."""
        told: dict[str, str] = {}
        for name, value in headers:
            clean = SECRET if any(True for _ in credentials_in({name: value})) else self.text(value)
            told[name] = f"{told[name]}, {clean}" if name in told else clean
        return told

    def text(self, text: str) -> str:
        """A text in which `[secret]` stands for each credential, or for a long part of one."""
        if not text or not self._has_secret(letters_in(text)):
            return text
        places = list(placed_letters(text))
        letters = "".join(letter for letter, _, _ in places)
        spans = sorted(
            (places[first][1], places[last - 1][2])
            for wanted in self._wanted
            for first, last in find_runs(letters, wanted, min(SECRET_RUN, len(wanted)))
        )
        shown, done = "", 0
        for start, end in spans:
            if start >= done:
                shown += text[done:start] + SECRET
            done = max(done, end)
        return shown + text[done:]

    def _has_secret(self, letters: str) -> bool:
        return any(
            any(True for _ in find_runs(letters, wanted, min(SECRET_RUN, len(wanted))))
            for wanted in self._wanted
        )
