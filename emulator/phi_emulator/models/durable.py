"""Puts files and folders at their place so that they are there after a power cut too: written through, then renamed.

A rename is on the disk when the folder that holds the name is. It must not know what the files are.
"""

from __future__ import annotations

from pathlib import Path

from phi_emulator.platforms import write_through

__all__ = ["flush", "flush_tree", "make_folders", "move_file", "move_folder"]


def flush(path: Path) -> None:
    """Write a file or folder through to the disk."""
    write_through(path)


def flush_tree(folder: Path) -> None:
    """Write a folder's own names and those of all folders in it through to the disk; the files were flushed before."""
    for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        flush(inner)
    flush(folder)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, with their names on the disk."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        flush(path.parent)


def move_folder(draft: Path, place: Path) -> None:
    """Let a folder of flushed files take its place, which must be free."""
    flush_tree(draft)
    make_folders(place.parent)
    draft.rename(place)
    flush(place.parent)
    if draft.parent != place.parent:
        flush(draft.parent)


def move_file(draft: Path, place: Path) -> None:
    """Let a file take its place, in the stead of what was there."""
    flush(draft)
    draft.replace(place)
    flush(place.parent)
