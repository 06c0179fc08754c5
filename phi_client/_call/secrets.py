r"""Taking secrets and prompts out of what a service says, because services echo them.

It must not know where the text goes, and must never be given an answer (2xx): an answer is the caller's, every byte.

Both are looked for by their letters and digits alone, after escapes (`\u002B`, `%2B`, `&#43;`) are read as what they
stand for. So quoting, wrapping, white space and case hide nothing, nor does cutting: a run of some length is enough.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any, Final, TypeVar, cast
from urllib.parse import unquote

__all__ = ["Secrets", "credentials_in"]

_T = TypeVar("_T")

_SECRET: Final = "[secret]"  # noqa: S105  # what stands in its place
_PROMPT: Final = "[prompt]"
_SECRET_RUN: Final = 12
"""Letters and digits of a secret that follow one another, from which on they are taken out."""
_PROMPT_RUN: Final = 16
_SHORTEST_PROMPT: Final = 8
"""Shorter texts occur by chance, and say nothing."""
_SHORTEST_IN_WORDS: Final = 6
"""Shorter secrets are taken out as words of their own only: `k` is in every sentence."""
_SHORTEST_IN_ANSWERS: Final = 8
"""Shorter secrets are left in the headers of an answer, where `none` and `stop` are words of the protocol."""
_SAYING: Final = frozenset(
    (
        "arguments",
        "content",
        "data",
        "description",
        "reasoning",
        "reasoning_content",
        "refusal",
        "text",
        "url",
    )
)
"""The names under which a request says something."""
_MOST_PROMPT: Final = 2_000_000
_MOST_TEXT: Final = 65_536
"""Characters of one text that are shown at most."""
_BETWEEN: Final = "\n"
"""Ends a text among the letters of several."""

# Escapes first, then whatever counts. Only backslashes in front of these letters are escapes in any language.
_PIECES: Final = re.compile(
    # Two units of UTF-16 may stand for one character, and several bytes of UTF-8.
    r"(?P<units>(?:\\+|%)u[dD][89abAB][0-9a-fA-F]{2}(?:\\+|%)u[dD][c-fC-F][0-9a-fA-F]{2}|(?:\\+|%)u[0-9a-fA-F]{4})"
    r"|\\+U(?P<long>[0-9a-fA-F]{8})|\\+u\{(?P<braced>[0-9a-fA-F]{1,6})\}"
    r"|(?P<bytes>\\+x[c-fC-F][0-9a-fA-F](?:\\+x[89abAB][0-9a-fA-F]){1,3}|\\+x[0-9a-fA-F]{2})"
    r"|(?P<percent>(?:%[0-9a-fA-F]{2})+)|(?P<entity>&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});)"
    r"|\\+[abfnrtv0]|(?P<plain>[^\W_]+)"
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
_SHORT_NUMBER: Final = re.compile(r"\d{1,4}")
_LONG_NUMBER: Final = 10**5
_LONGEST_NUMBER: Final = 10**100
_COOKIE: Final = re.compile(r"=([^;=\s]{6,})\s*(?:;|$)")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be shown of one request: its credentials, and the prompts in its body."""

    values: tuple[str, ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)

    def scrub(self, said: _T) -> _T:
        """What a service said, decoded, without secrets and prompts: a text, or JSON of any form."""
        try:
            texts = list(dict.fromkeys(_leaves(said)))
            clean = dict(zip(texts, _without(texts, self._marks()), strict=True))
            return cast("_T", _with_leaves(said, clean))
        except RecursionError:
            return cast("_T", None)

    def scrub_headers(self, headers: Mapping[str, str], *, of_answer: bool) -> dict[str, str]:
        """Headers without secrets and prompts; of an answer's, without secrets that can't be a word of the protocol.

        A short number is one in any reply: `Retry-After: 5` is no echo of the key `5`.
        """
        marks = self._secret_marks()
        if of_answer:
            marks = [mark for mark in marks if len(mark.text) >= _SHORTEST_IN_ANSWERS]
            return dict(zip(headers, _without(list(headers.values()), marks), strict=True))
        values = _without(list(headers.values()), self._marks())
        names = _without(list(headers), [mark for mark in marks if len(mark.text) >= _SECRET_RUN])
        return {
            name: given if _SHORT_NUMBER.fullmatch(given) else value
            for name, given, value in zip(names, headers.values(), values, strict=True)
        }

    def and_of(self, values: Collection[str]) -> Secrets:
        """These, and what else must not be shown."""
        return replace(self, values=(*self.values, *values)) if values else self

    def _marks(self) -> list[_Mark]:
        """All that is looked for, secrets before prompts and the longer before the shorter."""
        prompts = [_Mark(text, _PROMPT, _PROMPT_RUN) for text in _prompts_in(self.body)]
        return [*self._secret_marks(), *sorted(prompts, key=lambda mark: -len(mark.text))]

    def _secret_marks(self) -> list[_Mark]:
        secrets = sorted({value for value in self.values if value}, key=len, reverse=True)
        return [_Mark(value, _SECRET, _SECRET_RUN) for value in secrets]


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
    from base64 import b64decode  # noqa: PLC0415  # few use it

    try:
        _, _, password = b64decode(basic, validate=True).decode().partition(":")
    except ValueError:
        return
    if password:
        yield password


@dataclass(frozen=True, slots=True)
class _Mark:
    """A text to look for, what takes its place, and how many of its characters in a row are enough."""

    text: str
    stand_in: str
    run: int

    @property
    def shortest(self) -> int:
        """How long it must be to be taken out wherever it stands."""
        return _SHORTEST_PROMPT if self.stand_in == _PROMPT else _SHORTEST_IN_WORDS


def _leaves(said: object) -> Iterator[str]:
    """The texts in JSON of any form, names of members among them, and long numbers, as which a key may be echoed."""
    if isinstance(said, str):
        yield said
    elif _is_long_number(said):
        yield str(said)
    elif isinstance(said, Mapping):
        for name, value in cast("Mapping[object, object]", said).items():
            yield from _leaves(name)
            yield from _leaves(value)
    elif isinstance(said, list | tuple):
        for value in cast("list[object]", said):
            yield from _leaves(value)


def _with_leaves(said: object, clean: Mapping[str, str]) -> object:
    if isinstance(said, str):
        return clean[said]
    if _is_long_number(said):
        shown = clean[str(said)]
        return said if shown == str(said) else shown
    if isinstance(said, Mapping):
        members = cast("Mapping[object, object]", said)
        return {_with_leaves(name, clean): _with_leaves(value, clean) for name, value in members.items()}
    if isinstance(said, list | tuple):
        return [_with_leaves(value, clean) for value in cast("list[object]", said)]
    return said


def _is_long_number(said: object) -> bool:
    # Python refuses to write those of thousands of digits, and nobody's key is one.
    return type(said) is int and _LONG_NUMBER <= abs(said) < _LONGEST_NUMBER


def _without(texts: list[str], marks: list[_Mark]) -> list[str]:
    """Each text with a word in the place of all that is marked. All at once: a prompt may be long."""
    texts = [text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…" for text in texts]
    if not any(texts) or not marks:
        return texts
    for mark in marks:
        if len(mark.text) >= mark.shortest:
            texts = [text.replace(mark.text, mark.stand_in) for text in texts]
    letters: list[str] = []
    places: list[tuple[int, int, int]] = []
    for number, text in enumerate(texts):
        _add_letters(text, number, letters, places)
    joined = "".join(letters)
    found: list[list[tuple[int, int, str]]] = [[] for _ in texts]
    for mark in marks:
        wanted = _letters_in(mark.text)
        for first, last in _runs(joined, wanted, mark):
            number, start, _ = places[first]
            end = places[last - 1][2]
            if len(wanted) >= _SHORTEST_IN_WORDS or _is_word(texts[number], start, end):
                found[number].append((start, end, mark.stand_in))
    return [_replaced(text, spans) for text, spans in zip(texts, found, strict=True)]


def _runs(letters: str, wanted: str, mark: _Mark) -> Iterator[tuple[int, int]]:
    """Where `letters` have a run of `wanted`: from where to where."""
    size = min(mark.run, len(wanted))
    if not size or len(letters) < size or (mark.stand_in == _PROMPT and size < _SHORTEST_PROMPT):
        return
    here = {letters[place : place + size] for place in range(len(letters) - size + 1)}
    there = {
        wanted[place : place + size] for place in range(min(len(wanted), _MOST_PROMPT) - size + 1)
    } & here
    first = last = -1
    for hit in range(len(letters) - size + 1):
        if letters[hit : hit + size] in there:
            if hit > last:
                if first >= 0:
                    yield first, last
                first = hit
            last = hit + size
    if first >= 0:
        yield first, last


def _add_letters(text: str, number: int, letters: list[str], places: list[tuple[int, int, int]]) -> None:
    """Add the letters and digits of text `number`, escapes read, in one case; and where each stands."""
    for piece in _PIECES.finditer(text):
        start, end = piece.span()
        is_plain = piece["plain"] is not None
        for place, character in enumerate(piece[0] if is_plain else _read(piece), start):
            for letter in character.casefold():
                if letter.isalnum():
                    letters.append(letter)
                    places.append((number, place, place + 1) if is_plain else (number, start, end))
    letters.append(_BETWEEN)
    places.append((number, len(text), len(text)))


def _letters_in(text: str) -> str:
    """As `_add_letters`, without the places."""
    plain = _PIECES.sub(lambda piece: _read(piece) if piece["plain"] is None else piece[0], text)
    return re.sub(r"[\W_]+", "", plain).casefold()


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


def _is_word(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return not before.isalnum() and not after.isalnum()


def _replaced(text: str, found: list[tuple[int, int, str]]) -> str:
    """`text` with what was found replaced; of two that overlap, one stands for both."""
    if not found:
        return text
    parts: list[str] = []
    done = 0
    covered: tuple[int, str] | None = None
    for start, end, stand_in in sorted(found):
        if covered is not None and start <= covered[0]:
            best = _SECRET if _SECRET in (covered[1], stand_in) else stand_in
            parts[-1] = best
            covered = max(covered[0], end), best
            done = covered[0]
            continue
        parts += [text[done:start], stand_in]
        covered, done = (end, stand_in), end
    return "".join([*parts, text[done:]])


def _prompts_in(body: bytes | None) -> list[str]:
    """Every text in a request that says something, of whatever form."""
    if body is None:
        return []
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return list(dict.fromkeys(_texts(value)))


def _texts(value: object) -> Iterable[str]:
    """What is said in a request, its pictures and the descriptions of its tools among it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += cast("list[object]", one)
        elif isinstance(one, dict):
            for name, member in cast("dict[str, object]", one).items():
                if not isinstance(member, str):
                    waiting.append(member)
                elif name in _SAYING and len(member) >= _SHORTEST_PROMPT:
                    yield member
