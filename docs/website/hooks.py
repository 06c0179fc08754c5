"""What MkDocs is told of this repository: which files are pages, in which order, and the reference's pages.

Pages keep their paths in the repository as their names, so a link between them is the same there and on the site. On
the site, `docs/` is left out of addresses. It must not change what a page says.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).parent))

from api_pages import API_PAGES

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import File, Files

__all__ = ["ROOT", "navigation", "on_config", "on_files", "pages", "slug"]

ROOT: Final = Path(__file__).parents[2]
_API: Final = "docs/reference/api"
_LINK: Final = re.compile(r"\]\(([^)#:\s]+)")
_NOT_OF_THE_SITE: Final = (".py", ".pyc", ".md")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from the README, and the anchors of the repository's host, so that links lead there and here."""
    if not config.repo_url:
        config.edit_uri = None  # there would be links to nowhere
    config.mdx_configs["toc"]["slugify"] = slug
    config.nav = navigation((ROOT / "README.md").read_text(encoding="utf-8"))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """All files of the site, by their paths in the repository; the theme's stay."""
    from mkdocs.structure.files import File, Files  # noqa: PLC0415 - for those who build the site

    found = [_file(path, config) for path in [*pages(), *_beside_pages()]]
    found += [
        File.generated(config, f"{_API}/{name}.md", content=page.text()) for name, page in API_PAGES.items()
    ]
    for file in found:
        if file.src_uri.startswith("docs/"):
            file.dest_uri = file.dest_uri.removeprefix("docs/")
    return Files([*(file for file in files if file.src_dir != config.docs_dir), *found])


def pages() -> list[Path]:
    """Every page, as it is in the repository."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted(ROOT.glob("docs/**/*.md")),
        *sorted(ROOT.glob("emulator/**/README.md")),
    ]


def navigation(readme: str) -> list[dict[str, object]]:
    """The pages in the order in which the README lists them, with the reference's pages in their section."""
    listing, _, rest = readme.partition("## Documentation\n")[2].partition("\n\n[")
    found: list[dict[str, object]] = [{"Home": "README.md"}]
    for bullet in re.split(r"^- ", listing, flags=re.MULTILINE)[1:]:
        name = re.split(r"[^\w-]", bullet.lstrip("["))[0]
        links: list[object] = [*_LINK.findall(bullet)]
        if name == "Reference" and API_PAGES:
            links.append({"API": [f"{_API}/{page}.md" for page in API_PAGES]})
        found.append({name: links})
    found.append({"Project": [link for link in _LINK.findall("[" + rest) if link.endswith(".md")]})
    return found


def slug(heading: str, _separator: str) -> str:
    """The anchor that the repository's host gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _file(path: Path, config: MkDocsConfig) -> File:
    from mkdocs.structure.files import File  # noqa: PLC0415 - as above

    name = path.relative_to(ROOT).as_posix()
    return File(name, str(ROOT), config.site_dir, config.use_directory_urls)


def _beside_pages() -> Iterator[Path]:
    """What lies among the pages, and files of the repository to which they link."""
    among = {
        path for path in ROOT.glob("docs/**/*") if path.is_file() and path.suffix not in _NOT_OF_THE_SITE
    }
    for page in pages():
        folder = page.relative_to(ROOT).parent.as_posix()
        for link in _LINK.findall(page.read_text(encoding="utf-8")):
            path = ROOT / posixpath.normpath(posixpath.join(folder, link))
            if path.is_file() and path.suffix != ".md":
                among.add(path)
    yield from sorted(among - {Path(__file__).with_name("mkdocs.yml")})
