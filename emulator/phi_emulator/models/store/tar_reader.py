"""Reads the plain tar archives that `models export` writes, member by member, and nothing else that calls itself tar.

It must not know models. `tarfile` reads whatever an archive asks for: a header that claims 6 GB of names is a
`MemoryError`, thousands of headers in a row a `RecursionError`. Here a header costs as much as the limits below allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

__all__ = ["TarError", "TarMember", "read_members"]

_BLOCK: Final = 512
_MOST_PAX: Final = 1 << 16
"""Bytes of an extended header: a path and a size take a few hundred."""
_LARGEST: Final = 1 << 50
_PLAIN: Final = frozenset({b"0", b"\0"})
_EXTENDED: Final = b"x"
_MAGICS: Final = (b"ustar\x0000", b"ustar  \0")
_CHECKSUM: Final = slice(148, 156)


class TarError(ValueError):
    """This is no archive of plain files, or it is cut off."""


@dataclass(slots=True)
class TarMember:
    """A member of an archive; its content is read before the next member is asked for."""

    name: str
    size: int
    is_file: bool
    _content: IO[bytes]
    _left: int

    def read(self, size: int) -> bytes:
        """The next bytes of its content, at most `size`.

        Raises:
            TarError: the archive ends before.
        """
        wanted = min(size, self._left)
        chunk = self._content.read(wanted)
        if len(chunk) < wanted:
            raise TarError("it ends in the middle of a file")
        self._left -= wanted
        return chunk


def read_members(archive: IO[bytes]) -> Iterator[TarMember]:
    """The members of an open archive in their order, up to the mark of its end.

    Raises:
        TarError: it has another form, or ends before the mark.
    """
    extended: dict[str, str] | None = None
    while (header := _block(archive)) != bytes(_BLOCK):
        kind, size = _check(header)
        if kind == _EXTENDED:
            if extended is not None or not 0 < size <= _MOST_PAX:
                raise TarError("it has an extended header that no file needs")
            extended = _read_pax(_exactly(archive, size))
            _exactly(archive, -size % _BLOCK)
            continue
        given = extended or {}
        extended = None
        size = _size(given.get("size"), size)
        name = given.get("path") or _name(header)
        member = TarMember(name, size, kind in _PLAIN, archive, size)
        yield member
        while member.read(1 << 20):
            pass
        _exactly(archive, -size % _BLOCK)
    if extended is not None:
        raise TarError("it ends after an extended header")


def _block(archive: IO[bytes]) -> bytes:
    return _exactly(archive, _BLOCK)


def _exactly(archive: IO[bytes], size: int) -> bytes:
    content = archive.read(size)
    if len(content) < size:
        raise TarError("it ends before its end is marked")
    return content


def _check(header: bytes) -> tuple[bytes, int]:
    """The kind and the size of a member, if this is a header at all."""
    blank = header[: _CHECKSUM.start] + b" " * 8 + header[_CHECKSUM.stop :]
    if header[257:265] not in _MAGICS or _octal(header[_CHECKSUM]) != sum(blank):
        raise TarError("it is no tar archive, or is damaged")
    return header[156:157], _octal(header[124:136])


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise TarError("it has a header without numbers")
    return int(digits, 8)


def _name(header: bytes) -> str:
    name, prefix = header[:100].split(b"\0")[0], b""
    if header[257:265] == _MAGICS[0]:
        prefix = header[345:500].split(b"\0")[0]
    return _text(prefix + b"/" + name if prefix else name)


def _size(text: str | None, size: int) -> int:
    if text is not None:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST))):
            raise TarError("it has an extended header without a number")
        size = int(text)
    if size > _LARGEST:
        raise TarError("it claims a file that no disk holds")
    return size


def _read_pax(content: bytes) -> dict[str, str]:
    """The records `LENGTH KEY=VALUE`, each on a line; those that concern neither path nor size are left out."""
    found: dict[str, str] = {}
    at = 0
    while at < len(content):
        digits, space, _ = content[at : at + 20].partition(b" ")
        if not space or not digits.isdigit():
            raise TarError("it has an extended header in no known form")
        end = at + int(digits)
        record = content[at + len(digits) + 1 : end]
        key, equals, value = record.partition(b"=")
        if end > len(content) or not equals or not record.endswith(b"\n"):
            raise TarError("it has an extended header in no known form")
        if key.startswith(b"GNU.sparse"):
            raise TarError("it holds a file with holes")
        if key in (b"path", b"size"):
            found[key.decode()] = _text(value[:-1])
        at = end
    return found


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise TarError("it has a name that is no UTF-8") from error
