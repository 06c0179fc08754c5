"""The file that lets a `map` go on after an end that nobody planned: one JSON object a line, one line an item.

It must not know how items are asked, nor what a completion looks like: it keeps the wire's own object.

The first line names the format and where the answers come from. Each further line is an item: its position, a key
made of its prompt and options, and its completion or its error. A line is written in one piece when its item ends,
so a killed process loses nothing but a torn last line, which is cut off when the file is opened again. The file is
forced to the disk once a second and at the end: what a failing machine can lose is the last second.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from phi_client._call.errors import ConfigurationError
from phi_client._call.exchange import as_messages, fields_of

if TYPE_CHECKING:
    from phi_client._call.request_types import Message

__all__ = ["Checkpoint", "key_of"]

FORMAT: Final = "phi_client.map/1"
SYNC_S: Final = 1.0
_KEY_CHARACTERS: Final = 32
_BEGINNING: Final = json.dumps({"format": FORMAT})[:-1].encode()


def key_of(messages: str | Sequence[Message], body: Mapping[str, Any]) -> str:
    """What tells an item's prompt and options from any others."""
    listed = [fields_of(message) for message in as_messages(messages)]
    text = json.dumps([listed, dict(body)], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_CHARACTERS]


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
        self._synced_at: float | None = None
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
        except BaseException:
            self._file.close()
            raise

    def write(self, record: Mapping[str, Any]) -> None:
        """Add an item's line."""
        position = record["position"]
        self._append({"position": position, "key": self._keys[position], **record})

    def written(self) -> int:
        """Items that this run has added: by the file, because Ctrl-C may come between a line and whoever counts it."""
        self._file.flush()
        self._file.seek(self._begun)
        return sum(line.endswith(b"\n") for line in self._file)

    def needs_sync(self, now: float) -> bool:
        """Whether the disk is due."""
        if self._synced_at is None:
            self._synced_at = now
        return now - self._synced_at >= SYNC_S

    def sync(self, now: float) -> None:
        """Force what was written to the disk."""
        self._synced_at = now
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Force the rest to the disk and let others have the file."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def _append(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def _lock(self) -> None:
        try:
            import fcntl  # noqa: PLC0415  # not on Windows, where nothing keeps two processes apart
        except ImportError:
            return
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} is in use by another `map`: wait for it, or give another file"
            ) from error

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
        return records

    def _cut(self, good_end: int, number: int, line: bytes) -> None:
        """Cut off a torn last line; anything else that can't be read is not ours to throw away."""
        is_foreign = number == 0 and not _BEGINNING.startswith(line[: len(_BEGINNING)])
        if is_foreign or self._file.read(1):
            raise ConfigurationError(
                f"line {number + 1} of the checkpoint {str(self.path)!r} is no item of `map`: "
                "repair the line, or give another file"
            )
        self._file.truncate(good_end)
        self._file.seek(0, os.SEEK_END)

    def _check_head(self, record: Mapping[str, Any], hosts: Sequence[str]) -> None:
        if record.get("format") != FORMAT:
            raise ConfigurationError(
                f"{str(self.path)!r} is no checkpoint of this version of `map`: give another file"
            )
        made_by = cast("list[str]", record.get("hosts") or [])
        if not set(made_by) & set(hosts):
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} holds answers of {', '.join(made_by)}, and this client asks "
                f"{', '.join(hosts)}: give another file"
            )

    def _checked_position(self, record: Mapping[str, Any], number: int) -> int:
        position = record.get("position")
        if not isinstance(position, int) or not 0 <= position < len(self._keys):
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} holds the item {position!r} (line {number + 1}), and there are "
                f"{len(self._keys)} inputs: give the same inputs in the same order, or another file"
            )
        if record.get("key") != self._keys[position]:
            raise ConfigurationError(
                f"the checkpoint {str(self.path)!r} was made with another prompt or other options for the item "
                f"{position} (line {number + 1}): give the same inputs and options, or another file"
            )
        return position


def _object_in(line: bytes) -> dict[str, Any] | None:
    """The object in a whole line, or `None`."""
    if not line.endswith(b"\n"):
        return None
    try:
        value: object = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
