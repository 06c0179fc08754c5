"""A recorded answer as another surface would have sent it, or the same one in another form.

It must not know who asks, or when what is sent. A stream keeps its pieces and their times; who asks for a stream of
what came whole gets it in one piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, cast

from phi_client.contract.answers import CUT_REASONS, AnswerView, Usage, first_choice, read_count
from phi_client.contract.error_body import ErrorBody
from phi_client.contract.events import DONE, EventDecoder, are_events
from phi_client.contract.reasoning import ReasoningSplitter
from phi_client.contract.service import Surface
from phi_client.contract.service.chat import AssistantMessage, ChatCompletion, Choice, WireUsage
from phi_client.contract.wire import ContractError
from phi_emulator.recordings.exchanges import End, RecordedChunk, RecordedExchange, RecordedHead
from phi_emulator.recordings.meaning import Form
from phi_emulator.recordings.places import surface_of

__all__ = ["Piece", "Told", "read_answer", "rewritten"]

_OK: Final = 200
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream; charset=utf-8"
_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Piece:
    """What an answer adds at a time."""

    ms: int
    reasoning: str = ""
    content: str = ""
    calls: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What a recorded answer says, whatever surface said it."""

    pieces: tuple[Piece, ...]
    finish_reason: str
    usage: Usage | None
    model: str
    id: str
    created: int
    request_id: str

    def said(self, *, reasoning_apart: bool) -> Iterator[Piece]:
        """The pieces with the reasoning where it is wanted: in its own place, or between tags in the content."""
        is_apart = any(piece.reasoning for piece in self.pieces)
        if is_apart == reasoning_apart:
            return iter(self.pieces)
        return self._split() if reasoning_apart else self._tagged()

    def _split(self) -> Iterator[Piece]:
        splitter = ReasoningSplitter()
        ms = 0
        for piece in self.pieces:
            ms = piece.ms
            found = splitter.feed(piece.content)
            yield Piece(ms, found.reasoning, found.content, piece.calls)
        rest = splitter.flush(is_cut=self.finish_reason in CUT_REASONS)
        yield Piece(ms, rest.reasoning, rest.content)

    def _tagged(self) -> Iterator[Piece]:
        is_open = False
        ms = 0
        for piece in self.pieces:
            ms = piece.ms
            text = piece.content
            if piece.reasoning:
                text = ("" if is_open else _OPEN) + piece.reasoning + (_CLOSE + text if text else "")
                is_open = not piece.content
            elif text and is_open:
                text, is_open = _CLOSE + text, False
            yield Piece(ms, content=text, calls=piece.calls)
        if is_open and self.finish_reason not in CUT_REASONS:
            yield Piece(ms, content=_CLOSE)


def read_answer(exchange: RecordedExchange) -> Told | None:
    """What the answer says; `None` where it is none, an error, or was not recorded to its end."""
    head, request = exchange.head, exchange.request
    if head is None or head.status != _OK or exchange.end is not End.COMPLETE:
        return None
    surface = surface_of(request.surface, request.path)
    try:
        if are_events(exchange.body):
            views = list(_views_of(surface, exchange.chunks))
        else:
            view = surface.read_completion(exchange.body, route=request.path)
            views = [] if isinstance(view, ErrorBody) else [(exchange.ms, view)]
    except ContractError:
        return None
    if not views:
        return None
    pieces: list[Piece] = []
    reason: str | None = None
    usage: Usage | None = None
    for ms, view in views:
        usage = view.usage or usage
        if view.choices:
            choice = first_choice(view.choices)
            reason = choice.finish_reason or reason
            calls = tuple(filter(_is_call, choice.tool_calls))
            pieces.append(Piece(ms, choice.reasoning_content, choice.content, calls))
    # The first chunk may be of no choice, with an empty id.
    named = next((view for _, view in views if view.raw.get("id")), views[0][1])
    return Told(
        tuple(pieces),
        reason or "stop",
        usage,
        named.model or "",
        str(named.raw.get("id") or ""),
        read_count(named.raw.get("created")) or 0,
        surface.read_request_id(head.headers) or "",
    )


def _views_of(surface: Surface, chunks: Iterable[RecordedChunk]) -> Iterator[tuple[int, AnswerView]]:
    """What each event says, and when it came."""
    decoder = EventDecoder()
    ms = 0
    for chunk in (*chunks, None):
        ms = ms if chunk is None else chunk.ms
        for event in decoder.flush() if chunk is None else decoder.feed(chunk.data):
            if event.data == DONE:
                continue
            view = surface.read_event(event)
            if isinstance(view, ErrorBody):
                raise ContractError("the stream ended with an error")
            yield ms, view


def rewritten(exchange: RecordedExchange, told: Told, form: Form) -> RecordedExchange:
    """The answer of `exchange`, which said `told`, in another form."""
    surface = surface_of(form.surface, form.path).at_version(form.api_version)
    usage = WireUsage() if told.usage is None else _wire_usage(told.usage)
    named = surface.response_headers(request_id=told.request_id, usage=None if form.streams else usage)
    ms = 0 if exchange.head is None else exchange.head.ms
    if form.streams:
        chunks = tuple(_events(told, surface, form, usage, ms))
        chunks = (*chunks, RecordedChunk(surface.write_done(), max(exchange.ms, chunks[-1].ms)))
        headers = {"content-type": _EVENTS}
    else:
        completion = _completion(told, surface, usage)
        is_score = form.path == surface.score_route
        body = surface.write_score(completion) if is_score else surface.write_completion(completion)
        chunks = (RecordedChunk(body, exchange.ms),)
        headers = {"content-type": _JSON, "content-length": str(len(body))}
        ms = exchange.ms
    headers |= {name.lower(): value for name, value in named.items()}
    return RecordedExchange(
        exchange.request, RecordedHead(_OK, headers, ms), chunks, End.COMPLETE, chunks[-1].ms
    )


def _completion(told: Told, surface: Surface, usage: WireUsage) -> ChatCompletion:
    is_apart = surface.reasoning_in == "reasoning_content"
    pieces = list(told.said(reasoning_apart=is_apart))
    members: dict[str, Any] = {"role": "assistant", "content": "".join(piece.content for piece in pieces)}
    if is_apart:
        members["reasoning_content"] = "".join(piece.reasoning for piece in pieces)
    calls: list[dict[str, Any]] = []
    for piece in pieces:
        for call in piece.calls:
            _join_call(calls, call)
    if calls:
        members["tool_calls"] = calls
    choice = Choice(index=0, message=AssistantMessage(**members), finish_reason=told.finish_reason)
    return ChatCompletion(
        id=told.id,
        object="chat.completion",
        created=told.created,
        model=told.model,
        choices=[choice],
        usage=usage,
    )


def _events(told: Told, surface: Surface, form: Form, usage: WireUsage, ms: int) -> Iterator[RecordedChunk]:
    """The events of a stream, and when each comes."""
    writer = surface.open_stream(told.id, told.created, told.model, asks_usage=form.with_usage)
    yield RecordedChunk(writer.begin(), ms)
    for piece in told.said(reasoning_apart=surface.reasoning_in == "reasoning_content"):
        ms = piece.ms
        if piece.reasoning:
            yield RecordedChunk(writer.reasoning(piece.reasoning), ms)
        if piece.content:
            yield RecordedChunk(writer.text(piece.content), ms)
        for number, call in enumerate(piece.calls):
            yield RecordedChunk(writer.tool_call({"index": number} | call), ms)
    yield RecordedChunk(writer.end(told.finish_reason, usage), ms)


def _is_call(call: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is a call of a tool, or a piece of one: other things are not told on another surface."""
    return isinstance(call, dict) and isinstance(cast("dict[str, Any]", call).get("function"), dict)


def _join_call(calls: list[dict[str, Any]], piece: Mapping[str, Any]) -> None:
    """Add a call, or a piece of one that was streamed, to the calls of a whole answer."""
    function: Mapping[str, Any] = piece["function"]
    number = piece.get("index", len(calls))
    if number in range(len(calls)):
        known = cast("dict[str, Any]", calls[number]["function"])
        known["arguments"] = f"{known.get('arguments') or ''}{function.get('arguments') or ''}"
        return
    calls.append(
        {name: value for name, value in piece.items() if name != "index"} | {"function": dict(function)}
    )


def _wire_usage(usage: Usage) -> WireUsage:
    return WireUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )
