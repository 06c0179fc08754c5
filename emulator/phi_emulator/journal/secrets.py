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

__all__ = ["Cleaner", "Harmless"]

_MOST_KNOWN: Final = 1000
_LONGEST_KNOWN: Final = 200
_SHORTEST: Final = 6
"""Letters and digits of a secret from which on it is looked for outside of its own header: shorter ones are words."""


class Harmless:
    """Headers that were looked at and are no credentials, with their letters: most come again with each request."""

    def __init__(self) -> None:
        self._letters: dict[tuple[str, str], str] = {}

    def letters(self, header: tuple[str, str]) -> str | None:
        """The letters of one that is known."""
        return self._letters.get(header)

    def add(self, header: tuple[str, str], letters: str) -> None:
        """Know one from now on."""
        if len(header[1]) > _LONGEST_KNOWN:
            return
        if len(self._letters) >= _MOST_KNOWN:
            self._letters = {}
        self._letters[header] = letters


class Cleaner:
    """Knows the emulator's own `keys`, and the credentials that a request brings."""

    def __init__(
        self, keys: Collection[str], headers: Mapping[str, str], harmless: Harmless | None = None
    ) -> None:
        self._harmless = harmless = harmless or Harmless()
        self._own: dict[str, str] = {}
        self._others: list[tuple[tuple[str, str], str]] = []
        self._fresh: list[tuple[tuple[str, str], str]] = []
        for header in headers.items():
            name, value = header
            letters = harmless.letters(header)
            if letters is None and any(True for _ in credentials_in({name: value})):
                self._own[name] = value
                continue
            if letters is None:
                letters = letters_in("\n".join(header))
                self._fresh.append((header, letters))
            self._others.append((header, letters))
        known = {letters_in(secret) for secret in (*keys, *credentials_in(self._own))}
        self._wanted = sorted((one for one in known if len(one) >= _SHORTEST), key=len, reverse=True)
        self._has_any = True

    def clears(self, *texts: str) -> None:
        """Look whether these texts or the head hold any credential; if not, nothing is looked at again."""
        heads = "".join(letters for _, letters in self._others)
        self._has_any = self._is_in(heads + letters_in("\n".join(texts)))
        if not self._has_any:
            for header, letters in self._fresh:
                self._harmless.add(header, letters)

    def head(self) -> dict[str, str]:
        """The request's head without credentials."""
        told = self.answers_head(header for header, _ in self._others)
        return told | dict.fromkeys(self._own, SECRET)

    def answers_head(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """An answer's head without the request's credentials; several of one name are joined, as HTTP has it."""
        told: dict[str, str] = {}
        for given_name, value in headers:
            name, clean = self.text(given_name), self.text(value)
            told[name] = f"{told[name]}, {clean}" if name in told else clean
        return told

    def text(self, text: str) -> str:
        """A text in which `[secret]` stands for each credential, or for a long part of one."""
        if not self._has_any or not text or not self._is_in(letters_in(text)):
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

    def _is_in(self, letters: str) -> bool:
        return any(_share_a_run(letters, wanted) for wanted in self._wanted)


def _share_a_run(letters: str, wanted: str) -> bool:
    """Whether a part of `wanted`, long enough to tell, stands in `letters`."""
    size = min(SECRET_RUN, len(wanted))
    short, long = sorted((letters, wanted), key=len)
    # Each run has one of these in it, and of a token there are few where it has hundreds of runs.
    half = (size + 1) // 2
    if not any(short[place : place + half] in long for place in range(0, len(short) - half + 1, half)):
        return False
    return any(short[place : place + size] in long for place in range(len(short) - size + 1))
