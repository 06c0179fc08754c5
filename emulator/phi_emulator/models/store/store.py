"""The store: a folder of this machine with models that were pulled or imported, and names for folders elsewhere.

    models/NAME/VARIANT/IDENTITY/   a whole model: its files and its manifest
    incoming/NAME--VARIANT/         what a pull or an import has so far; nobody loads from here
    registered.json                 names of folders that are the user's own

A model is in the store if and only if its manifest is at its place, and it comes there by one rename, after each file
was verified and written through to the disk. So a process that is killed at any moment leaves either nothing or a whole
model. A name of the catalog finds only files whose hashes the catalog, the hub or the user gave. Knows files alone; it
must not know how they are fetched.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import platformdirs

from phi_emulator.models.durable import flush, make_folders, move_file, move_folder
from phi_emulator.models.store.catalog import CATALOG
from phi_emulator.models.store.manifest import MANIFEST, Manifest, sha256_of
from phi_emulator.models.store.names import PART, ManifestError, check_name
from phi_emulator.models.strict_json import object_of, read_json

__all__ = [
    "PART",
    "Partial",
    "Store",
    "StoreError",
    "StoredModel",
    "Unreadable",
    "check_space",
    "expanded",
    "flush",
    "free_bytes",
    "human_size",
    "is_folder",
]

_MARGIN: Final = 64 << 20
"""Bytes of disk to leave free."""


class StoreError(Exception):
    """The store can't do what was asked; the message says what to do."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in the store."""

    manifest: Manifest
    folder: Path

    @property
    def is_trusted(self) -> bool:
        """Whether it may bear its name: those of the catalog belong to verified files."""
        return self.manifest.is_verified or self.manifest.name not in CATALOG

    def damage(self) -> list[str]:
        """What can be seen without reading the files: those that are missing or have another size."""
        found: list[str] = []
        for file in self.manifest.files:
            path = self.folder / file.path
            try:
                size = path.stat().st_size if path.is_file() else None
            except OSError as error:
                found.append(f"{file.path} can't be read ({error.strerror})")
                continue
            if size is None:
                found.append(f"{file.path} is missing")
            elif size != file.size:
                found.append(f"{file.path} has {size} bytes instead of {file.size}")
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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands at a model's place and is none."""

    name: str
    variant: str
    reason: str


class Store:
    """The models under `home`; without it in the user's data folder of this platform.

    Nothing is written before something is put into it. `clock` tells nanoseconds since 1970.

    Raises:
        StoreError: `home` is in the home folder of nobody.
    """

    def __init__(self, home: str | Path | None = None, *, clock: Callable[[], int] = time.time_ns) -> None:
        default = platformdirs.user_data_path("phi-emulator", appauthor=False)
        self.home = expanded(Path(home)).absolute() if home else default
        self._models = self.home / "models"
        self._incoming = self.home / "incoming"
        self._registered = self.home / "registered.json"
        self._clock = clock

    def models(self) -> list[StoredModel]:
        """The models that are here, by name, with those that may not bear it."""
        newest: dict[str, StoredModel] = {}
        for found in self._scan():
            if isinstance(found, StoredModel):
                held = newest.setdefault(found.manifest.reference, found)
                if held.manifest.placed_ns < found.manifest.placed_ns:
                    newest[found.manifest.reference] = found
        return list(newest.values())

    def unreadable(self) -> list[Unreadable]:
        """What stands at the places of models with a manifest that can't be used."""
        return [found for found in self._scan() if isinstance(found, Unreadable)]

    def _scan(self) -> Generator[StoredModel | Unreadable]:
        for path in sorted(self._models.glob(f"*/*/*/{MANIFEST}")):
            variant, name = path.parents[1].name, path.parents[2].name
            try:
                check_name(name)
                check_name(variant)
            except ManifestError:
                continue  # nothing here makes such folders
            try:
                manifest = Manifest.from_data(read_json(path))
                is_its_own = (manifest.name, manifest.variant) == (name, variant)
                if not is_its_own or path.parent.name != manifest.identity:
                    raise ManifestError("it is the manifest of another model")
                yield StoredModel(manifest, path.parent)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                yield Unreadable(name, variant, reason or "it can't be read")

    def find(self, name: str, variant: str | None = None) -> StoredModel | None:
        """The model of that name; without `variant` the first that is here."""
        held = self.held(name, variant)
        return held if held is not None and held.is_trusted else None

    def held(self, name: str, variant: str | None = None) -> StoredModel | None:
        """As `find`, but also a model that may not bear the name: to delete it, or to compare it with the hub."""
        for model in self.models():
            if model.manifest.name == name and variant in (None, model.manifest.variant):
                return model
        return None

    def partials(self) -> list[Partial]:
        """The pulls that did not end, among them those that are running."""
        found: list[Partial] = []
        for path in sorted(self._incoming.glob("*--*")):
            name, _, variant = path.name.partition("--")
            with suppress(ManifestError):  # nothing here makes such folders
                found.append(Partial(check_name(name), check_name(variant), size_of(path)))
        return found

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
        with self._writing():
            make_folders(path.parent)
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
        placed = StoredModel(manifest, folder)
        if not placed.is_trusted:
            raise StoreError(f"`{manifest.name}` belongs to verified files: give another name")
        path = incoming / MANIFEST
        path.write_text(manifest.to_json(), encoding="utf-8")
        flush(path)
        if folder.exists():
            _discard(folder)
        with self._writing():
            move_folder(incoming, folder)
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
        with self._writing():
            make_folders(incoming.parent)
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
            known = _registered_names(read_json(self._registered))
            return {name: path for name, path in known.items() if name not in CATALOG}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
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
            move_file(draft, self._registered)

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
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


def _registered_names(data: object) -> dict[str, Path]:
    """The names in a list of them.

    Raises:
        ValueError: it is none.
    """
    known = object_of(data)
    if known is None or not all(isinstance(path, str) for path in known.values()):
        raise ManifestError("it is no list of names")
    return {check_name(name): Path(path) for name, path in known.items()}


def expanded(path: Path) -> Path:
    """A path with the user's home folder in the place of `~`.

    Raises:
        StoreError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise StoreError(
            f"{str(path)!r} begins with the home folder of nobody: write the whole path"
        ) from error


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a path that no system can look for is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; files may come and go meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
    return size


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
