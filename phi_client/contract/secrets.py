r"""How a secret is known in headers, and found again in a text in which it is escaped, quoted, wrapped or cut.

It must not know which secrets there are, nor what becomes of a text.

Secrets are looked for by their letters and digits alone, after escapes (`\u002B`, `%2B`, `&#43;`) are read as what they
stand for. So quoting, wrapping, white space and case hide nothing, nor does cutting: a run of some length is enough.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Final
from urllib.parse import unquote

__all__ = [
    "SECRET",
    "SECRET_RUN",
    "all_letters",
    "credentials_in",
    "find_runs",
    "letters_in",
    "placed_letters",
    "read_escapes",
]

SECRET: Final = "[secret]"  # noqa: S105  # what stands in its place
SECRET_RUN: Final = 12
"""Letters and digits of a secret that follow one another, from which on they are taken out."""

# Only backslashes in front of these letters are escapes in any language.
_ESCAPES: Final = re.compile(
    # Two units of UTF-16 may stand for one character, and several bytes of UTF-8.
    r"(?P<units>(?:\\+|%)u[dD][89abAB][0-9a-fA-F]{2}(?:\\+|%)u[dD][c-fC-F][0-9a-fA-F]{2}|(?:\\+|%)u[0-9a-fA-F]{4})"
    r"|\\+U(?P<long>[0-9a-fA-F]{8})|\\+u\{(?P<braced>[0-9a-fA-F]{1,6})\}"
    r"|(?P<bytes>\\+x[c-fC-F][0-9a-fA-F](?:\\+x[89abAB][0-9a-fA-F]){1,3}|\\+x[0-9a-fA-F]{2})"
    r"|(?P<percent>(?:%[0-9a-fA-F]{2})+)|(?P<entity>&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});)"
    r"|\\+[abfnrtv0]"
)
_CREDENTIAL_HEADER: Final = re.compile(
    r"auth|bearer|cookie|credential|jwt|passw|passcode|passphrase|secret|session|signature|ticket|token"
    r"|(?:^|[-_])(?:(?:api|access|subscription)?key|hmac|otp|pass|pin|pw|pwd|sas|sig)(?:$|[-_])",
    re.IGNORECASE,
)
_HARMLESS_HEADER: Final = re.compile(
    r"(?:accept|content|x-stainless)(?:-|$)|(?:user-agent|traceparent|tracestate|baggage|b3|extra-parameters)$"
    r"|(?:.*[-_])?(?:id|deployment|model|version)$",
    re.IGNORECASE,
)
_RANDOM: Final = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[^\s,;]{12,}")
"""A value as no word is: it may well be a credential, whatever the name of its header."""
_COOKIE: Final = re.compile(r"=([^;=\s]{6,})\s*(?:;|$)")


def credentials_in(headers: Mapping[str, str]) -> Iterator[str]:
    """The credentials among a caller's own headers, by their names or, where those say nothing, by their looks.

    Of each the value as it is, and what is in it: what follows a scheme, a password of `Basic`, a cookie's value.
    """
    for name, value in headers.items():
        given = value.strip()
        is_named = _CREDENTIAL_HEADER.search(name) is not None
        if not is_named and (_HARMLESS_HEADER.match(name) or not _RANDOM.fullmatch(given)):
            continue
        yield given
        scheme, _, rest = given.partition(" ")
        if rest and scheme.isalpha():
            yield rest.strip()
        if scheme.lower() == "basic":
            yield from _password_in(rest.strip())
        if "cookie" in name.lower():
            yield from _COOKIE.findall(given)


def _password_in(basic: str) -> Iterator[str]:
    from base64 import b64decode  # few use it

    try:
        _, _, password = b64decode(basic, validate=True).decode().partition(":")
    except ValueError:
        return
    if password:
        yield password


def read_escapes(text: str) -> Iterator[tuple[str, int, int]]:
    """Pieces of `text` as what they stand for, and from where to where each stands: plain ones, or one escape."""
    done = 0
    for piece in _ESCAPES.finditer(text):
        start, end = piece.span()
        if start > done:
            yield text[done:start], done, start
        yield _read(piece), start, end
        done = end
    if len(text) > done:
        yield text[done:], done, len(text)


def placed_letters(text: str) -> Iterator[tuple[str, int, int]]:
    """The letters and digits of `text`, escapes read, in one case; and from where to where each stands."""
    for piece, start, end in read_escapes(text):
        is_plain = len(piece) == end - start
        for place, character in enumerate(piece, start):
            for letter in character.casefold():
                if letter.isalnum():
                    yield (letter, place, place + 1) if is_plain else (letter, start, end)


def all_letters(text: str) -> str:
    """The letters of `placed_letters`, without their places."""
    return "".join(filter(str.isalnum, _ESCAPES.sub(_read, text).casefold()))


def letters_in(text: str) -> str:
    """The letters and digits of a text, escapes read, in one case."""
    plain = _ESCAPES.sub(_read, text)
    return re.sub(r"[\W_]+", "", plain).casefold()


def find_runs(letters: str, wanted: str, size: int) -> Iterator[tuple[int, int]]:
    """Where `letters` have `size` of `wanted` in a row, from where to where; those that overlap are one."""
    here = {letters[place : place + size] for place in range(len(letters) - size + 1)}
    there = {wanted[place : place + size] for place in range(len(wanted) - size + 1)} & here
    first = last = -1
    for hit in range(len(letters) - size + 1) if there else ():
        if letters[hit : hit + size] in there:
            if hit > last:
                if first >= 0:
                    yield first, last
                first = hit
            last = hit + size
    if first >= 0:
        yield first, last


def _read(piece: re.Match[str]) -> str:
    """What an escape stands for."""
    if piece["units"] is not None:
        units = bytes.fromhex("".join(re.findall(r"u([0-9a-fA-F]{4})", piece[0])))
        return units.decode("utf-16-be", "replace")
    if piece["bytes"] is not None:
        octets = bytes.fromhex("".join(re.findall(r"x([0-9a-fA-F]{2})", piece[0])))
        try:
            return octets.decode()
        except UnicodeDecodeError:
            return octets.decode("latin-1")
    code = piece["long"] or piece["braced"]
    if code is not None:
        return chr(number) if (number := int(code, 16)) <= sys.maxunicode else ""
    if piece["percent"] is not None:
        return unquote(piece[0])
    return unescape(piece[0]) if piece["entity"] is not None else ""
