"""Speaks with the Hugging Face hub, or with a mirror of it: what a model consists of, and the bytes of its files.

The only importer of `huggingface_hub` and of the HTTP library beneath it. It must not know the store. From
`huggingface_hub` come addresses, tokens (`HF_TOKEN`), `HF_ENDPOINT`, `HF_HUB_OFFLINE`, proxies, certificates and the
reading of the hub's errors. The loop that reads a file is ours: `hf_hub_download` throws away what it has when it is
interrupted, and 5 GB are worth going on with.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, TypeVar
from urllib.parse import urlsplit

from phi_emulator.models.durable import flush
from phi_emulator.models.printable import printable
from phi_emulator.models.store.catalog import CatalogEntry, Variant
from phi_emulator.models.store.names import ManifestError, check_path, check_paths
from phi_emulator.models.store.store import StoreError

# Without it, `huggingface_hub` asks the hub for a list of programs to look for, and tells it which of them runs here.
# It reads the environment once, when it is imported.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import httpx
from huggingface_hub import HfApi, close_session, constants, get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported at run time

__all__ = ["Hub", "HubError", "PullPlan", "RemoteFile"]

_CHUNK: Final = 1 << 20
_API_TIMEOUT_S: Final = 30.0
_LONGEST_WAIT_S: Final = 300
_US: Final = "phi-emulator"
_MOST_FILES: Final = 4096
_LARGEST: Final = 1 << 50
_COMMIT: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_TRANSIENT: Final = (408, 429, 500, 502, 503, 504)
_KEPT: Final = "what came is kept, and `phi-emulator models pull` goes on from there"
_MIRROR: Final = "or name a mirror in `HF_ENDPOINT`"
_IMPORT: Final = "or carry the model over with `phi-emulator models export` and `import`"

T = TypeVar("T")


class HubError(StoreError):
    """The hub gives no answer that can be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub lists it."""

    path: str
    """Relative to the variant's folder."""
    size: int
    sha256: str | None
    """Of files that are kept apart from the repository, which the large ones are."""
    git_sha1: str
    """Git's hash, for the others."""


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a pull is going to fetch."""

    entry: CatalogEntry
    variant: Variant
    revision: str
    """The commit that the catalog's revision stands for now."""
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(slots=True)
class Hub:
    """The hub at `endpoint`; without it the one that `HF_ENDPOINT` names, or huggingface.co.

    A request that fails is tried again `retries` times, and anew once bytes have come; `sleep` waits in between.
    """

    endpoint: str = field(default_factory=lambda: constants.ENDPOINT)
    retries: int = 5
    sleep: Callable[[float], None] = time.sleep
    _was_reached: bool = field(default=False, init=False)

    def close(self) -> None:
        """Close its connections; the process does that too when it ends."""
        close_session()

    def plan(self, entry: CatalogEntry, variant: Variant, revision: str | None = None) -> PullPlan:
        """Ask what the variant consists of at the catalog's revision, or at another one.

        Raises:
            HubError: the hub can't be reached, refuses, or lists what can't be used.
        """
        api = HfApi(endpoint=self.endpoint, library_name=_US)
        repository = entry.repository

        def ask() -> tuple[str, list[RepoFile]]:
            wanted = revision or entry.revision
            commit = api.model_info(repository, revision=wanted, timeout=_API_TIMEOUT_S).sha
            listed = api.list_repo_tree(
                repository, path_in_repo=variant.folder, recursive=True, revision=commit
            )
            self._was_reached = True
            return commit or "", [
                item for item in islice(listed, _MOST_FILES + 1) if isinstance(item, RepoFile)
            ]

        commit, listed = self._retrying(ask, repository)
        try:
            files = _remote_files(commit, listed, variant.folder)
        except (ManifestError, ValueError, TypeError) as error:
            raise HubError(
                f"{self._host} lists what no model folder holds: {printable(str(error), 300)}"
            ) from error
        if not commit or not files:
            raise HubError(
                f"{self._host} lists no files in `{variant.folder}` of `{repository}`: choose another variant"
            )
        return PullPlan(entry, variant, commit, files)

    def fetch(self, plan: PullPlan, file: RemoteFile, part: Path, advance: Callable[[int], None]) -> str:
        """Bring `part` to the whole file, going on from what it holds; return its SHA-256.

        `advance` hears how many bytes came, a negative number where it has to begin again.

        Raises:
            HubError: the hub can't be reached, refuses, or sends other bytes than it listed. In the last case `part`
                is emptied, else it stays for the next time.
            OSError: the disk can't take the bytes.
        """
        url = hf_hub_url(
            plan.entry.repository,
            str(PurePosixPath(plan.variant.folder) / file.path),
            revision=plan.revision,
            endpoint=self.endpoint,
        )
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("a+b") as out:
            growing = _Growing(out, file, advance)
            was_begun = growing.size > 0
            self._retrying(lambda: self._read_into(growing, url), plan.entry.repository, growing)
            if was_begun and not growing.is_right():
                # What an earlier run left may have been wrong, so the hub gets a second chance.
                growing.restart()
                self._retrying(lambda: self._read_into(growing, url), plan.entry.repository, growing)
            if not growing.is_right():
                growing.restart()
                raise HubError(
                    f"the bytes of `{file.path}` from {self._host} are not those that it lists: run "
                    "`phi-emulator models pull` again; if that repeats, the mirror or a proxy changes them"
                )
        flush(part)
        return growing.sha256

    def _read_into(self, growing: _Growing, url: str) -> None:
        """Ask for what is missing and append it."""
        offset = growing.size
        if growing.is_full():
            return
        headers = build_hf_headers(library_name=_US)
        headers["Accept-Encoding"] = "identity"  # the bytes on the wire are counted
        if offset:
            headers["Range"] = f"bytes={offset}-"
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
            if offset and not _continues(response, offset):
                growing.restart()
            hf_raise_for_status(response)
            self._was_reached = True
            for chunk in response.iter_bytes():  # as they come: what waits in a buffer would be lost
                growing.append(chunk)
                if growing.is_full():
                    return
        raise httpx.RemoteProtocolError("the body ended early")

    def _retrying(self, attempt: Callable[[], T], repository: str, growing: _Growing | None = None) -> T:
        """Repeat what may succeed later, longer and longer apart; bytes that came start the count anew."""
        failures, seen = 0, -1
        while True:
            try:
                return attempt()
            except (httpx.HTTPError, OfflineModeIsEnabled) as error:
                size = growing.size if growing else 0
                failures = 1 if size > seen >= 0 else failures + 1
                seen = size
                if failures > self.retries or not self._may_pass(error):
                    raise HubError(self._explain(error, repository)) from error
                self.sleep(_wait_s(error, failures))

    def _may_pass(self, error: Exception) -> bool:
        if isinstance(error, HfHubHTTPError):
            return error.response.status_code in _TRANSIENT
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return self._was_reached  # who is offline wants to hear it at once
        return isinstance(error, (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError))

    def _explain(self, error: Exception, repository: str) -> str:
        """What happened and what to do; never the hub's own text, which may hold a signed address."""
        host = self._host
        if isinstance(error, OfflineModeIsEnabled):
            return f"`HF_HUB_OFFLINE` is set, so nothing is asked for: unset it, {_IMPORT}"
        if isinstance(error, HfHubHTTPError):
            return _explain_status(error, host, repository)
        if isinstance(error, httpx.UnsupportedProtocol):
            return "`HF_ENDPOINT` is no address: give one that begins with https://"
        what = type(error).__name__
        if isinstance(error, httpx.ProxyError):
            return f"the proxy gives no way to {host}: check `HTTPS_PROXY` and `NO_PROXY`, {_IMPORT}"
        if self._was_reached:
            return f"the connection to {host} breaks again and again ({what}): try again later; {_KEPT}"
        return f"can't reach {host} ({what}): check the network and `HTTPS_PROXY`, {_MIRROR}, {_IMPORT}"

    @property
    def _host(self) -> str:
        # Not the whole address, which may hold a password.
        return urlsplit(self.endpoint).hostname or "the hub"


class _Growing:
    """A file on its way to being whole, with its hashes."""

    def __init__(self, out: BinaryIO, file: RemoteFile, advance: Callable[[int], None]) -> None:
        self._out = out
        self._file = file
        self._advance = advance
        self.size = 0
        self._begin_hashes()
        out.seek(0)
        while chunk := out.read(_CHUNK):
            self._hash(chunk)

    def is_full(self) -> bool:
        return self.size >= self._file.size

    def is_right(self) -> bool:
        known = self._file.sha256
        found = self.sha256 == known if known is not None else self._git.hexdigest() == self._file.git_sha1
        return found and self.size == self._file.size

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def append(self, chunk: bytes) -> None:
        self._out.write(chunk)
        self._hash(chunk)
        self._advance(len(chunk))

    def restart(self) -> None:
        self._out.truncate(0)
        self._advance(-self.size)
        self.size = 0
        self._begin_hashes()

    def _begin_hashes(self) -> None:
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % self._file.size, usedforsecurity=False)

    def _hash(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._sha256.update(chunk)
        if self._file.sha256 is None:
            self._git.update(chunk)


def _explain_status(error: HfHubHTTPError, host: str, repository: str) -> str:
    status = error.response.status_code
    if isinstance(error, GatedRepoError) or status == HTTPStatus.FORBIDDEN:
        page = f"https://huggingface.co/{repository}"
        return f"{host} refuses `{repository}`: accept its conditions at {page}, then set `HF_TOKEN`"
    if isinstance(error, RevisionNotFoundError):
        return f"`{repository}` on {host} has no such revision: leave `--revision` out"
    if isinstance(error, RemoteEntryNotFoundError):
        return f"`{repository}` on {host} has no such folder or file any more: pull again"
    if isinstance(error, RepositoryNotFoundError) or status == HTTPStatus.UNAUTHORIZED:
        return (
            f"{host} has no `{repository}`, or not for everybody: "
            "check `HF_TOKEN` (set it, or unset one that has expired) and `HF_ENDPOINT`"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return f"{host} takes no more requests for now: wait some minutes, or set `HF_TOKEN`; {_KEPT}"
    return f"{host} answers {status}: try again later; {_KEPT}"


def _continues(response: httpx.Response, offset: int) -> bool:
    """Whether the body begins at `offset`; a server may ignore that it was asked to."""
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        return str(response.headers.get("Content-Range")).startswith(f"bytes {offset}-")
    return (
        response.status_code >= HTTPStatus.BAD_REQUEST
        and response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    )


def _wait_s(error: Exception, failures: int) -> float:
    if isinstance(error, HfHubHTTPError):
        asked = error.response.headers.get("Retry-After", "")
        if asked.isdecimal():
            return float(min(int(asked), _LONGEST_WAIT_S))
    return float(2 ** (failures - 1))


def _remote_files(commit: str, listed: list[RepoFile], folder: str) -> tuple[RemoteFile, ...]:
    """The files of a listing.

    Raises:
        ValueError: no model folder holds such files.
    """
    if len(listed) > _MOST_FILES or (commit and not _COMMIT.fullmatch(commit)):
        raise ManifestError("too many files, or a commit that is none")
    files = tuple(_remote_file(item, folder) for item in listed)
    check_paths(file.path for file in files)
    return files


def _remote_file(item: RepoFile, folder: str) -> RemoteFile:
    path = check_path(str(PurePosixPath(item.path).relative_to(folder)))
    sha256, git_sha1 = item.lfs.sha256 if item.lfs else None, str(item.blob_id)
    # They become part of a file's name while it grows.
    if not (_SHA1.fullmatch(git_sha1) if sha256 is None else _SHA256.fullmatch(sha256)):
        raise ManifestError(f"{path!r} has no hash")
    if type(item.size) is not int or not 0 <= item.size <= _LARGEST:
        raise ManifestError(f"{path!r} has no size")
    return RemoteFile(path, item.size, sha256, git_sha1)
