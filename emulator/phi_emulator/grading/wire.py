"""What truly went over the wire in a trial: requests as they came, answers as far as they were sent.

It must not know trials, nor who judges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, cast

__all__ = ["Delivery", "Ending", "Seen", "service_words"]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_LEAST_WORDS: Final = 12
_CUT_REASONS: Final = ("length", "content_filter")
_PHRASES: Final = frozenset(status.phrase.lower() for status in HTTPStatus)


class Ending(Enum):
    """How an answer ended."""

    WHOLE = "sent to its end"
    CUT = "cut"
    LEFT = "left by the client"
    OPEN = "not ended"


class Delivery(Enum):
    """What a client could know of an answer from what was sent."""

    ANSWER = "a whole answer"
    BROKEN = "an answer that broke off"
    SHORT = "an answer that says that it is cut"
    ERROR = "an error"
    NOTHING = "no answer"
    ELSEWHERE = "a redirect"


@dataclass(slots=True, kw_only=True)
class _Parsed:
    content: str = ""
    finish_reason: str | None = None
    is_broken: bool = False
    error: object = None
    is_answer: bool = False


@dataclass(kw_only=True)
class Seen:
    """One request for an answer, and what was sent for it.

    `at` and `ended_at` are told by the trial's clock, `jumped` and `ended_jumped` are what of it was jumped over.
    """

    at: float
    jumped: float
    path: str
    credentials: frozenset[str]
    body: bytes = b""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    sent: bytearray = field(default_factory=bytearray)
    ending: Ending = Ending.OPEN
    ended_at: float = 0.0
    ended_jumped: float = 0.0
    ended_unix: float = 0.0

    @cached_property
    def asked(self) -> Mapping[str, Any]:
        """The request's body; empty if it is no JSON object."""
        return _object(self.body) or {}

    @property
    def streams(self) -> bool:
        """Whether a stream was asked for."""
        return self.asked.get("stream") is True

    @property
    def event_ends(self) -> Sequence[int]:
        """After how many bytes each of its events ends."""
        return [found.end() for found in re.finditer(rb"\n\n", self.sent)] if self.streams else []

    @property
    def messages(self) -> str:
        """What was asked, so that two requests can be compared."""
        return json.dumps(self.asked.get("messages"), sort_keys=True)

    @property
    def content(self) -> str:
        """The text that was sent, thoughts in it included."""
        return self._parsed.content

    @property
    def finish_reason(self) -> str | None:
        """The finish reason that was sent."""
        return self._parsed.finish_reason

    @property
    def has_broken_event(self) -> bool:
        """Whether it holds an error, or what is no JSON."""
        return self._parsed.is_broken

    @property
    def delivery(self) -> Delivery:
        """What a client could know of it."""
        if self.status >= HTTPStatus.BAD_REQUEST:
            return Delivery.ERROR
        if self.status >= HTTPStatus.MULTIPLE_CHOICES:
            return Delivery.ELSEWHERE
        parsed = self._parsed
        if parsed.finish_reason and not parsed.is_broken:
            return Delivery.SHORT if parsed.finish_reason in _CUT_REASONS else Delivery.ANSWER
        if parsed.is_answer or self.status == 0 or self.ending is not Ending.WHOLE:
            return Delivery.BROKEN
        return Delivery.NOTHING

    @property
    def has_begun_an_answer(self) -> bool:
        """Whether tokens of it were sent."""
        if self.status != HTTPStatus.OK:
            return False
        return bool(self.content) or (not self.streams and b"<think>" in self.sent)

    @property
    def asks_to_wait(self) -> str | None:
        """Its `Retry-After`, if it is an error with one."""
        return self.headers.get("retry-after") if self.status in (429, 503) else None

    @cached_property
    def _parsed(self) -> _Parsed:
        """To be asked for once it has ended."""
        if self.status != HTTPStatus.OK:
            return _Parsed()
        # Beyond it a client reads nothing.
        promised = self.headers.get("content-length", "")
        within = self.sent[: int(promised)] if promised.isdecimal() else self.sent
        text = within.decode("utf-8", "replace").removeprefix("\ufeff")
        if self.streams and not text.lstrip().startswith(("{", "<")):
            return _of_stream(text)
        return _of_whole(text)


def _of_whole(text: str) -> _Parsed:
    found = _object(text.encode())
    if found is None:
        # A whole answer is generated before its first byte is sent.
        is_answer = text.lstrip().startswith("{")
        return _Parsed(content=text if is_answer else "", is_answer=is_answer, is_broken=True)
    choice = _choice(found)
    message = _table(choice.get("message"))
    content = f"{message.get('reasoning_content') or ''}{message.get('content') or ''}"
    reason = choice.get("finish_reason")
    return _Parsed(content=content, finish_reason=reason, is_answer=bool(choice))


def _of_stream(text: str) -> _Parsed:
    parsed = _Parsed()
    for data in _events(text):
        if data.strip() == "[DONE]":
            break
        chunk = _object(data.encode())
        if chunk is None:
            parsed.is_broken = parsed.is_answer = True
            continue
        if "error" in chunk or ("choices" not in chunk and "code" in chunk):
            parsed.error = chunk.get("error", chunk)
            parsed.is_broken = parsed.is_answer = True
            continue
        choice = _choice(chunk)
        delta = _table(choice.get("delta"))
        parsed.is_answer = parsed.is_answer or bool(choice)
        parsed.content += f"{delta.get('reasoning_content') or ''}{delta.get('content') or ''}"
        parsed.finish_reason = choice.get("finish_reason") or parsed.finish_reason
    return parsed


def _events(text: str) -> Iterator[str]:
    """The data of each event that has ended."""
    data: list[str] = []
    *lines, _ = _LINE_END.split(text)
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []


def service_words(seen: Seen) -> list[str]:
    """What the service says in words of what went wrong; without such words nothing can be lost."""
    if seen.delivery is Delivery.ERROR:
        body = seen.sent.decode("utf-8", "replace")
        found: object = _object(bytes(seen.sent)) or body
    elif seen.delivery is Delivery.BROKEN and seen.streams:
        found = _error_in(seen)
    else:
        return []
    texts = [text.strip() for text in _texts(found)]
    return [
        text
        for text in texts
        if len(text) >= _LEAST_WORDS and " " in text and text.lower() not in _PHRASES and "<" not in text
    ]


def _error_in(seen: Seen) -> object:
    text = seen.sent.decode("utf-8", "replace")
    for data in _events(text):
        chunk = _object(data.encode())
        if chunk is not None and "choices" not in chunk:
            return chunk
    return None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        nested = _object(value.encode())
        if nested is None:
            yield value
        else:
            yield from _texts(nested)
    elif isinstance(value, dict):
        for inner in cast("dict[str, object]", value).values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _texts(inner)


def _choice(body: Mapping[str, Any]) -> dict[str, Any]:
    choices = body.get("choices")
    return _table(cast("list[object]", choices)[0]) if isinstance(choices, list) and choices else {}


def _table(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
