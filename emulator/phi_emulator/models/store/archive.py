"""One file that holds a model, for machines without a network: a plain tar archive, the manifest first.

Knows files and the store. An archive comes from wherever the user has it from, so nothing in it is believed: only plain
files that the manifest lists are written, at the paths and sizes it gives, and only bytes with the right hash stay.
The hashes guard against damage; who made the archive they do not say. So a name of the catalog is given only to files
whose hashes the catalog knows or the user gave, and everything else comes in under a name of its own.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from phi_emulator.models.durable import flush, move_file
from phi_emulator.models.store.catalog import CATALOG
from phi_emulator.models.store.manifest import BY_ARCHIVE, BY_CATALOG, BY_USER, MANIFEST, Manifest, ModelFile
from phi_emulator.models.store.names import PART, ManifestError, check_name
from phi_emulator.models.store.pull import Progress
from phi_emulator.models.store.store import Store, StoredModel, StoreError, check_space, free_bytes
from phi_emulator.models.store.tar_reader import TarError, TarMember, read_members

__all__ = ["export_model", "import_model"]

_CHUNK: Final = 1 << 20
_LONGEST_MANIFEST: Final = 1 << 20
_IMPORTED: Final = "-imported"
"""What is added to a name of the catalog that an archive only claims."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


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
        move_file(draft, path)
    except OSError as error:
        raise StoreError(f"can't write {str(path)!r}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def import_model(
    store: Store,
    path: Path,
    progress: Progress,
    *,
    name: str | None = None,
    content: str | None = None,
    free: Callable[[Path], int] = free_bytes,
) -> StoredModel:
    """Take the model in the archive `path` into the store.

    `name` is what to call it, in the place of the archive's own name. `content` is the digest of the whole model
    (`Manifest.content`) as the user has it from a machine that pulled it: files that have it are verified by it.

    Raises:
        StoreError: the archive is damaged, holds what no archive of a model holds, or the disk has no room.
    """
    try:
        with path.open("rb") as archive:
            members = read_members(archive)
            manifest = _trusted(_read_manifest(members), content, name)
            _check_room_for(manifest, store, path)
            with store.lock(manifest.name, manifest.variant):
                incoming = store.incoming(manifest.name, manifest.variant)
                check_space(incoming, manifest.size, free)
                store.clear_incoming(manifest.name, manifest.variant)
                progress.begin(f"reading {path.name}", manifest.size)
                try:
                    _extract(members, manifest, incoming, progress)
                    return store.place(manifest)
                finally:  # an import doesn't go on later; after `place` there is nothing left
                    store.clear_incoming(manifest.name, manifest.variant)
    except (TarError, ManifestError) as error:
        raise StoreError(
            f"{str(path)!r} is no archive that `models export` made, or is cut off: {error}"
        ) from error
    except OSError as error:
        raise StoreError(
            f"can't read {str(path)!r} or write to the store: {error.strerror or error}"
        ) from error


def _check_room_for(manifest: Manifest, store: Store, path: Path) -> None:
    if manifest.name in store.registered():
        raise StoreError(f"`{manifest.name}` is a folder of yours: give another name with `--name`")
    if manifest.size > path.stat().st_size:
        raise TarError("its files are larger than itself, or it is cut off")


def _trusted(manifest: Manifest, content: str | None, name: str | None) -> Manifest:
    """The manifest under the name that its files may have, and with who vouches for them."""
    hashes_from = BY_ARCHIVE
    if content is not None:
        if not _DIGEST.fullmatch(content):
            raise StoreError("`--content` takes the 64 digits that `models show` says: give them as they are")
        if content != manifest.content:
            raise StoreError(
                f"the archive holds {manifest.content}, and `--content` says {content}: it is another model"
            )
        hashes_from = BY_USER
    entry = CATALOG.get(manifest.name)
    if entry is not None:
        variant = entry.variant(manifest.variant)
        if variant is None:
            hashes_from = BY_ARCHIVE
        elif manifest.content in variant.contents:
            hashes_from = BY_CATALOG
    wanted = name or manifest.name
    if wanted in CATALOG and (wanted != manifest.name or hashes_from == BY_ARCHIVE):
        if name is not None:
            raise StoreError(f"`{name}` belongs to the catalog's own files: give another name")
        wanted += _IMPORTED
    return replace(manifest, name=check_name(wanted), hashes_from=hashes_from)


def _read_manifest(members: Iterator[TarMember]) -> Manifest:
    member = next(members, None)
    if member is None or member.name != MANIFEST or not member.is_file or member.size > _LONGEST_MANIFEST:
        raise ManifestError("it does not begin with a manifest")
    return Manifest.from_json(member.read(_LONGEST_MANIFEST))


def _extract(members: Iterator[TarMember], manifest: Manifest, incoming: Path, progress: Progress) -> None:
    expected = {file.path: file for file in manifest.files}
    for member in members:
        file = expected.pop(member.name, None)
        if file is None or not member.is_file or member.size != file.size:
            raise ManifestError(f"its manifest does not list {member.name[:200]!r} as it is")
        _write(member, file, incoming, progress)
    if expected:
        raise ManifestError(f"{', '.join(list(expected)[:5])} is missing")


def _write(content: TarMember, file: ModelFile, incoming: Path, progress: Progress) -> None:
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


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Reader(io.RawIOBase):
    """Reads a file, and hashes and reports what it reads."""

    def __init__(self, content: _Readable, progress: Progress) -> None:
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
