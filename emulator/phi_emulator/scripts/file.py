"""The file of a script: read with the places of its rules, and again once it has changed, whole or not at all.

It must not know what becomes of the rules.

A change is looked for when somebody asks. A file that was written just now is waited for, so that no half of one is
read, and so that two changes within a tick of the file system's clock are two.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from phi_emulator.documents import DocumentError, read_document
from phi_emulator.scripts.errors import ScriptError, script_error
from phi_emulator.scripts.rules import Script, read_script
from phi_emulator.scripts.traces import TRACES

__all__ = ["MOST_BYTES", "ScriptFile", "of_traces", "read_file"]

MOST_BYTES: Final = 4 * 2**20
"""How large a file may be."""
_SETTLED_S: Final = 0.03
_MOST_WAIT_S: Final = 1.0


class _Signature(NamedTuple):
    """What differs of a file once it was written."""

    modified_ns: int
    size: int
    inode: int


class ScriptFile:
    """A file, and what is wrong with it now, if something is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        """Why its last change was not taken; empty where it was."""
        self.reloads = 0
        """How many changes were taken."""
        self._seen: _Signature | None = None
        self._lock = threading.Lock()

    def read(self) -> Script:
        """What it holds now.

        Raises:
            ScriptError: it can't be read, or is no script.
        """
        with self._lock:
            self._seen = self._settled()
            return read_file(self.path)

    @property
    def has_changed(self) -> bool:
        """Whether there is something else than was read last. Cheap."""
        return _signature(self.path) != self._seen

    def reread(self, take: Callable[[Script], None]) -> bool:
        """Read it if it has changed, and hand it to `take`, which may raise a `ScriptError`; False if it hasn't.

        What is wrong with it is `trouble` then, and nothing is raised. Waits for who is writing; not for an event loop.
        """
        with self._lock:
            if not self.has_changed:
                return False
            found = self._settled()
            try:
                take(read_file(self.path))
            except ScriptError as error:
                self.trouble = str(error)
            else:
                self.trouble, self.reloads = "", self.reloads + 1
            # Last of all: whoever asks meanwhile waits for the change, too.
            self._seen = found
            return True

    def _settled(self) -> _Signature | None:
        """What it is once nobody has written to it for a moment, or once that was waited for long enough."""
        deadline = time.monotonic() + _MOST_WAIT_S
        while True:
            found = _signature(self.path)
            age = _SETTLED_S if found is None else time.time() - found.modified_ns / 1e9
            if not 0 <= age < _SETTLED_S or time.monotonic() > deadline:
                return found
            time.sleep(_SETTLED_S / 3)


def read_file(path: Path) -> Script:
    """The script in a TOML file, or in a JSON file whose name ends so.

    Raises:
        ScriptError: it can't be read, or is none. The message begins with file and line, as far as known.
    """

    try:
        document = read_document(path, MOST_BYTES)
    except DocumentError as error:
        raise script_error(error) from None
    try:
        return read_script(document.value).placed(document.places_of_tables("rule"))
    except ScriptError as error:
        raise document.placed(error) from None


def of_traces() -> Script:
    """A script of the canned traces: a message that names one gets it, and others get them in turn."""
    named = [{"contains": name, "trace": name} for name in TRACES]
    in_turn = {"answers": [{"trace": name} for name in TRACES], "repeat": True}
    return read_script({"rule": [*named, in_turn]}).placed(lambda _: "traces")


def _signature(path: Path) -> _Signature | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Signature(found.st_mtime_ns, found.st_size, found.st_ino)
