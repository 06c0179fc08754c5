"""Calls of tools in a model's text: written for the history of a conversation, and found in an answer as it comes.

Pure text: knows the layout that `grammar` holds answers to, and that models of the Phi family were taught.

    THINKING ──`</think>`──► TEXT ──mark──► BETWEEN ──`{"name": …, "arguments":`──► ARGUMENTS ──`}`──► BETWEEN
                                               └── the closing mark ──► TEXT

What may still become a mark is held back, so half of one is never shown. A mark in the reasoning is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from phi_client.contract.marks import THINK_CLOSE, THINK_OPEN, begun_length

__all__ = ["CallArguments", "CallBegin", "Found", "SaidText", "ToolCallReader", "write_calls"]

_HEAD: Final = re.compile(
    r'[\s\[,}]*\{\s*"name"\s*:\s*"([a-zA-Z0-9_-]{1,64})"\s*,\s*"arguments"\s*:\s*(?=\S)'
)
_SIGNIFICANT: Final = re.compile(r'[{}\[\]"]')
_IN_STRING: Final = re.compile(r'"|\\')


class SaidText(NamedTuple):
    """Text of the answer."""

    text: str


class CallBegin(NamedTuple):
    """A call begins; the first one has the number 0."""

    number: int
    name: str


class CallArguments(NamedTuple):
    """A further piece of a call's arguments, which together are JSON."""

    number: int
    text: str


Found = SaidText | CallBegin | CallArguments


def write_calls(calls: Sequence[tuple[str, str]]) -> str:
    """Names and arguments, which are JSON, as the model would have written them."""
    written = (f'{{"name": {json.dumps(name)}, "arguments": {arguments}}}' for name, arguments in calls)
    return f"[{', '.join(written)}]"


class _State(Enum):
    START = auto()
    THINKING = auto()
    TEXT = auto()
    BETWEEN = auto()
    ARGUMENTS = auto()


class ToolCallReader:
    """Finds calls in a text that comes in pieces, between two marks."""

    def __init__(self, marks: tuple[str, str], *, opens_reasoning: bool = False) -> None:
        self._before, self._after = marks
        self._state = _State.THINKING if opens_reasoning else _State.START
        self._held = ""
        self._depth = 0
        self._in_string = False
        self._begun = 0
        self.complete = 0
        """Calls whose arguments are there to their end."""

    def feed(self, text: str) -> list[Found]:
        """What `text` adds, less what may still become a mark or the head of a call."""
        self._held += text
        return list(self._advance(at_end=False))

    def flush(self) -> list[Found]:
        """What the end of the text releases: the head of a call that was cut is nothing."""
        return list(self._advance(at_end=True))

    def _advance(self, *, at_end: bool) -> Iterator[Found]:
        """Each state takes what it can from the held text and may hand the rest to the next."""
        while True:
            before = self._state, self._held
            match self._state:
                case _State.START:
                    self._leave_start(at_end=at_end)
                case _State.THINKING:
                    yield from self._take_text(THINK_CLOSE, _State.TEXT, at_end=at_end, shows_mark=True)
                case _State.TEXT:
                    yield from self._take_text(self._before, _State.BETWEEN, at_end=at_end, shows_mark=False)
                case _State.BETWEEN:
                    yield from self._take_head()
                case _State.ARGUMENTS:
                    yield from self._take_arguments()
            if (self._state, self._held) == before:
                return

    def _leave_start(self, *, at_end: bool) -> None:
        stripped = self._held.lstrip()
        if stripped.startswith(THINK_OPEN):
            self._state = _State.THINKING
        elif at_end or not THINK_OPEN.startswith(stripped):
            self._state = _State.TEXT

    def _take_text(
        self, mark: str, following: _State, *, at_end: bool, shows_mark: bool
    ) -> Iterator[SaidText]:
        head, found, tail = self._held.partition(mark)
        if found:
            self._state, self._held = following, tail
            said = head + mark if shows_mark else head
        else:
            kept = 0 if at_end else begun_length(head, mark)
            said, self._held = head[: len(head) - kept], head[len(head) - kept :]
        if said:
            yield SaidText(said)

    def _take_head(self) -> Iterator[CallBegin]:
        after = self._held.find(self._after)
        head = _HEAD.match(self._held)
        if head is not None and (after < 0 or head.end() <= after):
            yield CallBegin(self._begun, head[1])
            self._begun += 1
            self._held = self._held[head.end() :]
            self._state, self._depth, self._in_string = _State.ARGUMENTS, 0, False
        elif after >= 0:
            self._held = self._held[after + len(self._after) :]
            self._state = _State.TEXT

    def _take_arguments(self) -> Iterator[CallArguments]:
        place = end = 0
        while end == 0:
            found = (_IN_STRING if self._in_string else _SIGNIFICANT).search(self._held, place)
            if found is None:
                place = len(self._held)
                break
            place = found.end()
            if found[0] == "\\":
                if place == len(self._held):  # what it escapes is not here yet
                    place -= 1
                    break
                place += 1
            elif found[0] == '"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if found[0] in "{[" else -1
                end = place if self._depth <= 0 else 0
        said, self._held = self._held[:place], self._held[place:]
        if said:
            yield CallArguments(self._begun - 1, said)
        if end:
            self.complete += 1
            self._state = _State.BETWEEN
