"""Faults of a body that is known whole: what is no completion, and lengths that are wrong.

It must not look at a stream event by event.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from phi_emulator.faults.actions import Action, Bytes, Cut, Head
from phi_emulator.faults.base import Whole

__all__ = ["ContentLength", "NotACompletion"]

_JSON: Final = "application/json"
_HTML: Final = "text/html; charset=utf-8"
_FIRST_BAD_STATUS: Final = 300
_BODIES: Final = {
    "empty": (_JSON, b""),
    "empty_object": (_JSON, b"{}"),
    "html": (_HTML, b"<!doctype html><title>Please sign in</title><h1>Please sign in</h1>"),
    "null_choices": (
        _JSON,
        b'{"choices":null,"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion"}',
    ),
    "no_choices": (
        _JSON,
        b'{"choices":[],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion"}',
    ),
}


class NotACompletion(Whole):
    """Another body, where there was a good answer."""

    def whole(self, head: Head, body: bytes) -> Iterator[Action]:
        form = self.fault.text("form")
        if head.status < _FIRST_BAD_STATUS:
            kind, body = (
                (head.get("Content-Type"), body[: len(body) // 2]) if form == "truncated" else _BODIES[form]
            )
            head = head.having("Content-Type", kind)
        yield from super().whole(head, body)


class ContentLength(Whole):
    """A wrong length."""

    def whole(self, head: Head, body: bytes) -> Iterator[Action]:
        said = max(0, len(body) + self.fault.count("off"))
        yield head.having("Content-Length", str(said))
        yield Bytes(body[:said])
        # What is more than promised is no part of an answer any more.
        yield Cut(with_reset=False, last=body[said:])
