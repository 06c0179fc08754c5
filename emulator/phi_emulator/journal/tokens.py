"""The answer as a line of tokens with their times, read from its pieces as a client would read them.

It must not know where the pieces are from. Nothing is read before somebody looks: a reader is fed with the pieces that
have come since, and reads each of them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from phi_client.contract.answers import AnswerView, first_choice
from phi_client.contract.error_body import ErrorBody
from phi_client.contract.events import DONE, EventDecoder, ServerSentEvent
from phi_client.contract.service import Surface
from phi_client.contract.wire import ContractError

__all__ = ["FaultAt", "Kind", "Piece", "Token", "TokenReader"]

Kind: TypeAlias = Literal["role", "reasoning", "content", "tool", "end", "error", "broken", "event", "fault"]
"""What an item is: who speaks, thoughts, answer, a call of a tool, why it ends, an error, what no client can read,
something of which the text is not known, or the place where a fault struck."""

_MOST_WHOLE: Final = 1024 * 1024
_WINDOW: Final = 4096
"""Letters of what came before that are looked at again for a credential that came in pieces."""


class Piece(NamedTuple):
    """A piece of an answer's body."""

    ms: float
    """When it went out, since the request came in."""
    size: int
    events: int
    data: bytes | None
    """`None` where it was not kept."""


class FaultAt(NamedTuple):
    """Where a fault struck."""

    effect: str
    """Which one, by name."""
    ms: float
    """When, since the request came in."""
    bytes: int
    """How many bytes of the answer's body had gone out before."""

    def to_json(self) -> dict[str, Any]:
        """As the routes tell it."""
        return {"ms": round(self.ms, 3), "bytes": self.bytes}


class Token(NamedTuple):
    """One item of the line."""

    ms: float
    """Since the request came in."""
    kind: Kind
    text: str | None
    """`None` where there is none, or it was not kept."""
    events: int = 1
    """Events of the stream that it stands for: more than one where the text was not kept."""

    def to_json(self) -> dict[str, Any]:
        """As the routes tell it."""
        return {"ms": round(self.ms, 3), "kind": self.kind, "text": self.text, "events": self.events}


class TokenReader:
    """Reads one answer, piece by piece. `is_stream` is whether it is one of events.

    What `holds_secret` says of a text, from then on no text is told any more.
    """

    def __init__(
        self,
        surface: Surface,
        route: str,
        *,
        is_stream: bool,
        holds_secret: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._surface = surface
        self._route = route
        self._is_stream = is_stream
        self._holds_secret = holds_secret
        self._decoder = EventDecoder()
        self._whole = bytearray()
        self._before: dict[Kind, str] = {}
        self._tells_texts = True
        self._last_ms = 0.0
        self._fault_is_told = False
        self.offset = 0
        """Bytes that were read."""

    def read(
        self, pieces: Iterable[Piece], fault: FaultAt | None = None, *, is_last: bool = False
    ) -> list[Token]:
        """What the next pieces say; `is_last`: none follow. `fault` is where one struck, once that is known."""
        found: list[Token] = []
        for piece in pieces:
            if fault is not None and not self._fault_is_told and self.offset >= fault.bytes:
                found.append(self._struck(fault))
            found += self._read(piece)
        if is_last:
            found += self._finish()
        if fault is not None and not self._fault_is_told and (is_last or self.offset >= fault.bytes):
            found.append(self._struck(fault))
        return found

    def _struck(self, fault: FaultAt) -> Token:
        self._fault_is_told = True
        return Token(fault.ms, "fault", fault.effect, 0)

    def _read(self, piece: Piece) -> Iterator[Token]:
        self.offset += piece.size
        self._last_ms = piece.ms
        if piece.data is None:
            self._tells_texts = False
        if not self._tells_texts or piece.data is None:
            yield Token(piece.ms, "event", None, piece.events)
        elif not self._is_stream:
            if len(self._whole) < _MOST_WHOLE:
                self._whole += piece.data
        else:
            try:
                events = self._decoder.feed(piece.data)
            except ContractError:
                self._decoder = EventDecoder()
                yield Token(piece.ms, "broken", None)
            else:
                yield from self._told(piece.ms, events)

    def _finish(self) -> Iterator[Token]:
        """What only the end completes."""
        if self._is_stream:
            with suppress(ContractError):
                yield from self._told(self._last_ms, self._decoder.flush())
            return
        body, self._whole = bytes(self._whole), bytearray()
        if not body or not self._tells_texts:
            return
        try:
            view: AnswerView | ErrorBody = self._surface.read_completion(body, route=self._route)
        except ContractError:
            yield self._token("broken", body.decode(errors="replace"))
        else:
            for kind, text in _said(view):
                yield self._token(kind, text)

    def _told(self, ms: float, events: Iterable[ServerSentEvent]) -> Iterator[Token]:
        self._last_ms = ms
        for event in events:
            if event.data == DONE:
                yield Token(ms, "end", DONE)
                continue
            try:
                view = self._surface.read_event(event)
            except ContractError:
                yield self._token("broken", event.data)
                continue
            for kind, text in _said(view):
                yield self._token(kind, text)

    def _token(self, kind: Kind, text: str | None) -> Token:
        if text and self._tells_texts:
            seen = self._before.get(kind, "") + text
            self._before[kind] = seen[-_WINDOW:]
            self._tells_texts = not self._holds_secret(seen)
        return Token(self._last_ms, kind, text if self._tells_texts else None)


def _said(view: AnswerView | ErrorBody) -> Iterator[tuple[Kind, str | None]]:
    """What an answer, or a chunk of one, says: at least one thing."""
    if isinstance(view, ErrorBody):
        yield "error", view.message
        return
    if not view.choices:
        yield "end", None
        return
    choice = first_choice(view.choices)
    is_silent = True
    texts: tuple[tuple[Kind, str], ...] = (
        ("reasoning", choice.reasoning_content),
        ("content", choice.content),
    )
    for kind, text in texts:
        if text:
            is_silent = False
            yield kind, text
    if choice.tool_calls:
        is_silent = False
        yield "tool", None
    if choice.finish_reason:
        yield "end", choice.finish_reason
    elif is_silent:
        yield "role", None
