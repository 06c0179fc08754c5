"""The file of a recording: JSON Lines, one line for each thing that happened, keys in order, text where it is text.

    {"format":"phi-emulator recording","version":1}
    {"request":{"method":"POST","path":"/v1/chat/completions","surface":"serverless","json":{…},…}}
    {"response":{"headers":{…},"ms":212,"status":200}}
    {"ms":213,"text":"data: {…}\n\n"}            as many as came; bytes that are no text as `base64`
    {"end":"complete","ms":431}

An exchange is there when its `end` is: what a killed recorder left behind it is not read, and is cut off when the file
is added to. It must not know what is recorded, nor what in it is secret.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from phi_client.contract.wire import dump_json
from phi_emulator.models.durable import flush
from phi_emulator.models.strict_json import object_of, parse_json
from phi_emulator.recordings.exchanges import (
    End,
    RecordedChunk,
    RecordedExchange,
    RecordedHead,
    RecordedRequest,
)

__all__ = [
    "STATUSES",
    "Recording",
    "RecordingError",
    "RecordingFile",
    "first_line",
    "lines_of",
    "read_recording",
]

_FORMAT: Final = "phi-emulator recording"
_VERSION: Final = 1
_MOST_BYTES: Final = 256 * 2**20
_MOST_MS: Final = 24 * 3600 * 1000
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
STATUSES: Final = range(200, 600)
"""What the beginning of an answer may have."""


class RecordingError(Exception):
    """A recording can't be read or written; the message names the file, and the line where there is one."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds. `is_cut` is true where an exchange at its end was left out, because it has no end itself.

    `whole_bytes` is the size of the file without it.
    """

    exchanges: tuple[RecordedExchange, ...]
    is_cut: bool
    whole_bytes: int


class RecordingFile:
    """A recording that is written: each exchange is on the disk when `add` returns. Not for several threads at once.

    A file that is there is an error, unless `append` is true; then it must be a recording.

    Raises:
        RecordingError: the file is there, can't be written, or is no recording.
    """

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self._path = path
        try:
            if append and path.exists() and path.stat().st_size:
                size = read_recording(path).whole_bytes
                self._descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
                os.ftruncate(self._descriptor, size)
                self._size = os.lseek(self._descriptor, 0, os.SEEK_END)
            else:
                flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
                self._descriptor = os.open(path, flags if append else flags | os.O_EXCL, 0o666)
                self._size = 0
                self._write(first_line())
                flush(path.absolute().parent)
        except FileExistsError as error:
            raise RecordingError(
                f"{path} is there already: give `--append` to add to it, or delete it to record anew"
            ) from error
        except OSError as error:
            raise RecordingError(f"{path} can't be written: {error.strerror or error}") from error

    def add(self, lines: bytes) -> None:
        """Add the lines of an exchange (`lines_of`), and write them through to the disk.

        Raises:
            RecordingError: it could not be written; the file is as it was before.
        """
        try:
            self._write(lines)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
                os.lseek(self._descriptor, self._size, os.SEEK_SET)
            raise RecordingError(f"{self._path} can't be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, lines: bytes) -> None:
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        flush(self._path)
        self._size += len(lines)


def first_line() -> bytes:
    """What a file begins with."""
    return dump_json({"format": _FORMAT, "version": _VERSION}) + b"\n"


def lines_of(exchange: RecordedExchange) -> bytes:
    """The lines that stand for an exchange in a file."""
    request = exchange.request
    asked = {
        "surface": request.surface,
        "method": request.method,
        "path": request.path,
        "api_version": request.api_version,
        "headers": dict(request.headers),
    }
    lines: list[Mapping[str, Any]] = [{"request": asked | _written_body(request.body)}]
    if exchange.head is not None:
        head = exchange.head
        lines.append({"response": {"status": head.status, "headers": dict(head.headers), "ms": head.ms}})
    lines += [{"ms": chunk.ms} | _written(chunk.data) for chunk in exchange.chunks]
    lines.append({"end": exchange.end.value, "ms": exchange.ms})
    return b"".join(dump_json(line, sort_keys=True) + b"\n" for line in lines)


def read_recording(path: Path) -> Recording:
    """Read a file.

    Raises:
        RecordingError: it can't be read, or is no recording; the line is named.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RecordingError(f"{path} is larger than {_MOST_BYTES // 2**20} MB")
        content = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} can't be read: {error.strerror or error}") from error
    lines = content.split(b"\n")
    whole = number = 0
    try:
        _check_first(lines[0])
        exchanges: list[RecordedExchange] = []
        whole = len(lines[0]) + 1
        reader = _Reader()
        place = whole
        # What follows the last line break is no line yet.
        for number, line in enumerate(lines[1:-1], 1):  # noqa: B007 - named in the error
            place += len(line) + 1
            exchange = reader.feed(line)
            if exchange is not None:
                exchanges.append(exchange)
                whole = place
    except ValueError as error:
        raise RecordingError(f"{path}:{number + 1}: {error}") from error
    return Recording(tuple(exchanges), is_cut=bool(content[whole:].strip()), whole_bytes=whole)


class _Reader:
    """Puts lines together into exchanges."""

    def __init__(self) -> None:
        self._request: RecordedRequest | None = None
        self._head: RecordedHead | None = None
        self._chunks: list[RecordedChunk] = []
        self._ms = 0

    def feed(self, line: bytes) -> RecordedExchange | None:
        """The exchange that a line ends.

        Raises:
            ValueError: it is no line of a recording, or not the next one.
        """
        if not line.strip():
            return None
        members = _object(parse_json(line), "a line")
        if "request" in members:
            if self._request is not None:
                raise ValueError("a request begins before the one before it has its `end`")
            self._request, self._head, self._chunks, self._ms = (
                _request(_object(members["request"], "`request`")),
                None,
                [],
                0,
            )
            return None
        if self._request is None:
            raise ValueError("an exchange begins with its `request`")
        if "response" in members:
            if self._head is not None:
                raise ValueError("an exchange has one `response`")
            self._head = self._read_head(_object(members["response"], "`response`"))
            return None
        ms = self._read_ms(members)
        if "end" not in members:
            if self._head is None:
                raise ValueError("what is sent comes after its `response`")
            self._chunks.append(RecordedChunk(_bytes(members), ms))
            return None
        end = _end(members["end"])
        if end is (End.COMPLETE if self._head is None else End.UNREACHABLE):
            raise ValueError(
                f"no exchange {'without' if self._head is None else 'with'} a `response` ends so"
            )
        ended = RecordedExchange(self._request, self._head, tuple(self._chunks), end, ms)
        self._request = None
        return ended

    def _read_head(self, members: Mapping[str, Any]) -> RecordedHead:
        status = members.get("status")
        if type(status) is not int or status not in STATUSES:
            raise ValueError(f"`status` is a number from {STATUSES.start} to {STATUSES.stop - 1}")
        return RecordedHead(status, _headers(members), self._read_ms(members))

    def _read_ms(self, members: Mapping[str, Any]) -> int:
        ms = members.get("ms")
        if type(ms) is not int or not self._ms <= ms <= _MOST_MS:
            raise ValueError(
                "`ms` is a whole number of milliseconds, not below that of the line before, up to a day"
            )
        self._ms = ms
        return ms


def _check_first(line: bytes) -> None:
    try:
        first = object_of(parse_json(line)) or {}
    except ValueError:
        first = {}
    if first.get("format") != _FORMAT:
        raise ValueError(f"this is no recording: its first line has no `format` {_FORMAT!r}")
    if first.get("version") != _VERSION:
        raise ValueError(f"version {first.get('version')!r} is not known here, only {_VERSION}")


def _request(members: Mapping[str, Any]) -> RecordedRequest:
    version = members.get("api_version")
    return RecordedRequest(
        surface=_text(members, "surface"),
        method=_text(members, "method"),
        path=_text(members, "path"),
        api_version=None if version is None else _text(members, "api_version"),
        headers=_headers(members),
        body=dump_json(members["json"]) if "json" in members else _bytes(members),
    )


def _headers(members: Mapping[str, Any]) -> dict[str, str]:
    headers = _object(members.get("headers", {}), "`headers`")
    for name, value in headers.items():
        if not isinstance(value, str) or not _TOKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r} is none that HTTP can carry")
    return {name.lower(): value for name, value in headers.items()}


def _end(word: Any) -> End:
    try:
        return End(word)
    except ValueError:
        raise ValueError(f"`end` is one of {', '.join(repr(end.value) for end in End)}") from None


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is no text")  # noqa: TRY004 - of one kind with all that is wrong in a file
    return value


def _object(value: object, what: str) -> Mapping[str, Any]:
    found = object_of(value)
    if found is None:
        raise ValueError(f"{what} is no object")
    return found


def _bytes(members: Mapping[str, Any]) -> bytes:
    if "text" in members:
        return _text(members, "text").encode()
    if "base64" not in members:
        raise ValueError("there is neither `text` nor `base64`")
    try:
        return base64.b64decode(_text(members, "base64"), validate=True)
    except binascii.Error:
        raise ValueError("`base64` is none") from None


def _written(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _written_body(body: bytes) -> dict[str, Any]:
    """The body of a request as JSON where it is some: what it means counts, and its keys have one order."""
    try:
        value = parse_json(body)
        # Within its line it is nested more deeply.
        parse_json(dump_json([[value]]))
    except ValueError:
        return _written(body)
    return {"json": value}
