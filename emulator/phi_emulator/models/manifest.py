"""What a model in the store consists of: its origin, and the size and SHA-256 of each file.

Knows bytes on disk; it must not know where files come from or where the store is. Manifests are read from disk and from
archives that strangers made, so names and paths in them are checked before anybody uses them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

__all__ = [
    "MANIFEST",
    "Manifest",
    "ManifestError",
    "ModelFile",
    "check_name",
    "check_path",
    "chunks_of",
    "sha256_of",
]

MANIFEST: Final = "phi-emulator.json"
"""The manifest's own file name, beside the files that it lists."""
_FORMAT: Final = 1
_CHUNK: Final = 1 << 20
# Two hyphens stand between name and variant where both are in one file name.
_NAME: Final = re.compile(r"(?!.*--)[a-z0-9][a-z0-9._-]{0,63}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# What Windows refuses or reads as something else; a path of a repository needs none of it.
_BAD_IN_PATH: Final = re.compile(r'[\x00-\x1f\\:*?"<>|]')


class ManifestError(ValueError):
    """A manifest, or a name or path in one, can't be used."""


def check_name(name: str) -> str:
    """`name`, if it can be the name of a model or variant, which is also a folder's.

    Raises:
        ManifestError: it can't.
    """
    if not _NAME.fullmatch(name):
        raise ManifestError(
            f"{name!r} can't be a name: use a-z, 0-9, `.`, `_` and single `-`, at most 64 of them"
        )
    return name


def check_path(path: str) -> str:
    """`path`, if it is relative and stays inside the folder it is relative to.

    Raises:
        ManifestError: it leaves the folder, or is no path on some platform.
    """
    parts = PurePosixPath(path).parts
    wrong = not parts or path.startswith("/") or ".." in parts or _BAD_IN_PATH.search(path)
    if wrong or str(PurePosixPath(path)) != path or path == MANIFEST or path.endswith(".part"):
        raise ManifestError(f"{path!r} is no path that a model's file may have")
    return path


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
        if not _SHA256.fullmatch(self.sha256) or self.size < 0:
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

    def __post_init__(self) -> None:
        check_name(self.name)
        check_name(self.variant)
        paths = {file.path.lower() for file in self.files}
        if not self.files or len(paths) != len(self.files):
            raise ManifestError("a model needs files, each under a path of its own")

    @property
    def reference(self) -> str:
        """Name and variant as the user writes them."""
        return f"{self.name}:{self.variant}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

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
            return cls._from_data(json.loads(text))
        except ManifestError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ManifestError("it is no manifest of a model") from error

    @classmethod
    def _from_data(cls, data: dict[str, Any]) -> Self:
        if data.pop("format") != _FORMAT:
            raise ManifestError("a later version of phi-emulator made this: update phi-emulator")
        files = tuple(
            ModelFile(str(file["path"]), int(file["size"]), str(file["sha256"])) for file in data.pop("files")
        )
        placed_ns = int(data.pop("placed_ns"))
        texts = {field.name for field in fields(cls)} - {"files", "placed_ns"}
        if set(data) != texts or not all(isinstance(value, str) for value in data.values()):
            raise ManifestError("it has other fields than a manifest")
        return cls(files=files, placed_ns=placed_ns, **data)
