"""The store: a folder of this machine with models that were pulled or imported, and names for folders elsewhere.

    models/NAME/VARIANT/IDENTITY/   a whole model: its files and its manifest
    incoming/NAME--VARIANT/         what a pull or an import has so far; nobody loads from here
    registered.json                 names of folders that are the user's own

A model is in the store if and only if its manifest is at its place, and it comes there by one rename, after each file
was verified and written through to the disk. So a process that is killed at any moment leaves either nothing or a whole
model. Knows files alone; it must not know how they are fetched.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import platformdirs

from phi_emulator.models.manifest import MANIFEST, Manifest, ManifestError, check_name, sha256_of

__all__ = [
    "PART",
    "Partial",
    "Store",
    "StoreError",
    "StoredModel",
    "check_space",
    "flush",
    "free_bytes",
    "human_size",
]

PART: Final = ".part"
"""The ending of a file that is not whole yet."""
_MARGIN: Final = 64 << 20
"""Bytes of disk to leave free."""


class StoreError(Exception):
    """The store can't do what was asked; the message says what to do."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in the store."""

    manifest: Manifest
    folder: Path

    def damage(self) -> list[str]:
        """What can be seen without reading the files: those that are missing or have another size."""
        found: list[str] = []
        for file in self.manifest.files:
            path = self.folder / file.path
            if not path.is_file():
                found.append(f"{file.path} is missing")
            elif path.stat().st_size != file.size:
                found.append(f"{file.path} has {path.stat().st_size} bytes instead of {file.size}")
        return found

    def verify(self, advance: Callable[[int], None] = lambda _count: None) -> list[str]:
        """Read each file and compare its SHA-256; what is wrong, or nothing."""
        found = self.damage()
        if found:
            return found
        return [
            f"{file.path} has another SHA-256"
            for file in self.manifest.files
            if sha256_of(self.folder / file.path, advance) != file.sha256
        ]


@dataclass(frozen=True, slots=True)
class Partial:
    """A pull that did not end."""

    name: str
    variant: str
    size: int
    """Bytes that are here."""


class Store:
    """The models under `home`; without it in the user's data folder of this platform.

    Nothing is written before something is put into it. `clock` tells nanoseconds since 1970.
    """

    def __init__(self, home: str | Path | None = None, *, clock: Callable[[], int] = time.time_ns) -> None:
        default = platformdirs.user_data_path("phi-emulator", appauthor=False)
        self.home = Path(home).expanduser().absolute() if home else default
        self._models = self.home / "models"
        self._incoming = self.home / "incoming"
        self._registered = self.home / "registered.json"
        self._clock = clock

    def models(self) -> list[StoredModel]:
        """The models that are here, by name."""
        newest: dict[str, StoredModel] = {}
        for path in sorted(self._models.glob(f"*/*/*/{MANIFEST}")):
            with suppress(OSError, ManifestError):
                found = StoredModel(Manifest.from_json(path.read_bytes()), path.parent)
                held = newest.setdefault(found.manifest.reference, found)
                if held.manifest.placed_ns < found.manifest.placed_ns:
                    newest[found.manifest.reference] = found
        return list(newest.values())

    def find(self, name: str, variant: str | None = None) -> StoredModel | None:
        """The model of that name; without `variant` the first that is here."""
        for model in self.models():
            if model.manifest.name == name and variant in (None, model.manifest.variant):
                return model
        return None

    def partials(self) -> list[Partial]:
        """The pulls that did not end, among them those that are running."""
        return [
            Partial(name, variant, size_of(path))
            for path in sorted(self._incoming.glob("*--*"))
            for name, _, variant in [path.name.partition("--")]
        ]

    def incoming(self, name: str, variant: str) -> Path:
        """The folder in which a model is put together; on the same filesystem as its place."""
        return self._incoming / f"{check_name(name)}--{check_name(variant)}"

    def clear_incoming(self, name: str, variant: str) -> None:
        """Delete what a pull or an import has so far. Needs the lock."""
        folder = self.incoming(name, variant)
        if folder.exists():
            _discard(folder)

    @contextmanager
    def lock(self, name: str, variant: str) -> Generator[None]:
        """Hold a model against other processes; the system frees it when this process ends, however it ends.

        Raises:
            StoreError: another process holds it.
        """
        import filelock  # noqa: PLC0415 - whoever only serves needs no lock

        path = self.home / "locks" / f"{check_name(name)}--{check_name(variant)}.lock"
        self._write(path.parent)
        try:
            with filelock.FileLock(path, blocking=False):
                yield
        except filelock.Timeout as error:
            raise StoreError(
                f"another process is working on `{name}:{variant}`: wait for it to end, or stop it"
            ) from error

    def place(self, manifest: Manifest) -> StoredModel:
        """Take what `incoming` holds into the store, and drop what was there under the same name and variant.

        The caller holds the lock, and has verified the files and written them through with `flush`.
        """
        incoming = self.incoming(manifest.name, manifest.variant)
        manifest = replace(manifest, placed_ns=self._clock())
        folder = self._models / manifest.name / manifest.variant / manifest.identity
        path = incoming / MANIFEST
        path.write_text(manifest.to_json(), encoding="utf-8")
        flush(path)
        for inner in {(incoming / file.path).parent for file in manifest.files} | {incoming}:
            flush(inner)
        self._write(folder.parent)
        if folder.exists():
            _discard(folder)
        incoming.rename(folder)
        flush(folder.parent)
        placed = StoredModel(manifest, folder)
        self.sweep(placed)
        return placed

    def sweep(self, model: StoredModel) -> None:
        """Delete what else is there under the model's name and variant: what it replaced. Needs the lock."""
        for other in model.folder.parent.iterdir():
            if other != model.folder:
                _discard(other)

    def take_back(self, model: StoredModel) -> None:
        """Make a damaged model an unfinished pull again, so that only what is wrong is fetched. Needs the lock."""
        self.clear_incoming(model.manifest.name, model.manifest.variant)
        incoming = self.incoming(model.manifest.name, model.manifest.variant)
        self._write(incoming.parent)
        (model.folder / MANIFEST).unlink()
        model.folder.rename(incoming)

    def remove(self, name: str, variant: str) -> int:
        """Delete a model and what an unfinished pull has of it; the bytes that were freed."""
        with self.lock(name, variant):
            place = self._models / check_name(name) / check_name(variant)
            freed = 0
            for folder in (*place.glob("*"), self.incoming(name, variant)):
                if folder.exists():
                    freed += size_of(folder)
                    _discard(folder)
            for empty in (place, place.parent):
                with suppress(OSError):  # it holds another variant, or was never there
                    empty.rmdir()
        return freed

    def registered(self) -> dict[str, Path]:
        """The user's own folders by the names that were given to them.

        Raises:
            StoreError: the list can't be read.
        """
        try:
            data = json.loads(self._registered.read_text(encoding="utf-8"))
            return {check_name(name): Path(str(path)) for name, path in data.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            raise StoreError(f"{str(self._registered)!r} can't be read: delete it") from error

    def register(self, name: str, folder: Path | None) -> None:
        """Give a name to a folder, or take the name away; the folder itself is never touched."""
        with self.lock("registered", "folders"):
            known = self.registered()
            known.pop(name, None)
            if folder is not None:
                known[check_name(name)] = folder.absolute()
            draft = self._registered.with_suffix(PART)
            draft.write_text(
                json.dumps({key: str(path) for key, path in known.items()}, indent=1), encoding="utf-8"
            )
            flush(draft)
            draft.replace(self._registered)

    def _write(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"can't write to {str(self.home)!r} ({error.strerror}): set PHI_EMULATOR_HOME to a folder of yours"
            ) from error


def _discard(folder: Path) -> None:
    """Delete a folder; its manifest first, so that it is no model any more whenever this is cut short."""
    try:
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(
            f"can't delete {str(folder)!r} ({error.strerror}): stop the emulator that serves it, then try again"
        ) from error


def flush(path: Path) -> None:
    """Write a file or folder through to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders, and keeps renames in its journal
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written where `folder` is or will be."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(there).free


def check_space(folder: Path, needed: int, free: Callable[[Path], int]) -> None:
    """Refuse to begin what the disk can't hold.

    Raises:
        StoreError: there is less room than `needed` bytes and a margin.
    """
    room = free(folder)
    if needed and room < needed + _MARGIN:
        raise StoreError(
            f"{str(folder)!r} has {human_size(room)} free and {human_size(needed)} are still to be written: "
            "make room, or set PHI_EMULATOR_HOME to a folder on another disk"
        )


def human_size(size: float) -> str:
    """Bytes for people, in powers of ten as disks are sold."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.{2 if unit == 'GB' else 1}f} {unit}"
    return f"{size:.0f} bytes"
