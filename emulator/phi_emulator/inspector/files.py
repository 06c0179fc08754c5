"""The files of the page as they are served: bytes, type, and the tag by which a browser knows a change.

It must not know HTTP. Only the names of the folder are served, so no path can lead out of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["PAGE", "PageFile", "page_files"]

PAGE: Final = "index.html"
_FOLDER: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class PageFile(NamedTuple):
    """One file."""

    body: bytes
    content_type: str
    etag: str
    """As `ETag` has it, in its quotation marks."""


@cache
def page_files() -> Mapping[str, PageFile]:
    """All of them by name, read once."""
    return {path.name: _read(path) for path in _FOLDER.iterdir() if path.suffix in _TYPES}


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    return PageFile(body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
