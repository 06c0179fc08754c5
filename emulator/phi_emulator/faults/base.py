"""What a fault does to one answer: its parts go in, and what is to be done comes out.

    head()  ─┐
    body()  ─┼─► Head, Bytes, End as they came or otherwise; Wait, Cut, Refuse
    end()   ─┘

It must not do anything itself: no socket, no clock, no wait. Whoever carries the actions out does so one by one,
and asks for nothing more after `Cut`, `Refuse` and `End`. How the parts were cut changes sizes of pieces alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from phi_client.contract.events import DONE, encode_event
from phi_client.contract.service import Surface
from phi_client.contract.wire import ContractError, load_object
from phi_emulator.faults.actions import Action, Bytes, End, Head
from phi_emulator.faults.rules import Fault

__all__ = ["BLANK", "DATA", "TEXTS", "Event", "Events", "Machine", "Striking", "Whole", "read_object"]

BLANK: Final = b"\n\n"
DATA: Final = b"data: "
TEXTS: Final = ("reasoning_content", "content")


class Machine:
    """Lets everything pass. `surface` is the one that answers, `unix` tells the seconds since 1970."""

    def __init__(self, fault: Fault, surface: Surface, unix: Callable[[], float]) -> None:
        self.fault = fault
        self.surface = surface
        self.unix = unix

    def begin(self) -> Iterator[Action]:
        """Before anything is asked; what comes may be the whole answer."""
        yield from ()

    def head(self, head: Head) -> Iterator[Action]:
        """The answer begins."""
        yield head

    def body(self, data: bytes) -> Iterator[Action]:
        """A piece of its body."""
        yield Bytes(data)

    def end(self) -> Iterator[Action]:
        """It is through."""
        yield End()


class Whole(Machine):
    """Keeps the answer until it is through."""

    def __init__(self, fault: Fault, surface: Surface, unix: Callable[[], float]) -> None:
        super().__init__(fault, surface, unix)
        self._head = Head(0)
        self._body = bytearray()

    def head(self, head: Head) -> Iterator[Action]:
        self._head = head
        yield from ()

    def body(self, data: bytes) -> Iterator[Action]:
        self._body += data
        yield from ()

    def end(self) -> Iterator[Action]:
        yield from self.whole(self._head, bytes(self._body))

    def whole(self, head: Head, body: bytes) -> Iterator[Action]:
        """What becomes of the answer."""
        yield head.having("Content-Length", str(len(body)))
        yield Bytes(body)
        yield End()


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it stands on the wire, its blank line included, and the chunk in it, if it is one."""

    raw: bytes
    chunk: dict[str, Any] | None

    @property
    def choices(self) -> list[dict[str, Any]]:
        """Of the chunk."""
        return [] if self.chunk is None else self.chunk.get("choices") or []

    @property
    def has_text(self) -> bool:
        """Whether it is a token, as far as a client can see."""
        deltas: list[dict[str, Any]] = [choice.get("delta") or {} for choice in self.choices]
        return any(delta.get(name) for delta in deltas for name in (*TEXTS, "tool_calls"))

    @property
    def finishes(self) -> bool:
        """Whether it says why the answer ends."""
        return any(choice.get("finish_reason") for choice in self.choices)

    @property
    def is_done(self) -> bool:
        """Whether it is the last one."""
        return self.raw == encode_event(DONE)


class Events(Machine):
    """Takes a stream apart; `event` says what becomes of each, `tokens` have come before it."""

    def __init__(self, fault: Fault, surface: Surface, unix: Callable[[], float]) -> None:
        super().__init__(fault, surface, unix)
        self.is_stream = False
        self.tokens = 0
        self._rest = b""

    def head(self, head: Head) -> Iterator[Action]:
        self.is_stream = head.get("Content-Type").startswith("text/event-stream")
        yield head

    def body(self, data: bytes) -> Iterator[Action]:
        if not self.is_stream:
            yield Bytes(data)
            return
        *events, self._rest = (self._rest + data).split(BLANK)
        for event in events:
            yield from self._take(event + BLANK)

    def end(self) -> Iterator[Action]:
        if self._rest:
            # An event that broke off itself.
            yield Bytes(self._rest)
        yield End()

    def event(self, event: Event) -> Iterator[Action]:
        """What becomes of an event."""
        yield Bytes(event.raw)

    def _take(self, raw: bytes) -> Iterator[Action]:
        event = Event(raw, read_object(raw.removeprefix(DATA)))
        yield from self.event(event)
        self.tokens += event.has_text


class Striking(Events):
    """Does something once: after so many tokens, or where the answer ends if it has fewer."""

    _has_struck = False

    def event(self, event: Event) -> Iterator[Action]:
        is_due = self.tokens >= self.fault.count("tokens") or event.finishes or event.is_done
        if is_due and not self._has_struck:
            self._has_struck = True
            yield from self.strike(event)
        else:
            yield Bytes(event.raw)

    def strike(self, event: Event) -> Iterator[Action]:
        """What happens in the place of `event`."""
        yield Bytes(event.raw)


def read_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object in a text, if it is one."""
    try:
        return load_object(text, "it")
    except ContractError:
        return None
