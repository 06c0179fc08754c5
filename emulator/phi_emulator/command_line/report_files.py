"""Files that a command writes at its end: looked at before it begins, and there whole or not at all.

It must not know what is in them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click

from phi_emulator.models.durable import move_file

__all__ = ["ReportFile", "write_report"]


class ReportFile(click.Path):
    """Where a report goes. What can't be written is told before anything is measured."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """The path, if a file can be written there."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        folder = path.resolve().parent
        if not folder.is_dir():
            self.fail(f"there is no folder {str(folder)!r}; make it first", param, ctx)
        if not path.exists() and not os.access(folder, os.W_OK):
            self.fail(f"nothing can be written in {str(folder)!r}", param, ctx)
        return path


def write_report(path: Path, content: bytes) -> None:
    """Write a file in one piece: who reads it meanwhile, or after a kill, finds the old one or the new one.

    What is no plain file, such as a pipe, is written as it comes.

    Raises:
        OSError: it can't be written; what was there before is as it was.
    """
    place = path.resolve()
    if place.exists() and not place.is_file():
        place.write_bytes(content)
        return
    draft = place.with_name(f".{place.name[:64]}.{os.getpid()}.draft")
    try:
        draft.write_bytes(content)
        if place.exists():
            draft.chmod(place.stat().st_mode & 0o7777)
        move_file(draft, place)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
