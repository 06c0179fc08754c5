"""What a model in the store consists of: its origin, and the size and SHA-256 of each file.

Knows bytes on disk; it must not know where files come from or where the store is. Manifests are read from disk and from
archives that strangers made, so all that is in them is checked before anybody uses it, and texts are made printable.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self, TypeGuard

from phi_emulator.models.printable import printable
from phi_emulator.models.store.names import MANIFEST, ManifestError, check_name, check_path, check_paths
from phi_emulator.models.strict_json import list_of, object_of, parse_json

__all__ = [
    "BY_ARCHIVE",
    "BY_CATALOG",
    "BY_HUB",
    "BY_USER",
    "MANIFEST",
    "Manifest",
    "ManifestError",
    "ModelFile",
    "check_name",
    "check_path",
    "chunks_of",
    "sha256_of",
]

BY_HUB: Final = "hub"
BY_CATALOG: Final = "catalog"
BY_USER: Final = "user"
BY_ARCHIVE: Final = ""
"""Who gave the hashes. An archive's own say that its files are whole, and not whose they are."""
_FORMAT: Final = 1
_CHUNK: Final = 1 << 20
_MOST_FILES: Final = 4096
_LARGEST: Final = 1 << 50
_LONGEST_TEXT: Final = 500
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def chunks_of(path: Path) -> Iterator[bytes]:
    """The content of a file in pieces."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def sha256_of(path: Path, advance: Callable[[int], None] = lambda _count: None) -> str:
    """The SHA-256 of a file; `advance` hears how many bytes were read."""
    digest = hashlib.sha256()
    for chunk in chunks_of(path):
        digest.update(chunk)
        advance(len(chunk))
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model; `path` is relative to the model's folder, with slashes."""

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        check_path(self.path)
        if not _SHA256.fullmatch(self.sha256) or not 0 <= self.size <= _LARGEST:
            raise ManifestError(f"{self.path!r} has no size and SHA-256 that can be used")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest of one variant of a model.

    Raises:
        ManifestError: a name, a path or a hash can't be used.
    """

    name: str
    variant: str
    description: str
    licence: str
    execution_provider: str
    repository: str
    """Empty for a model that no hub knows."""
    revision: str
    """The commit in the repository."""
    files: tuple[ModelFile, ...]
    placed_ns: int = 0
    """When it came into the store, in nanoseconds since 1970."""
    hashes_from: str = BY_ARCHIVE
    """Who gave the hashes that the files were compared with; an archive has no say in it."""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_name(self.variant)
        if not 0 < len(self.files) <= _MOST_FILES:
            raise ManifestError(f"a model needs files, and at most {_MOST_FILES} of them")
        check_paths(file.path for file in self.files)

    @property
    def reference(self) -> str:
        """Name and variant as the user writes them."""
        return f"{self.name}:{self.variant}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def is_verified(self) -> bool:
        """Whether its hashes are those of the catalog, of the hub, or of a digest that the user gave."""
        return self.hashes_from in (BY_HUB, BY_CATALOG, BY_USER)

    @property
    def content(self) -> str:
        """A hash of all files with their paths: the same for the same files, wherever they came from."""
        lines = sorted(f"{file.path}\0{file.size}\0{file.sha256}" for file in self.files)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def identity(self) -> str:
        """A short hash of origin and content: the same for the same files from the same place."""
        parts = [self.repository, self.revision, *(f"{f.path}\0{f.size}\0{f.sha256}" for f in self.files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps({"format": _FORMAT} | asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ManifestError: it is something else, or of a later version.
        """
        try:
            data = parse_json(text)
        except ValueError as error:
            raise ManifestError("it is no manifest of a model") from error
        return cls.from_data(data)

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Read what was JSON.

        Raises:
            ManifestError: it is something else than `to_json` wrote, or of a later version.
        """
        read = object_of(data)
        if read is None:
            raise ManifestError("it is no manifest of a model")
        if read.get("format", _FORMAT) != _FORMAT:
            raise ManifestError("a later version of phi-emulator made this: update phi-emulator")
        texts = {field.name for field in fields(cls)} - {"files", "placed_ns"}
        given: dict[str, Any] = {"hashes_from": BY_ARCHIVE} | read
        if set(given) != texts | {"format", "files", "placed_ns"}:
            raise ManifestError("it has other fields than a manifest")
        listed, placed_ns = list_of(given["files"]), given["placed_ns"]
        if (
            listed is None
            or not _is_count(placed_ns)
            or not all(isinstance(given[name], str) for name in texts)
        ):
            raise ManifestError("it has fields of other kinds than a manifest")
        return cls(
            files=tuple(map(_file_of, listed)),
            placed_ns=placed_ns,
            **{name: printable(given[name], _LONGEST_TEXT) for name in texts},
        )


def _file_of(listed: object) -> ModelFile:
    read = object_of(listed)
    if read is None or set(read) != {"path", "size", "sha256"}:
        raise ManifestError("it lists what is no file")
    path, size, sha256 = read["path"], read["size"], read["sha256"]
    if not isinstance(path, str) or not isinstance(sha256, str) or not _is_count(size):
        raise ManifestError("it lists a file without path, size and SHA-256")
    return ModelFile(path, size, sha256)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 63
