"""Faults of a stream, looked at event by event. What is no stream passes as it is.

It must not know how events came about; it knows their form, which is that of our own writer: LF alone, and a blank line
after each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from phi_client.contract.events import encode_event
from phi_client.contract.service import Surface
from phi_client.contract.wire import dump_json
from phi_emulator.faults.actions import Action, Bytes, End, Head, Wait
from phi_emulator.faults.base import BLANK, DATA, TEXTS, Event, Events, Striking, Whole, read_object
from phi_emulator.faults.rules import Fault

__all__ = [
    "CommentsOnly",
    "ErrorInStream",
    "Finish",
    "MalformedEvent",
    "NoEnd",
    "OtherForm",
    "OversizedEvent",
    "Slow",
    "Stall",
]

_COMMENT: Final = b": keep-alive\n\n"
_BOM: Final = b"\xef\xbb\xbf"
_PIECE: Final = 64 * 1024
_ERROR: Final = "The engine broke down."


class Stall(Striking):
    """Silence."""

    def strike(self, event: Event) -> Iterator[Action]:
        yield Wait(self.fault.number("seconds"))
        yield Bytes(event.raw)


class CommentsOnly(Striking):
    """Comments."""

    def strike(self, event: Event) -> Iterator[Action]:
        every = self.fault.number("every")
        for _ in range(math.ceil(self.fault.number("seconds") / every)):
            yield Bytes(_COMMENT)
            yield Wait(every)
        yield Bytes(event.raw)


class MalformedEvent(Striking):
    """JSON that breaks off."""

    def strike(self, event: Event) -> Iterator[Action]:
        yield Bytes(event.raw[: len(event.raw) // 2] + BLANK)


class OversizedEvent(Striking):
    """An event that is too large."""

    def strike(self, event: Event) -> Iterator[Action]:
        begin, end = b'{"choices":[],"padding":"', b'"}'
        left = self.fault.count("bytes") - len(begin) - len(end)
        yield Bytes(DATA + begin)
        while left > 0:
            yield Bytes(b"x" * min(left, _PIECE))
            left -= _PIECE
        yield Bytes(end + BLANK)
        yield Bytes(event.raw)


class ErrorInStream(Striking):
    """An error, after which nothing comes but the end."""

    def strike(self, event: Event) -> Iterator[Action]:  # noqa: ARG002 - nothing of it is left
        if self.fault.text("form") == "event":
            yield Bytes(self.surface.write_stream_error(f"Error parsing decoded stream: {_ERROR}"))
        else:
            yield Bytes(encode_event(dump_json({"error": {"code": "500", "message": _ERROR}})))
        yield Bytes(self.surface.write_done())
        yield End()


class Slow(Events):
    """A pause before each token."""

    def event(self, event: Event) -> Iterator[Action]:
        if event.has_text:
            yield Wait(self.fault.number("seconds"))
        yield Bytes(event.raw)


class NoEnd(Events):
    """A stream that doesn't say that it is complete."""

    def event(self, event: Event) -> Iterator[Action]:
        without = self.fault.text("without")
        is_dropped = event.is_done if without == "done" else event.finishes
        if not (is_dropped or (without == "both" and event.is_done)):
            yield Bytes(event.raw)


class OtherForm(Events):
    """The same events, written otherwise."""

    _is_first = True

    def event(self, event: Event) -> Iterator[Action]:
        form, raw = self.fault.text("form"), event.raw
        if form == "crlf":
            raw = raw.replace(b"\n", b"\r\n")
        elif form == "cr":
            raw = raw.replace(b"\n", b"\r")
        elif form == "multi_line":
            raw = raw.replace(DATA + b"{", DATA + b"{\n" + DATA, 1)
        elif form == "comments":
            raw = _COMMENT + raw.replace(DATA, b":\n" + DATA, 1)
        elif self._is_first:
            raw = _BOM + raw
        self._is_first = False
        yield Bytes(raw)


class Finish(Events):
    """An answer that ends early, and says why; where that stands, the answer's own end had been."""

    def __init__(self, fault: Fault, surface: Surface, unix: Callable[[], float]) -> None:
        super().__init__(fault, surface, unix)
        self._whole = _FinishWhole(fault, surface, unix)

    def head(self, head: Head) -> Iterator[Action]:
        passed = [*super().head(head)]
        yield from passed if self.is_stream else self._whole.head(head)

    def body(self, data: bytes) -> Iterator[Action]:
        yield from super().body(data) if self.is_stream else self._whole.body(data)

    def end(self) -> Iterator[Action]:
        yield from super().end() if self.is_stream else self._whole.end()

    def event(self, event: Event) -> Iterator[Action]:
        most = self.fault.count("tokens")
        if event.finishes:
            for choice in event.choices:
                choice["finish_reason"] = self.fault.text("reason")
        elif event.has_text and self.tokens >= most:
            return
        if event.chunk is None or not (event.finishes or event.chunk.get("usage")):
            yield Bytes(event.raw)
            return
        _count(event.chunk, min(self.tokens, most))
        yield Bytes(encode_event(dump_json(event.chunk)))


class _FinishWhole(Whole):
    """The same of a whole answer, whose words are counted."""

    def whole(self, head: Head, body: bytes) -> Iterator[Action]:
        answer = read_object(body) or {}
        most = self.fault.count("tokens")
        for choice in answer.get("choices") or ():
            choice["finish_reason"] = self.fault.text("reason")
            _cut_texts(choice.get("message"), most)
            _count(answer, most)
            body = dump_json(answer)
        yield from super().whole(head, body)


def _cut_texts(message: dict[str, Any] | None, words: int) -> None:
    """Leave so many words of a message, reasoning first."""
    for name in TEXTS:
        text = (message or {}).get(name)
        if message is not None and isinstance(text, str):
            found = re.match(rf"(\s*\S+){{0,{words}}}", text)
            message[name] = found[0] if found else ""
            words = max(0, words - len(text.split()))


def _count(answer: dict[str, Any], tokens: int) -> None:
    """Put so many tokens into the usage of a chunk or an answer, if there is one."""
    usage = answer.get("usage")
    if usage:
        usage["completion_tokens"] = min(tokens, usage.get("completion_tokens", tokens))
        usage["total_tokens"] = usage.get("prompt_tokens", 0) + usage["completion_tokens"]
