"""Follows every link of the built site, without the network: pages, anchors and files must be there, and nothing that a
page loads may come from elsewhere.

python docs/website/check_site.py build/site

MkDocs has followed the links between pages as they are written; this one follows what became of them, and the links of the
theme and of docstrings. Links to other hosts are looked at for their form alone.
"""

from __future__ import annotations

import posixpath
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

__all__ = ["Page", "complaints", "read_page"]

_LOADED: Final = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "object": "data",
    "use": "href",
}
_HINTS: Final = {
    "stylesheet",
    "icon",
    "preload",
    "modulepreload",
    "manifest",
    "preconnect",
    "dns-prefetch",
    "prefetch",
}

_FETCHED: Final = re.compile(r"""(?:url\(|@import)\s*["']?((?:[a-z]+:)?//[^"')\s]*)""", re.IGNORECASE)
"""What a style sheet has from another host."""


@dataclass(slots=True)
class Page:
    """What a page of HTML leads to."""

    anchors: set[str] = field(default_factory=set[str])
    links: list[str] = field(default_factory=list[str])
    loaded: list[str] = field(default_factory=list[str])
    """What a browser fetches without being asked to."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.page.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        is_hint = tag == "link" and not _HINTS.isdisjoint(values.get("rel", "").split())
        name = "href" if is_hint else _LOADED.get(tag)
        if name is not None and name in values:
            self.page.loaded.append(values[name])
        elif "href" in values and tag != "link":
            self.page.links.append(values["href"])


def read_page(html: str) -> Page:
    """What is in a page."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


def complaints(folder: Path) -> list[str]:
    """What is wrong with the links of the site in a folder, each as `page: link: what`."""
    pages = {
        path.relative_to(folder).as_posix(): read_page(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }
    pages.pop("404.html", None)  # its links begin at the site's address, which isn't known here
    sheets = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.css"))}
    fetched = [
        f"{name}: {link}: is loaded from elsewhere"
        for name, path in sheets.items()
        for link in _FETCHED.findall(path.read_text(encoding="utf-8"))
    ]
    return fetched + [
        f"{name}: {link}: {wrong}"
        for name, page in pages.items()
        for link, is_loaded in [
            *((link, True) for link in page.loaded),
            *((link, False) for link in page.links),
        ]
        if (wrong := _judge(link, is_loaded, name, folder, pages))
    ]


def _judge(link: str, is_loaded: bool, name: str, folder: Path, pages: dict[str, Page]) -> str | None:  # noqa: FBT001
    parts = urlsplit(link)
    if parts.scheme == "data" or (parts.scheme == "mailto" and not is_loaded):
        return None
    if parts.scheme or parts.netloc:
        if is_loaded:
            return "is loaded from elsewhere"
        is_well = parts.scheme in ("http", "https") and parts.hostname and not set(link) & set(" <>\"'`")
        return None if is_well else "is no address"
    return _follow(parts, name, folder, pages)


def _follow(link: SplitResult, name: str, folder: Path, pages: dict[str, Page]) -> str | None:
    if link.path.startswith("/"):
        return "begins at the host, and the site may lie below"
    target = (
        posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(link.path))) if link.path else name
    )
    if target.split("/")[0] == "..":
        return "leads out of the site"
    if (folder / target).is_dir():
        target = posixpath.normpath(f"{target}/index.html")
    if not (folder / target).is_file():
        return "leads to nothing"
    anchor = unquote(link.fragment)
    return (
        "has no such anchor" if anchor and target in pages and anchor not in pages[target].anchors else None
    )


if __name__ == "__main__":
    wrong = complaints(Path(sys.argv[1]))
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    sys.exit(bool(wrong))
