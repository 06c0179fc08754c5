"""Faults of connection, status and headers, and of a body as bytes. They must not look into it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from phi_client.contract.service.refusals import Refusal
from phi_emulator.faults.actions import Action, Bytes, Cut, End, Head, Refuse, Wait
from phi_emulator.faults.base import Machine
from phi_emulator.faults.catalogue import ERRORS
from phi_emulator.faults.rules import Fault

__all__ = [
    "ContentType",
    "CutBody",
    "CutHead",
    "Error",
    "ExpiredToken",
    "HeaderMissing",
    "HeaderTwice",
    "RetryAfter",
    "Split",
    "WaitFirst",
]

_ASKED: Final = ("retry-after", "retry-after-ms", "x-ms-retry-after-ms")
_RESET: Final = "x-ratelimit-reset-"
_PAST_S: Final = 3600.0
_LIMIT: Final = "tokens"


class Error(Machine):
    """An error of the catalogue in the place of the answer."""

    def begin(self) -> Iterator[Action]:
        yield Refuse(ERRORS[self.fault.text("error")].refusal(self.surface))


class ExpiredToken(Machine):
    """401."""

    def begin(self) -> Iterator[Action]:
        yield Refuse(self.surface.token_rules.wrong_token)


class RetryAfter(Machine):
    """429, and when to come back."""

    def begin(self) -> Iterator[Action]:
        seconds = self.fault.number("seconds")
        asked = self.surface.rate_limited(max(1, math.ceil(seconds)), limit=_LIMIT, remaining_requests=8)
        yield Refuse(_asking(asked, self._header(self.fault.text("form"), seconds)))

    def _header(self, form: str, seconds: float) -> dict[str, str]:
        now = self.unix()
        return {
            "seconds": {"Retry-After": f"{seconds:g}"},
            # A date has whole seconds: the next one, so that no one comes too soon.
            "date": {"Retry-After": formatdate(math.ceil(now + seconds), usegmt=True)},
            "past_date": {"Retry-After": formatdate(now - _PAST_S, usegmt=True)},
            "ms": {"retry-after-ms": f"{seconds * 1000:.0f}"},
            "x_ms": {"x-ms-retry-after-ms": f"{seconds * 1000:.0f}"},
            "reset_requests": {f"{_RESET}requests": f"{seconds:g}"},
            "reset_tokens": {f"{_RESET}tokens": f"{seconds:g}"},
            "huge": {"Retry-After": "999999999"},
            "zero": {"Retry-After": "0"},
            "negative": {"Retry-After": "-1"},
            "garbage": {"Retry-After": "soon"},
            "absent": {},
        }[form]


def _asking(refusal: Refusal, header: dict[str, str]) -> Refusal:
    """`refusal`, which asks for a wait by this header alone."""
    kept = {
        name: value
        for name, value in refusal.headers.items()
        if name.lower() not in _ASKED and not name.lower().startswith(_RESET)
    }
    return replace(refusal, headers=kept | header)


class WaitFirst(Machine):
    """Nothing for a while."""

    def head(self, head: Head) -> Iterator[Action]:
        yield Wait(self.fault.number("seconds"))
        yield head


class CutHead(Machine):
    """The connection ends before the head is through; without a byte of it nobody is asked."""

    def begin(self) -> Iterator[Action]:
        if not self.fault.count("bytes"):
            yield Cut(_is_reset(self.fault))

    def head(self, head: Head) -> Iterator[Action]:
        written = _written(head)
        # Never the blank line: without it the head isn't whole.
        yield Cut(_is_reset(self.fault), written[: min(self.fault.count("bytes"), len(written) - 2)])


class CutBody(Machine):
    """The connection ends within the body, or where it would have ended."""

    _sent = 0

    def body(self, data: bytes) -> Iterator[Action]:
        left = self.fault.count("bytes") - self._sent
        self._sent += len(data)
        if left > 0:
            yield Bytes(data[:left])
        if len(data) >= left:
            yield Cut(_is_reset(self.fault))

    def end(self) -> Iterator[Action]:
        yield Cut(_is_reset(self.fault))


class Split(Machine):
    """Small pieces."""

    _rest = b""

    def body(self, data: bytes) -> Iterator[Action]:
        size = self.fault.count("bytes")
        data = self._rest + data
        whole = len(data) // size * size
        for start in range(0, whole, size):
            yield Bytes(data[start : start + size])
        self._rest = data[whole:]

    def end(self) -> Iterator[Action]:
        if self._rest:
            yield Bytes(self._rest)
        yield End()


class ContentType(Machine):
    """Another content type."""

    def head(self, head: Head) -> Iterator[Action]:
        yield head.having("Content-Type", self.fault.text("value"))


class HeaderTwice(Machine):
    """A header that comes twice."""

    def head(self, head: Head) -> Iterator[Action]:
        name = self.fault.text("name")
        again = tuple(pair for pair in head.headers if pair[0].lower() == name.lower())
        yield Head(head.status, (*head.headers, *again))


class HeaderMissing(Machine):
    """A header that doesn't come."""

    def head(self, head: Head) -> Iterator[Action]:
        yield head.without(self.fault.text("name"))


def _is_reset(fault: Fault) -> bool:
    """How a connection is to end."""
    return fault.text("how") == "reset"


def _written(head: Head) -> bytes:
    lines = [
        f"HTTP/1.1 {head.status} {HTTPStatus(head.status).phrase}",
        *(f"{name}: {value}" for name, value in head.headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
