"""Which names models and their files may have: those that every platform's file system takes as they are.

It must not know models. Names come from users, from archives and from hubs, and become folders and files, so they are
checked before anybody uses them, and by the same rule on every platform: an archive made on one is imported on another.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

__all__ = ["GRAPHS", "MANIFEST", "PART", "ManifestError", "check_name", "check_path", "check_paths"]

MANIFEST: Final = "phi-emulator.json"
"""The manifest's own file name, beside the files that it lists."""
PART: Final = ".part"
"""The ending of a file that is not whole yet."""
GRAPHS: Final = ".phi-emulator"
"""The folder of prepared graphs beside a model's files: made on this machine, and never taken from elsewhere."""
# Two hyphens stand between name and variant where both are in one file name.
_NAME: Final = re.compile(r"(?!.*--)[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9_-])?")
_RESERVED: Final = frozenset('\\:*?"<>|')
# Of Windows, with any ending and in any case: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"]
)
_LONGEST_PART: Final = 200
"""Bytes of one name in a path: file systems hold 255, and an unfinished download adds an ending."""
_LONGEST_PATH: Final = 400
_DEEPEST: Final = 8


class ManifestError(ValueError):
    """A manifest, or a name or path in one, can't be used."""


def check_name(name: str) -> str:
    """`name`, if it can be the name of a model or variant, which is also a folder's.

    Raises:
        ManifestError: it can't.
    """
    if not _NAME.fullmatch(name):
        raise ManifestError(
            f"{name[:80]!r} can't be a name: use a-z, 0-9, `.`, `_` and single `-`, at most 64 of them, "
            "and no `.` at the end"
        )
    if _is_device(name):
        raise ManifestError(f"{name!r} can't be a name: Windows takes it for a device")
    return name


def check_path(path: str) -> str:
    """`path`, if it is relative and stays inside the folder it is relative to.

    Raises:
        ManifestError: it leaves the folder, or is no path on some platform.
    """
    parts = path.split("/")
    fits = len(path) <= _LONGEST_PATH and len(parts) <= _DEEPEST
    if not fits or not all(map(_is_part, parts)) or path.casefold() == MANIFEST:
        raise ManifestError(f"{path[:80]!r} is no path that a model's file may have")
    return path


def check_paths(paths: Iterable[str]) -> None:
    """Whether paths go side by side on every file system: none of them is another one, or a folder of another one.

    Raises:
        ManifestError: two of them don't.
    """
    files: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        # Windows and macOS tell neither cases nor ways to write an accent apart.
        same = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
        above = {str(folder) for folder in PurePosixPath(same).parents} - {"."}
        if same in files or same in folders or above & files:
            raise ManifestError(f"{path!r} is in the way of another file")
        files.add(same)
        folders |= above


def _is_part(part: str) -> bool:
    """Whether a file or folder may be called so."""
    return (
        part.casefold() not in ("", GRAPHS)
        and part.isprintable()  # which no surrogate, control or format character is
        and not _RESERVED.intersection(part)
        and part[-1] not in " ."  # nor is it `.` or `..` then
        and part[0] != " "
        and not part.casefold().endswith(PART)
        and not _is_device(part)
        and len(part.encode()) <= _LONGEST_PART
    )


def _is_device(part: str) -> bool:
    return part.partition(".")[0].rstrip(" ").lower() in _DEVICES
