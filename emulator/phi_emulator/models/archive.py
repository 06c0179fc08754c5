"""One file that holds a model, for machines without a network: a plain tar archive, the manifest first.

Knows files and the store. An archive comes from wherever the user has it from, so nothing in it is believed: only plain
files that the manifest lists are written, at the paths and sizes it gives, and only bytes with the right hash stay.
The hashes guard against damage; who made the archive they do not say.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from phi_emulator.models.manifest import MANIFEST, Manifest, ManifestError, ModelFile
from phi_emulator.models.pull import Progress
from phi_emulator.models.store import PART, Store, StoredModel, StoreError, check_space, flush, free_bytes

__all__ = ["export_model", "import_model"]

_CHUNK: Final = 1 << 20
_LONGEST_MANIFEST: Final = 1 << 20


def export_model(
    model: StoredModel, path: Path, progress: Progress, *, free: Callable[[Path], int] = free_bytes
) -> None:
    """Write `model` into the new file `path`, verifying it on the way.

    Raises:
        StoreError: the file exists, can't be written, or the model is damaged.
    """
    if path.exists():
        raise StoreError(f"{str(path)!r} exists: delete it, or give another name")
    manifest = model.manifest
    draft = path.with_name(path.name + PART)
    progress.begin(f"writing {path.name}", manifest.size)
    try:
        check_space(path.parent, manifest.size, free)
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as archive:
            text = manifest.to_json().encode()
            archive.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
            for file in manifest.files:
                with (model.folder / file.path).open("rb") as content:
                    reader = _Reader(content, progress)
                    archive.addfile(_member(file.path, file.size), reader)
                if reader.sha256 != file.sha256:
                    raise StoreError(
                        f"`{file.path}` is damaged: run `phi-emulator models pull {manifest.reference}`"
                    )
        flush(draft)
        draft.rename(path)
    except OSError as error:
        raise StoreError(f"can't write {str(path)!r}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def import_model(
    store: Store, path: Path, progress: Progress, *, free: Callable[[Path], int] = free_bytes
) -> StoredModel:
    """Take the model in the archive `path` into the store.

    Raises:
        StoreError: the archive is damaged, holds what no archive of a model holds, or the disk has no room.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            manifest = _read_manifest(archive)
            with store.lock(manifest.name, manifest.variant):
                incoming = store.incoming(manifest.name, manifest.variant)
                check_space(incoming, manifest.size, free)
                store.clear_incoming(manifest.name, manifest.variant)
                progress.begin(f"reading {path.name}", manifest.size)
                try:
                    _extract(archive, manifest, incoming, progress)
                    return store.place(manifest)
                finally:  # an import doesn't go on later; after `place` there is nothing left
                    store.clear_incoming(manifest.name, manifest.variant)
    except (tarfile.TarError, ManifestError, EOFError) as error:
        raise StoreError(
            f"{str(path)!r} is no archive that `models export` made, or is cut off: {error}"
        ) from error
    except OSError as error:
        raise StoreError(
            f"can't read {str(path)!r} or write to the store: {error.strerror or error}"
        ) from error


def _read_manifest(archive: tarfile.TarFile) -> Manifest:
    member = archive.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > _LONGEST_MANIFEST:
        raise ManifestError("it does not begin with a manifest")
    content = archive.extractfile(member)
    return Manifest.from_json(content.read() if content else b"")


def _extract(archive: tarfile.TarFile, manifest: Manifest, incoming: Path, progress: Progress) -> None:
    expected = {file.path: file for file in manifest.files}
    while (member := archive.next()) is not None:
        file = expected.pop(member.name, None)
        if file is None or not member.isreg() or member.size != file.size:
            raise ManifestError(f"its manifest does not list {member.name!r} as it is")
        content = archive.extractfile(member)
        if content is not None:
            _write(content, file, incoming, progress)
    if expected:
        raise ManifestError(f"{', '.join(expected)} is missing")


def _write(content: IO[bytes], file: ModelFile, incoming: Path, progress: Progress) -> None:
    path = incoming / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    reader = _Reader(content, progress)
    with path.open("wb") as out:
        while chunk := reader.read(_CHUNK):
            out.write(chunk)
    if reader.sha256 != file.sha256:
        path.unlink()
        raise ManifestError(f"{file.path!r} has another SHA-256")
    flush(path)


class _Reader(io.RawIOBase):
    """Reads a file, and hashes and reports what it reads."""

    def __init__(self, content: IO[bytes], progress: Progress) -> None:
        super().__init__()
        self._content = content
        self._progress = progress
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._content.read(size)
        self._digest.update(chunk)
        self._progress.advance(len(chunk))
        return chunk

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A member that says nothing about the machine and the user it comes from."""
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member
