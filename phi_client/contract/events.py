"""Server-sent events, both ways: bytes in and events out, an event in and bytes out.

It must not know what an event's data means.

    bytes ──feed──> line ──> `data:`   appended to the event
                         ├─> `event:`  its name
                         ├─> `:` …     ignored: a comment is no sign of life from the model
                         └─> empty     the event is complete
"""

from typing import Final, NamedTuple

from phi_client.contract.wire import ContractError

__all__ = [
    "DEFAULT_EVENT_NAME",
    "DONE",
    "MAX_EVENT_BYTES",
    "EventDecoder",
    "ServerSentEvent",
    "are_events",
    "encode_event",
]

DONE: Final = "[DONE]"
"""The data of the event that closes a stream of chunks."""

DEFAULT_EVENT_NAME: Final = "message"

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""Enough for any chunk of this model, and a bound on what a broken server can make a client hold."""

_BOM: Final = b"\xef\xbb\xbf"
_WHITE: Final = _BOM + b" \t\r\n"
_STARTS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")


class ServerSentEvent(NamedTuple):
    """One event: its data lines joined by newlines, and its name."""

    data: str
    name: str = DEFAULT_EVENT_NAME

    def __repr__(self) -> str:
        # As which the variables of a traceback are shown: an error's data may echo what was sent.
        return f"{type(self).__name__}(name={self.name!r})"


class EventDecoder:
    """Turns bytes, cut anywhere, into events.

    Takes CR, LF and CRLF, comments, `data:` with or without a space, several data lines and a byte order
    mark. `max_event_bytes` bounds one line and the data of one event.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._line = bytearray()
        self._data: list[str] = []
        self._data_bytes = 0
        self._name = DEFAULT_EVENT_NAME
        self._at_start = True
        self._after_cr = False

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` completes.

        Raises:
            ContractError: an event or a line is larger than the bound, or its data is not UTF-8.
        """
        if self._after_cr and data:
            # The LF of a CRLF that was cut in two belongs to the line before.
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        rest = lines.pop()
        events: list[ServerSentEvent] = []
        for end in lines:
            line = self._whole(end) if self._line or self._at_start else end
            if line:
                self._take_field(line)
            elif self._data:
                events.append(self._end_event())
            else:
                self._name = DEFAULT_EVENT_NAME
        if rest:
            self._hold(rest)
        return events

    def flush(self) -> list[ServerSentEvent]:
        """The event that the end of the stream completes, when its last blank line is missing.

        Raises:
            ContractError: as `feed`.
        """
        if self._line:
            self._take_field(self._whole(b""))
        return [self._end_event()] if self._data else []

    def _hold(self, part: bytes) -> None:
        self._line += part
        if len(self._line) > self._max_bytes:
            raise ContractError(f"an event line is longer than {self._max_bytes} bytes")

    def _whole(self, end: bytes) -> bytes:
        """The line that ends so, of which the rest came before."""
        self._hold(end)
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        return line

    def _take_field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        try:
            if field == b"data":
                value = value.removeprefix(b" ")
                self._data_bytes += len(value)
                self._data.append(value.decode())
            elif field == b"event":
                self._name = value.removeprefix(b" ").decode()
        except UnicodeDecodeError as error:
            raise ContractError("an event is not UTF-8") from error
        if self._data_bytes > self._max_bytes or len(line) > self._max_bytes:
            raise ContractError(f"an event is longer than {self._max_bytes} bytes")

    def _end_event(self) -> ServerSentEvent:
        event = ServerSentEvent("\n".join(self._data), self._name or DEFAULT_EVENT_NAME)
        self._data.clear()
        self._data_bytes, self._name = 0, DEFAULT_EVENT_NAME
        return event


def are_events(body: bytes) -> bool:
    """Whether a body begins as a stream of events does."""
    return body.lstrip(_WHITE).startswith(_STARTS)


def encode_event(data: str | bytes, *, name: str | None = None) -> bytes:
    """One event as Azure sends it: an optional `event:` line, `data: ` lines, a blank line, all with LF."""
    text = data if isinstance(data, bytes) else data.encode()
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
