"""Pulls a model into the store: what is missing is fetched, everything is verified, the whole takes its place at once.

Knows the store and an object that fetches; it must not know HTTP, terminals or users.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from phi_emulator.models.durable import flush
from phi_emulator.models.store.manifest import BY_HUB, Manifest, ModelFile, chunks_of, sha256_of
from phi_emulator.models.store.names import PART
from phi_emulator.models.store.store import (
    Store,
    StoredModel,
    StoreError,
    check_space,
    free_bytes,
    human_size,
)

if TYPE_CHECKING:
    from phi_emulator.models.store.download import PullPlan, RemoteFile

__all__ = ["Fetcher", "Progress", "pull", "still_to_fetch"]


class Progress(Protocol):
    """Hears how work goes on, to show it."""

    def begin(self, text: str, total: int, done: int = 0) -> None:
        """A stage begins; `total` is its bytes, `done` those that were there before."""
        ...

    def advance(self, count: int) -> None:
        """So many bytes of it are done; a negative number were done in vain."""
        ...


class Fetcher(Protocol):
    """Brings the bytes of a file, as `download.Hub` does."""

    def fetch(self, plan: PullPlan, file: RemoteFile, part: Path, advance: Callable[[int], None]) -> str: ...


def still_to_fetch(store: Store, plan: PullPlan) -> int:
    """Bytes that a pull has to fetch, given what an earlier one left."""
    incoming = store.incoming(plan.entry.name, plan.variant.name)
    have = 0
    for file in plan.files:
        for path in (incoming / file.path, part_of(incoming, file)):
            have += min(path.stat().st_size, file.size) if path.is_file() else 0
    return max(plan.size - have, 0)


def pull(
    store: Store,
    plan: PullPlan,
    fetcher: Fetcher,
    progress: Progress,
    *,
    free: Callable[[Path], int] = free_bytes,
) -> tuple[StoredModel, bool]:
    """Bring the model of `plan` into the store; also whether anything had to be fetched.

    A model that is here at the same commit, or that nobody vouches for, is compared with what the hub lists, and only
    files that differ are fetched. `free` tells the bytes that may be written in a folder.

    Raises:
        StoreError: there is no room, another process pulls the same, or the fetcher gives up. What came is kept.
    """
    name, variant = plan.entry.name, plan.variant.name
    with store.lock(name, variant):
        held = store.held(name, variant)
        if held is not None and (held.manifest.revision == plan.revision or not held.is_trusted):
            progress.begin("comparing what is here with the hub", plan.size)
            if _is_the_hubs(held, plan, progress):
                store.sweep(held)
                return held, False
            store.take_back(held)
        incoming = store.incoming(name, variant)
        try:
            incoming.mkdir(parents=True, exist_ok=True)
            done = _sift(incoming, plan, progress)
            missing = still_to_fetch(store, plan)
            check_space(incoming, missing, free)
            progress.begin(f"downloading {len(plan.files)} files", plan.size, plan.size - missing)
            for file in plan.files:
                part = part_of(incoming, file)
                if file.path not in done:
                    done[file.path] = fetcher.fetch(plan, file, part, progress.advance)
                    part.replace(incoming / file.path)
            files = tuple(ModelFile(file.path, file.size, done[file.path]) for file in plan.files)
            return store.place(_manifest(plan, files)), missing > 0
        except OSError as error:
            rest = human_size(still_to_fetch(store, plan))
            raise StoreError(
                f"can't write to {str(incoming)!r} ({error.strerror or error}), {rest} are missing: make room, "
                "or set PHI_EMULATOR_HOME to a folder on another disk, then pull again"
            ) from error


def part_of(incoming: Path, file: RemoteFile) -> Path:
    """Where a file grows. Its hash is in the name, so that two versions of a file never mix."""
    return incoming / f"{file.path}.{(file.sha256 or file.git_sha1)[:12]}{PART}"


def _is_the_hubs(held: StoredModel, plan: PullPlan, progress: Progress) -> bool:
    """Whether a model is what the hub lists, to the last byte, and says so of itself."""
    listed = {file.path: file.size for file in plan.files}
    if {file.path: file.size for file in held.manifest.files} != listed or held.damage():
        return False
    files: list[ModelFile] = []
    for file in plan.files:
        sha256 = _sha256_of_right(held.folder / file.path, file, progress)
        if sha256 is None:
            return False
        files.append(ModelFile(file.path, file.size, sha256))
    return held.manifest == replace(_manifest(plan, tuple(files)), placed_ns=held.manifest.placed_ns)


def _sift(incoming: Path, plan: PullPlan, progress: Progress) -> dict[str, str]:
    """Verify what an earlier pull left, delete what is not wanted; the SHA-256 of each file that is right.

    What is here may be from a mirror that listed other files, so a folder may stand where a file is to be.
    """
    done: dict[str, str] = {}
    wanted = {incoming / file.path: file for file in plan.files}
    parts = {part_of(incoming, file) for file in plan.files}
    folders = {folder for path in wanted for folder in path.parents}
    for path in sorted(incoming.rglob("*")):
        is_link = path.is_symlink()
        if path.is_dir() and not is_link:
            if path not in folders:
                shutil.rmtree(path)
            continue
        if path in parts and path.is_file() and not is_link:
            continue
        file = wanted.get(path)
        if file is not None and path.is_file() and not is_link and path.stat().st_size == file.size:
            progress.begin(f"verifying {file.path}", file.size)
            sha256 = _sha256_of_right(path, file, progress)
            if sha256 is not None:
                flush(path)
                done[file.path] = sha256
                continue
        path.unlink(missing_ok=True)
    return done


def _sha256_of_right(path: Path, file: RemoteFile, progress: Progress) -> str | None:
    """The SHA-256 of a file that is what the hub lists."""
    sha256 = sha256_of(path, progress.advance)
    is_right = sha256 == file.sha256 or (file.sha256 is None and _git_sha1(path) == file.git_sha1)
    return sha256 if is_right else None


def _git_sha1(path: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    for chunk in chunks_of(path):
        digest.update(chunk)
    return digest.hexdigest()


def _manifest(plan: PullPlan, files: tuple[ModelFile, ...]) -> Manifest:
    return Manifest(
        name=plan.entry.name,
        variant=plan.variant.name,
        description=plan.entry.description,
        licence=plan.entry.licence,
        execution_provider=plan.variant.execution_provider,
        repository=plan.entry.repository,
        revision=plan.revision,
        files=files,
        hashes_from=BY_HUB,
    )
