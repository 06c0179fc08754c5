"""From generated tokens to text, as if all of them had been decoded at once.

    bytes of tokens ──► UTF-8, what is broken as U+FFFD ──► text; an incomplete character waits for its rest

The native library's stream drops what follows a broken sequence, and every NUL. Knows bytes and the texts of tokens;
what it can't read itself (control tokens, vocabularies that are not of bytes) is left to a function of the native side.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from phi_emulator.engine.native.tokenizer_file import TokenizerFile

__all__ = ["ByteDecoder", "NativeDecoder", "TokenBytes", "TokenDecoder"]


def _bytes_of_letters() -> Mapping[str, int]:
    """The byte that each letter of a vocabulary of bytes stands for, as GPT-2 laid them out."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {
        chr(0x100 + place): byte for place, byte in enumerate(hidden)
    }


_LETTERS: Final = _bytes_of_letters()


class TokenDecoder(Protocol):
    """Turns the tokens of one answer into its text."""

    def feed(self, token: int) -> str:
        """The text that a token completes."""
        ...

    def flush(self) -> str:
        """The answer has ended: what was waiting for its rest."""
        ...


class TokenBytes:
    """The bytes of each token of a model; `decode_alone` is asked for tokens that are not of the vocabulary."""

    def __init__(self, file: TokenizerFile, decode_alone: Callable[[int], str]) -> None:
        self._tokens = file.tokens
        self._decode_alone = decode_alone
        self._known: dict[int, bytes] = {}

    def __getitem__(self, token: int) -> bytes:
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = self._read(token)
        return found

    def _read(self, token: int) -> bytes:
        text = self._tokens.get(token)
        if text is None:
            return self._decode_alone(token).encode("utf-8", "replace")
        try:
            return bytes(_LETTERS[letter] for letter in text)
        except KeyError:  # not of bytes: it stands for itself
            return text.encode("utf-8", "replace")


class ByteDecoder:
    """For a vocabulary of bytes."""

    def __init__(self, tokens: TokenBytes) -> None:
        self._tokens = tokens
        self._rest = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """The text that a token completes."""
        return self._rest.decode(self._tokens[token])

    def flush(self) -> str:
        """An incomplete character, as U+FFFD."""
        return self._rest.decode(b"", final=True)


class NativeDecoder:
    """For other vocabularies: the native library's own stream."""

    def __init__(self, decode: Callable[[int], object]) -> None:
        self._decode = decode

    def feed(self, token: int) -> str:
        """The text that a token completes."""
        return str(self._decode(token))

    def flush(self) -> str:
        """Nothing: the stream keeps to itself what it holds back."""
        return ""
