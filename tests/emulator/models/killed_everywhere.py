"""Kills a process at each of its file operations in a store, one after the other, and looks at what is left.

A program of its own, because it forks, which a process with threads must not. It prints how many times it killed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from phi_emulator.models.store.archive import export_model, import_model
from phi_emulator.models.store.catalog import PHI_4_MINI_REASONING as ENTRY
from phi_emulator.models.store.download import PullPlan, RemoteFile
from phi_emulator.models.store.pull import pull
from phi_emulator.models.store.store import Store

CPU = ENTRY.variants[0]
OPERATIONS = ("open", "os.rename", "os.mkdir", "os.truncate")
DELETIONS = ("os.remove", "os.rmdir")
MOST = 400


class Silent:
    def begin(self, text: str, total: int, done: int = 0) -> None:
        pass

    def advance(self, count: int) -> None:
        pass


class Writer:
    """Fetches files that it makes up, in pieces."""

    def __init__(self, text: str) -> None:
        self.contents = {name: f"{name} of {text}".encode() * 3 for name in ("a", "b", "c/d")}

    def plan(self, revision: str) -> PullPlan:
        files = tuple(
            RemoteFile(name, len(body), hashlib.sha256(body).hexdigest(), "")
            for name, body in self.contents.items()
        )
        return PullPlan(ENTRY, CPU, revision, files)

    def fetch(self, plan: PullPlan, file: RemoteFile, part: Path, advance: Callable[[int], None]) -> str:
        body = self.contents[file.path]
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out:
            for start in range(out.tell(), len(body), 7):
                out.write(body[start : start + 7])
        return hashlib.sha256(part.read_bytes()).hexdigest()


def dies_at(number: int, home: Path, work: Callable[[], object]) -> bool:
    """Do `work` in a process that is killed at its operation of that number; false if it has fewer."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            # Inside `rmtree` names are relative to a folder's descriptor.
            if event in DELETIONS or (event in OPERATIONS and str(arguments[0]).startswith(str(home))):
                seen += 1
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"operation {number} ended with {status}"
    return status != 0


def main(scratch: Path) -> int:
    """Try each work on a store that holds an older model; what is found must be whole, and one of the two."""
    old, new = Writer("old"), Writer("new")
    start, archive = scratch / "start", scratch / "new.tar"
    pull(Store(start), old.plan("1"), old, Silent())
    other, _ = pull(Store(scratch / "other"), new.plan("2"), new, Silent())
    export_model(other, archive, Silent())
    content = other.manifest.content
    home = scratch / "home"
    works: dict[str, tuple[Callable[[], object], set[str]]] = {
        "pull": (lambda: pull(Store(home), new.plan("2"), new, Silent()), {"1", "2"}),
        "import": (lambda: import_model(Store(home), archive, Silent(), content=content), {"1", "2"}),
        "remove": (lambda: Store(home).remove(ENTRY.name, CPU.name), {"1", ""}),
    }
    kills = 0
    for name, (work, allowed) in works.items():
        for number in range(1, MOST):
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(start, home)
            was_killed = dies_at(number, home, work)
            found = Store(home).find(ENTRY.name)
            assert (found.manifest.revision if found else "") in allowed, f"{name}, operation {number}"
            assert found is None or found.verify() == [], f"{name}, operation {number}"
            whole, _ = pull(Store(home), new.plan("2"), new, Silent())
            assert whole.verify() == [], f"{name}, operation {number}"
            left = {path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"}
            assert len(left) == len(new.contents) + 1, f"{name}, operation {number} leaves {left}"
            if not was_killed:
                break
            kills += 1
    return kills


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
