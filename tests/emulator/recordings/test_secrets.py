"""No secret survives in a recording, whatever it is disguised as and wherever chunks, events and escapes split it."""

from __future__ import annotations

import base64
import html
import json
import random
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from phi_emulator.recordings.exchanges import (
    End,
    RecordedChunk,
    RecordedExchange,
    RecordedHead,
    RecordedRequest,
)
from phi_emulator.recordings.file import lines_of
from phi_emulator.recordings.secrets import Vault

KEY = "p7Qx+Zr/4tLm9Vw2Kd8sNb3-Hc6Yf1Ga0="
VAULT = Vault(frozenset({KEY}))
JWT = "eyJ0eXAiOiJKV1Qi.eyJhdWQiOiJodHRwczovL21sIn0.c2lnbmF0dXJlLW9mLWl0"
OPENAI_KEY = "sk-proj-8fJ2kLmN4pQr6sTu8vWx"
AZURE_KEY = "7Hq2" * 13 + "JQQJ99" + "BDAC4f1cMqXJ3w3AAABACOG9z1"
NAMED_KEY = "0123456789abcdef0123456789abcdef"


def each(form: str, text: str = KEY) -> str:
    return "".join(form.format(ord(letter)) for letter in text)


def others(form: str) -> str:
    """Escapes in the place of all that is neither letter nor digit."""
    return re.sub(r"\W", lambda found: form.format(ord(found[0])), KEY)


def in_base64(before: str, after: str = "", secret: str = KEY) -> str:
    return base64.b64encode(f"{before}{secret}{after}".encode()).decode()


SHAPES: dict[str, str] = {
    "plain": KEY,
    "quoted": f"'{KEY}'",
    "bearer": f"Bearer {KEY}",
    "header": f"api-key: {KEY}\r\nhost: x",
    "query": f"https://x.test/v1?api-key={KEY}&b=c",
    "cookie": f"session={KEY}; path=/",
    "python": str({"Authorization": f"Bearer {KEY}"}),
    "json": json.dumps({"key": KEY}),
    "json in json": json.dumps(json.dumps({"key": KEY})),
    "json with slashes": json.dumps({"key": KEY}).replace("/", r"\/"),
    "unicode escapes": each(r"\u{:04x}"),
    "unicode escapes in capitals": each(r"\u{:04X}"),
    "unicode escapes of signs": others(r"\u{:04x}"),
    "unicode escapes twice": each(r"\u{:04x}").replace("\\", r"\u005c"),
    "doubled backslashes": others(r"\\u{:04x}"),
    "long unicode escapes": each(r"\U{:08x}"),
    "braced unicode escapes": each(r"\u{{{:x}}}"),
    "hexadecimal escapes": each(r"\x{:02x}"),
    "percent of signs": quote(KEY, safe=""),
    "percent": each("%{:02X}"),
    "percent in small letters": each("%{:02x}"),
    "percent twice": quote(each("%{:02X}"), safe=""),
    "percent of units": each("%u{:04x}"),
    "decimal entities": each("&#{};"),
    "hexadecimal entities": each("&#x{:x};"),
    "entities of signs": others("&#{};"),
    "capitals": KEY.upper(),
    "small letters": KEY.lower(),
    "grouped": "-".join(re.findall(".{1,4}", KEY)),
    "wrapped": "\r\n  ".join(re.findall(".{1,9}", KEY)),
    "with neighbours": f"abc{KEY}xyz",
    "base64": in_base64(""),
    "base64 of a user and it": in_base64("user:"),
    "base64 after one byte": in_base64(":", ":and more"),
    "base64 for addresses": base64.urlsafe_b64encode(f"me:{KEY}".encode()).decode().rstrip("="),
    "web token": f"token {JWT}",
    "escaped web token": JWT.replace(".", "%2E"),
    "openai": f"Incorrect API key provided: {OPENAI_KEY}.",
    "azure": f"the key {AZURE_KEY} is wrong",
    "named": f"'api_key': '{NAMED_KEY}'",
}
HIDDEN = (KEY, JWT, OPENAI_KEY, AZURE_KEY, NAMED_KEY)


def letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def shown_in(text: str) -> str | None:
    """What can be read in a text after all, by whatever means; written apart from the code that it judges."""
    unit = r"(?:\\+|%)u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})|\\+U([0-9a-fA-F]{8})|\\+u\{([0-9a-fA-F]+)\}"
    readings = [text]
    for _ in range(3):
        read = re.sub(unit, lambda found: chr(int(found[found.lastindex or 0], 16)), readings[-1])
        readings.append(html.unescape(unquote(read)))
    for run in re.findall(r"[A-Za-z0-9+/_-]{11,}", text):
        plain = run.translate(str.maketrans("-_", "+/"))
        for at in range(4):
            size = (len(plain) - at) // 4 * 4
            readings.append(base64.b64decode(plain[at : at + size]).decode("latin-1"))
    return next(
        (secret for secret in HIDDEN for reading in readings if letters(secret) in letters(reading)), None
    )


def cut(text: str | bytes, chance: random.Random, most: int) -> list[str] | list[bytes]:
    places = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(most)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]  # type: ignore[return-value]


def as_json(text: str, chance: random.Random) -> str:
    """A text of JSON, escaped as far as chance wants it."""
    share = chance.choice((0, 0, 0.3, 1))
    return "".join(
        f"\\u{ord(letter):04x}"
        if chance.random() < share and ord(letter) < 0x10000
        else (
            r"\/"
            if letter == "/" and chance.random() < share
            else json.dumps(letter, ensure_ascii=False)[1:-1]
        )
        for letter in text
    )


def a_stream(text: str, chance: random.Random) -> bytes:
    """The text said piece by piece, as reasoning up to some place."""
    pieces = cut(f"It is {text}, isn't it?", chance, 9)
    turn = chance.randrange(len(pieces) + 3)
    return b"".join(
        b'data: {"choices":[{"delta":{"%b":"%b"}}],"id":"r%d"}\n\n'
        % (
            b"reasoning_content" if number < turn else b"content",
            as_json(str(piece), chance).encode(),
            number,
        )
        for number, piece in enumerate(pieces)
    )


def whole(text: str, chance: random.Random) -> bytes:
    return f'{{"id":"r","error":{{"message":"{as_json(text, chance)}"}}}}'.encode()


def a_page(text: str, chance: random.Random) -> bytes:
    return f"<html><p>{text}</p></html>".encode()


def said_by(body: bytes) -> list[str]:
    """The body, and what it says once its JSON is read."""
    parts = [*re.findall(rb"^data: (.*)$", body, re.MULTILINE)] or [body]
    texts: list[str] = []
    for part in parts:
        try:
            value = json.loads(part)
        except ValueError:
            continue
        if "error" in value:
            texts.append(value["error"]["message"])
        else:
            texts += value["choices"][0]["delta"].values()
    return [body.decode(), "".join(texts)]


def test_there_are_forty_shapes_and_each_is_seen_by_the_judge() -> None:
    assert len(SHAPES) == 40
    assert [name for name, text in SHAPES.items() if shown_in(text) is None] == []


@pytest.mark.parametrize("part", range(10))
def test_no_shape_of_a_secret_survives_any_split(part: int) -> None:
    chance = random.Random(part)
    makers: list[Callable[[str, random.Random], bytes]] = [a_stream, a_stream, whole, a_page]
    for number in range(1000):
        name, text = list(SHAPES.items())[number % 40]
        body = chance.choice(makers)(text, chance)
        pieces = [piece for piece in cut(body, chance, 12) if isinstance(piece, bytes)]
        cleaned = VAULT.clean(pieces)
        assert len(cleaned) == len(pieces)
        left = [shown for said in said_by(b"".join(cleaned)) if (shown := shown_in(said))]
        assert not left, (part, number, name, body, b"".join(cleaned))
        assert b"[secret]" in b"".join(cleaned), (name, body)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_answers_side_by_side_in_one_stream_hide_nothing(size: int) -> None:
    parts = [KEY[at : at + size] for at in range(0, len(KEY), size)]
    events = [
        b'data: {"choices":[{"delta":{"content":"%b"},"index":%d}]}\n\n' % (said.encode(), index)
        for part in parts
        for index, said in enumerate((part, "another text", part[::-1]))
    ]
    cleaned = VAULT.clean(events)
    texts = [json.loads(event[6:])["choices"][0]["delta"]["content"] for event in cleaned]
    assert "".join(texts[::3]).strip("=") == "[secret]"
    assert texts[1::3] == ["another text"] * len(parts)
    assert VAULT.survivors(lines_of(exchange_of(b"".join(events))))
    assert not VAULT.survivors(lines_of(VAULT.without_secrets(exchange_of(b"".join(events)))))


@pytest.mark.parametrize(
    "said", ["6uxu-ksMf-D&%1-3_CD-O-PQ", "6uxuksMfD&%13_CDO-PQ", "6uxuksMfD%26%2513_CDO-PQ"]
)
def test_a_secret_may_itself_hold_what_looks_like_an_escape(said: str) -> None:
    vault = Vault(frozenset({"6uxuksMfD&%13_CDO-PQ"}))
    assert vault.clean([f"the key {said}!".encode()]) == [b"the key [secret]!"]


def test_what_is_no_secret_stays_as_it_is() -> None:
    chance = random.Random(7)
    text = r"<think>6 * 7 \u0041 %41 &amp; is 42</think>The answer is \boxed{42}. key: none, token by token"
    for _ in range(100):
        pieces = [piece for piece in cut(a_stream(text, chance), chance, 12) if isinstance(piece, bytes)]
        assert VAULT.clean(pieces) == pieces


BYTES = KEY.encode()
WRITTEN_OTHERWISE = {
    "hexadecimal": BYTES.hex(),
    "hexadecimal in capitals": BYTES.hex().upper(),
    "a dump": BYTES.hex(" "),
    "a fingerprint": BYTES.hex(":"),
    "numbers": each("0x{:02x}, "),
    "octal escapes": each("\\{:03o}"),
    "quoted-printable": each("={:02X}"),
    "base32": base64.b32encode(BYTES).decode(),
    "base64 twice": base64.b64encode(in_base64("").encode()).decode(),
    "base64 twice of a user and it": base64.b64encode(in_base64("user:").encode()).decode(),
}


@pytest.mark.parametrize("name", WRITTEN_OTHERWISE)
def test_numbers_of_bytes_and_rarer_codes_hide_nothing(name: str) -> None:
    text = WRITTEN_OTHERWISE[name]
    for number in range(20):
        chance = random.Random(f"{name} {number}")
        body = chance.choice((a_stream, whole, a_page))(text, chance)
        pieces = [piece for piece in cut(body, chance, 12) if isinstance(piece, bytes)]
        cleaned = b"".join(VAULT.clean(pieces))
        left = [re.sub(r"[^0-9A-Za-z]", "", said).lower() for said in said_by(cleaned)]
        kept = re.sub(r"[^0-9A-Za-z]", "", text).lower()
        # Some letters at its edges may be those of what stands beside it.
        assert not any(kept[at : at + 24] in said for said in left for at in range(len(kept) - 23)), body
        assert b"[secret]" in cleaned, body


def exchange_of(body: bytes, asked: bytes = b"{}") -> RecordedExchange:
    return RecordedExchange(
        RecordedRequest("serverless", "POST", f"/v1/{KEY}", KEY, {"x-note": KEY}, asked),
        RecordedHead(
            200, {"location": f"https://x.test/?sig={quote(KEY)}", "content-length": str(len(body))}, 1
        ),
        (RecordedChunk(body[:20], 2), RecordedChunk(body[20:], 3)),
        End.COMPLETE,
        3,
    )


def test_all_parts_of_an_exchange_are_cleaned() -> None:
    body = whole(KEY, random.Random(1))
    cleaned = VAULT.without_secrets(exchange_of(body, body))
    lines = lines_of(cleaned)
    assert shown_in(lines.decode()) is None
    assert cleaned.head is not None
    assert int(cleaned.head.headers["content-length"]) == len(cleaned.body) < len(body)
    assert not VAULT.survivors(lines)


READ_BY_THE_LAST_CHECK = [
    *(
        "plain",
        "query",
        "json in json",
        "percent of signs",
        "percent",
        "grouped",
        "base64",
        "base64 after one byte",
    ),
    *("base64 for addresses", "capitals"),
]


@pytest.mark.parametrize("name", READ_BY_THE_LAST_CHECK)
def test_the_last_check_sees_a_secret_that_is_still_there(name: str) -> None:
    body = a_stream(SHAPES[name], random.Random(3))
    assert VAULT.survivors(lines_of(exchange_of(body)))


def test_the_last_check_sees_a_secret_in_bytes_of_log_probabilities() -> None:
    body = json.dumps({"logprobs": [{"token": "?", "bytes": list(KEY.encode())}]}).encode()
    cleaned = VAULT.without_secrets(exchange_of(body))
    assert VAULT.survivors(lines_of(cleaned))


def test_credentials_of_the_caller_are_secret_too() -> None:
    vault = VAULT.and_of({"x-gateway-key": "a-gateway-key-of-some-length", "accept": "*/*"})
    assert vault.clean([b"you sent a-gateway-key-", b"of-some-length"]) == [b"you sent [secret]", b""]


def test_a_vault_does_not_show_what_is_in_it() -> None:
    assert KEY not in repr(VAULT)
