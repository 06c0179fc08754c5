r"""Takes secrets out of an exchange before anything of it is written, wherever a chunk or an escape splits them.

It must not know files or HTTP. An answer is looked at as a whole, in three readings, each of which is read through
escapes: its bytes as they stand; for each name the values that stand under it, joined (a stream says a text in pieces,
`"content":"sk-"` and then `"content":"abc"`); and all that is said by any name, joined. What is found is replaced where
it stands, so that the bytes keep their cuts. What is known to be secret is found by its letters and digits, also
in base64 (twice) and base32, and by its bytes in hexadecimal or octal; what only looks like a secret (`_LOOKS`) by its
looks.

`survivors` is the last word: it reads the finished lines by other means, and knows nothing of the above.
"""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote

from phi_client.contract.secrets import (
    SECRET,
    SECRET_RUN,
    credentials_in,
    find_runs,
    letters_in,
    read_escapes,
)
from phi_emulator.recordings.exchanges import RecordedExchange

__all__ = ["SHORTEST_SECRET", "Vault"]

SHORTEST_SECRET: Final = 8
"""Letters and digits that a secret must have to be looked for: shorter ones are in every text by chance."""

_MOST_LEVELS: Final = 4
"""How often escapes may be escaped."""
_SHORTEST_IN_BASE64: Final = 6
_STAND_IN: Final = SECRET.encode()
_Span: TypeAlias = tuple[int, int, bool]
"""From where to where something secret stands, and whether it begins there."""
_Reading: TypeAlias = tuple[str, Sequence[int], Sequence[int]]
"""A text, and from where to where each of its characters stands in a body."""
_SAYING: Final = frozenset(
    {"arguments", "content", "reasoning", "reasoning_content", "refusal", "text", "token"}
)
"""The names under which an answer says something in pieces."""
_LOOKS: Final = re.compile(
    # A JSON web token; OpenAI's form; Azure's newer keys; a key of 32 where it is called one; credentials by scheme.
    r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|(?<![A-Za-z0-9])sk-[\w-]{16,}"
    r"|(?<![A-Za-z0-9])[A-Za-z0-9]{40,64}JQQJ99[A-Za-z0-9]{20,30}(?![A-Za-z0-9])"
    r"|(?i:key|token|secret|password|sig|signature)[\"'\s]{0,3}[:=][\"'\s]{0,3}(?P<named>[A-Za-z0-9+/_-]{32,}=*)"
    r"|(?i:bearer|basic)\s+(?P<scheme>[A-Za-z0-9+/._~-]{16,}=*)"
)
_SAID: Final = ":said"
_BYTE: Final = range(256)
_LINE: Final = re.compile(r"[^\n]+")
_INDEX: Final = re.compile(r'"index" ?: ?(\d+)')
_JSON_STRING: Final = re.compile(r'"((?:[^"\\\n\r]|\\.)*)"(\s*:)?')
_JSON_PIECE: Final = re.compile(r"[^\\]+|\\u[0-9a-fA-F]{4}|\\.")
_JSON_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{11,}")

_HEX: Final = re.compile(r"(?:(?:0x|=)?[0-9a-fA-F]{2}[ :]?){8,}")


@dataclass(frozen=True, slots=True)
class Vault:
    """What is known to be secret, and what is done about it."""

    _secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def and_of(self, headers: Mapping[str, str]) -> Vault:
        """These, and the credentials among a caller's headers."""
        return replace(self, _secrets=self._secrets | frozenset(credentials_in(headers)))

    def without_secrets(self, exchange: RecordedExchange) -> RecordedExchange:
        """`exchange` with a word in the place of each secret; it has as many chunks, at the same times."""
        head = exchange.head
        asked = exchange.request
        cleaned = iter(self.clean([chunk.data for chunk in exchange.chunks]))
        chunks = tuple(replace(chunk, data=next(cleaned)) for chunk in exchange.chunks)
        if head is not None:
            headers = self._clean_headers(head.headers)
            if "content-length" in headers:
                headers["content-length"] = str(sum(len(chunk.data) for chunk in chunks))
            head = replace(head, headers=headers)
        request = replace(
            asked,
            path=self._clean_text(asked.path),
            api_version=None if asked.api_version is None else self._clean_text(asked.api_version),
            headers=self._clean_headers(asked.headers),
            body=self.clean([asked.body])[0],
        )
        return replace(exchange, request=request, head=head, chunks=chunks)

    def clean(self, pieces: list[bytes]) -> list[bytes]:
        """The same pieces without secrets, cut where they were cut."""
        body = b"".join(pieces)
        spans = _joined(self._found_in(body))
        cleaned: list[bytes] = []
        start = 0
        for piece in pieces:
            cleaned.append(_replaced(body, start, start + len(piece), spans))
            start += len(piece)
        return cleaned

    def survivors(self, lines: bytes) -> bool:
        """Whether a secret that is known can still be read in the finished lines of an exchange."""
        wanted = [
            letters for letters in map(_plain_letters, self._secrets) if len(letters) >= SHORTEST_SECRET
        ]
        return bool(wanted) and any(
            secret in letters for letters in map(_plain_letters, _readings(lines)) for secret in wanted
        )

    def _clean_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {self._clean_text(name): self._clean_text(value) for name, value in headers.items()}

    def _clean_text(self, text: str) -> str:
        return self.clean([text.encode()])[0].decode(errors="replace")

    def _found_in(self, body: bytes) -> Iterator[_Span]:
        marks = list(self._marks())
        # A byte is a character, so that places are those of bytes.
        text = body.decode("latin-1")
        yield from _found(_read([(text, 0, len(text))]), marks)
        for reading in _values_by_name(text):
            yield from _found(reading, marks)

    def _marks(self) -> Iterator[str]:
        """The letters of each secret as it stands, of its bytes in numbers, and within base64 and base32."""
        for secret in self._secrets:
            if len(_plain_letters(secret)) < SHORTEST_SECRET:
                continue
            # Something in it may look like an escape, and be read as one or not.
            yield from {letters for letters in (_plain_letters(secret), letters_in(secret)) if letters}
            yield from _in_numbers(secret)
            once = list(_in_base64(secret))
            for encoded in (*once, *(twice for inner in once for twice in _in_base64(inner))):
                letters = letters_in(encoded)
                if len(letters) >= _SHORTEST_IN_BASE64:
                    yield letters
            yield letters_in(base64.b32encode(secret.encode()).decode().rstrip("=")[:-1])


def _in_base64(secret: str) -> Iterator[str]:
    """A secret within base64, at each of three offsets."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret.encode()).decode().rstrip("=")
        # The first and the last characters hold bits of what stands beside the secret.
        yield encoded[(0, 2, 3)[offset] : -1]


def _in_numbers(secret: str) -> Iterator[str]:
    """The letters of a secret's bytes as a dump or escapes have them, whatever stands between."""
    for form in ("{:02x}", "0x{:02x}", "{:03o}"):
        yield "".join(form.format(byte) for byte in secret.encode())


def _found(reading: _Reading, marks: Iterable[str]) -> Iterator[_Span]:
    """Where something stands that is secret or looks like it. Escapes may be escaped, so what is read is read again."""
    for _ in range(_MOST_LEVELS):
        text, places, ends = reading
        letters = [place for place, character in enumerate(text) if character.isalnum()]
        joined = "".join(map(_in_one_case, map(text.__getitem__, letters)))
        for wanted in marks:
            for first, last in find_runs(joined, wanted, min(SECRET_RUN, len(wanted))):
                found = slice(letters[first], letters[last - 1] + 1)
                yield from _one_secret(places[found], ends[found])
        for looks in _LOOKS.finditer(text):
            found = slice(*looks.span(looks.lastgroup or 0))
            yield from _one_secret(places[found], ends[found])
        pieces = list(read_escapes(text))
        if "".join(piece for piece, _, _ in pieces) == text:
            return
        reading = _read(pieces, places, ends)


def _one_secret(places: Sequence[int], ends: Sequence[int]) -> Iterator[_Span]:
    for number, (start, end) in enumerate(zip(places, ends, strict=True)):
        yield start, end, number == 0


def _in_one_case(character: str) -> str:
    folded = character.casefold()
    return folded if len(folded) == 1 else character


def _values_by_name(text: str) -> Iterator[_Reading]:
    """The texts of JSON in a body, together those of one name; and together all that say something."""
    by_name: defaultdict[object, list[tuple[str, int, int]]] = defaultdict(list)
    name = ""
    for line in _LINE.finditer(text):
        # Of several answers at once each says its own text.
        numbers = tuple(_INDEX.findall(line[0]))
        for found in _JSON_STRING.finditer(text, *line.span()):
            if found[2] is not None:
                name = found[1]
            elif found[1]:
                pieces = list(_read_json(text, *found.span(1)))
                for group in (name, (name, numbers), *((_SAID,) if name in _SAYING else ())):
                    by_name[group] += pieces
    # One name alone, or one answer, makes groups that are the same.
    for group in {tuple(pieces): None for pieces in by_name.values()}:
        yield _read(group)


def _read_json(text: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The pieces of a text of JSON, as `read_escapes` gives them; escapes of JSON alone are read."""
    for found in _JSON_PIECE.finditer(text, start, end):
        piece = found[0]
        if piece[0] == "\\":
            piece = (
                chr(int(piece.removeprefix("\\u"), 16))
                if piece[1] == "u"
                else _JSON_ESCAPES.get(piece[1], piece[1])
            )
        yield piece, *found.span()


def _read(
    pieces: Iterable[tuple[str, int, int]],
    places: Sequence[int] | None = None,
    ends: Sequence[int] | None = None,
) -> _Reading:
    """Pieces as one text, with the place of each character; theirs are those within `places`, if there are any."""
    texts: list[str] = []
    read_places: list[int] = []
    read_ends: list[int] = []
    for piece, start, end in pieces:
        texts.append(piece)
        first, last = (start, end) if places is None or ends is None else (places[start], ends[end - 1])
        if len(piece) != end - start:
            read_places += [first] * len(piece)
            read_ends += [last] * len(piece)
        elif places is None or ends is None:
            read_places += range(start, end)
            read_ends += range(start + 1, end + 1)
        else:
            read_places += places[start:end]
            read_ends += ends[start:end]
    return "".join(texts), read_places, read_ends


def _joined(spans: Iterable[_Span]) -> list[_Span]:
    """Spans in order, those that overlap or touch as one."""
    joined: list[_Span] = []
    for start, end, begins in sorted(spans):
        if joined and start <= joined[-1][1]:
            before = joined[-1]
            joined[-1] = before[0], max(end, before[1]), begins or before[2]
        else:
            joined.append((start, end, begins))
    return joined


def _replaced(body: bytes, start: int, end: int, spans: list[_Span]) -> bytes:
    """`start` to `end` of a body; the word for a secret stands where the secret begins."""
    parts: list[bytes] = []
    for first, last, begins in spans[bisect_right(spans, start, key=lambda span: span[1]) :]:
        if first >= end:
            break
        if first >= start:
            parts += [body[start:first], _STAND_IN if begins else b""]
        start = min(last, end)
    return b"".join([*parts, body[start:end]])


def _plain_letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def _readings(lines: bytes) -> Iterator[str]:
    """All that a reader may make of the lines: as they stand, their JSON, the JSON in that, percent and base64."""
    text = lines.decode()
    values: list[Any] = [json.loads(line) for line in lines.splitlines() if line.strip()]
    sent = b"".join(
        value["text"].encode() if "text" in value else base64.b64decode(value.get("base64", ""))
        for value in values
        if "response" not in value and "request" not in value
    ).decode(errors="replace")
    by_name: defaultdict[object, list[str]] = defaultdict(list)
    for value in [*values, *_json_in(sent)]:
        numbers = tuple(_INDEX.findall(json.dumps(value)))
        for name, said in _texts(value, ""):
            for group in (name, (name, numbers), *((_SAID,) if name in _SAYING else ())):
                by_name[group].append(said)
    for reading in (text, sent, *("".join(texts) for texts in by_name.values())):
        yield reading
        unquoted = unquote(reading)
        if unquoted != reading:
            yield unquoted
        for run in _BASE64.findall(unquoted):
            for once in _within_base64(run):
                yield once
                for inner in _BASE64.findall(once):
                    yield from _within_base64(inner)
        for dump in _HEX.findall(unquoted):
            yield bytes.fromhex(re.sub(r"[^0-9a-fA-F]|0x", "", dump)).decode("latin-1")


def _json_in(sent: str) -> Iterator[Any]:
    """The JSON of a body, or of each event of a stream."""
    for part in (sent, *re.findall(r"^data: ?(.*)$", sent, re.MULTILINE)):
        try:
            yield json.loads(part)
        except (ValueError, RecursionError):
            continue


def _texts(value: object, name: str) -> Iterator[tuple[str, str]]:
    """Each text in JSON with the name under which it is; a list of bytes is one too."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield "", key
            yield from _texts(item, key)
    elif isinstance(value, list):
        items = cast("list[object]", value)
        numbers = [item for item in items if isinstance(item, int) and item in _BYTE]
        if numbers and len(numbers) == len(items):
            yield name, bytes(numbers).decode("latin-1")
        for item in items:
            yield from _texts(item, name)


def _within_base64(run: str) -> Iterator[str]:
    plain = run.replace("-", "+").replace("_", "/")
    for offset in range(4):
        whole = plain[offset : offset + (len(plain) - offset) // 4 * 4]
        yield base64.b64decode(whole).decode("latin-1")
