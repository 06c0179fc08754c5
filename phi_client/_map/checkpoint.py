"""The file that lets a `map` go on after an end that nobody planned: one JSON object a line, one line an item.

It must not know how items are asked, nor what a completion looks like: it keeps the wire's own object.

The first line names the format and where the answers come from. Each further line is an item: its position, its key
and its completion or its error. A line is written in one piece when its item ends, so a killed process loses nothing
but a torn last line, which is cut off when the file is opened again. What a failing machine can lose is what was not
forced to the disk: whoever writes the first line after a `sync` is told to see to the next. Safe to use from threads.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from phi_client._call.errors import ConfigurationError

__all__ = ["SYNC_S", "Checkpoint"]

FORMAT: Final = "phi_client.map/2"
_FORMATS: Final = "phi_client.map/"
SYNC_S: Final = 0.5
"""How long an answer may be in the system's hands only; with the time that a disk takes, it is there in a second."""
_BEGINNING: Final = json.dumps({"format": FORMAT})[:-1].encode()


class Checkpoint:
    """An open checkpoint; `records` are the answered items of earlier runs by position.

    Args:
        path: the file; it is made when it isn't there.
        keys: the key of each item.
        hosts: where answers come from. A file of other hosts is refused: answers of an emulator must not pass for
            those of a deployment.

    Raises:
        ConfigurationError: the file can't be used for these items; the message says why.
    """

    def __init__(self, path: str | os.PathLike[str], keys: Sequence[str], hosts: Sequence[str]) -> None:
        self.path = Path(path)
        self._keys = keys
        self._unsafe = self._safe = 0
        self._is_seen_to = False
        self._lines = threading.Lock()
        self._disk = threading.Lock()
        try:
            self._file: BinaryIO = self.path.open("a+b")
        except OSError as error:
            raise ConfigurationError(
                f"the checkpoint {str(path)!r} can't be opened: {error.strerror}"
            ) from error
        try:
            self._lock()
            self.records = self._read(hosts)
            self._begun = self._file.seek(0, os.SEEK_END)
        except OSError as error:
            self._file.close()
            raise ConfigurationError(
                f"the checkpoint {str(path)!r} can't be written: {error.strerror}"
            ) from error
        except BaseException:
            self._file.close()
            raise

    def __repr__(self) -> str:
        return f"<Checkpoint {str(self.path)!r}: {len(self.records)} answers of earlier runs>"

    def write(self, record: Mapping[str, Any]) -> bool:
        """Add an item's line. True when it is the caller who has to `sync` it before `SYNC_S` has passed.

        Raises:
            OSError: the system does not take it; the file is as it was.
        """
        position = record["position"]
        line = {"position": position, "key": self._keys[position], **record}
        with self._lines:
            if self._file.closed:
                return False
            self._append(line)
            self._unsafe += 1
            # An item that failed is sent again anyway.
            is_first = "completion" in line and not self._is_seen_to
            self._is_seen_to = self._is_seen_to or is_first
            return is_first

    def written(self) -> int:
        """Items that this run has added: by the file, because Ctrl-C may come between a line and whoever counts it."""
        self._file.seek(self._begun)
        return sum(line.endswith(b"\n") for line in self._file)

    @property
    def safe(self) -> int:
        """Items that this run has added and the disk has, for all that is known."""
        return self._safe

    def sync(self) -> None:
        """Force what was written to the disk.

        Raises:
            OSError: the disk failed; what it has is not known.
        """
        with self._disk:
            with self._lines:
                if self._file.closed:
                    return
                taken, self._unsafe, self._is_seen_to = self._unsafe, 0, False
            if taken:
                os.fsync(self._file.fileno())
                self._safe += taken

    def close(self) -> None:
        """Force the rest to the disk, as far as it goes, and let others have the file."""
        with suppress(OSError):
            self.sync()
        with self._disk, self._lines:
            if not self._file.closed:
                self._unlock()
                with suppress(OSError):
                    self._file.close()

    def _append(self, record: Mapping[str, Any]) -> None:
        """Write around the file's buffer, which would offer a line that failed again."""
        descriptor = self._file.fileno()
        before = os.fstat(descriptor).st_size
        left = memoryview(json.dumps(record).encode() + b"\n")
        try:
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise

    def _lock(self) -> None:
        try:
            import fcntl  # noqa: PLC0415  # not on Windows, where nothing keeps two processes apart
        except ImportError:
            return
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} is in use by another `map`: wait for it, or give another file"
            ) from error
        except OSError:
            # Some network's file systems know no locks.
            return

    def _unlock(self) -> None:
        """Let go by name: a forked child has the file too, and would keep the lock."""
        with suppress(ImportError, OSError):
            import fcntl  # noqa: PLC0415  # see above

            fcntl.flock(self._file.fileno(), fcntl.LOCK_UN)

    def _read(self, hosts: Sequence[str]) -> dict[int, dict[str, Any]]:
        self._file.seek(0)
        records: dict[int, dict[str, Any]] = {}
        good_end = 0
        for number, line in enumerate(self._file):
            record = _object_in(line)
            if record is None:
                self._cut(good_end, number, line)
                break
            if number == 0:
                self._check_head(record, hosts)
            else:
                position = self._checked_position(record, number)
                if "completion" in record:
                    records[position] = record
            good_end += len(line)
        if good_end == 0:
            self._append({"format": FORMAT, "hosts": list(hosts)})
            os.fsync(self._file.fileno())
            self._sync_folder()
        return records

    def _sync_folder(self) -> None:
        """Force the name of a new file to the disk too, where a folder can be opened."""
        with suppress(OSError, AttributeError):
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _cut(self, good_end: int, number: int, line: bytes) -> None:
        """Cut off a torn last line; anything else that can't be read is not ours to throw away."""
        is_foreign = number == 0 and not _BEGINNING.startswith(line[: len(_BEGINNING)])
        if is_foreign or self._file.read(1):
            raise ConfigurationError(
                f"line {number + 1} of the checkpoint {str(self.path)!r} is no item of `map`: "
                "repair the line, or give another file"
            )
        os.ftruncate(self._file.fileno(), good_end)
        self._file.seek(0, os.SEEK_END)

    def _check_head(self, record: Mapping[str, Any], hosts: Sequence[str]) -> None:
        made_as = record.get("format")
        if isinstance(made_as, str) and made_as.startswith(_FORMATS) and made_as != FORMAT:
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} has the format {made_as!r} of another version of this package, "
                f"which can't tell for which model its answers are (this one writes {FORMAT!r}): finish it with "
                "that version, or give another file"
            )
        if made_as != FORMAT:
            raise ConfigurationError(f"{str(self.path)!r} is no checkpoint of `map`: give another file")
        made_by = cast("list[str]", record.get("hosts") or [])
        if not set(made_by) & set(hosts):
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} holds answers of {', '.join(made_by)}, and this client asks "
                f"{', '.join(hosts)}: give another file"
            )

    def _checked_position(self, record: Mapping[str, Any], number: int) -> int:
        position = record.get("position")
        if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < len(self._keys):
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} holds the item {position!r} (line {number + 1}), and there are "
                f"{len(self._keys)} inputs: give the same inputs in the same order, or another file"
            )
        if record.get("key") != self._keys[position]:
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} was made with another prompt or other options, or asked another "
                f"model, deployment or API version, for the item {position} (line {number + 1}): give the same, or "
                "another file"
            )
        return position


def _object_in(line: bytes) -> dict[str, Any] | None:
    """The object in a whole line, or `None`."""
    if not line.endswith(b"\n"):
        return None
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
