"""The documentation as a site: it builds, its links lead somewhere, and it has every page and every public name."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import phi_emulator
import phi_emulator.containers
import pytest
import pytest_phi
import pytest_phi.of_test

import phi_client
import phi_client.testing

pytest.importorskip("mkdocs", reason="the site is built with the group `docs`")
from mkdocstrings import Inventory

ROOT = Path(__file__).parents[2]
WEBSITE = ROOT / "docs" / "website"
HOST = "https://host.invalid/owner/phi-client"
PAGES_ARE_IN = ["*.md", "docs", "emulator", "phi_client", "examples"]


def built(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    return subprocess.run(
        [*command, "-f", str(root / "docs/website/mkdocs.yml")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "DOCS_REPOSITORY_URL": HOST, "NO_MKDOCS_2_WARNING": "1"},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    done = built(ROOT, site)
    assert done.returncode == 0, done.stderr
    return site


@pytest.fixture(scope="module")
def website() -> Any:
    """The site's own scripts, by their names."""
    sys.path.insert(0, str(WEBSITE))
    try:
        return {name: importlib.import_module(name) for name in ("check_site", "hooks")}
    finally:
        sys.path.remove(str(WEBSITE))


def test_every_link_of_the_site_leads_somewhere_and_nothing_is_loaded_from_elsewhere(
    site: Path, website: Any
) -> None:
    assert website["check_site"].complaints(site) == []


def test_every_page_of_the_repository_is_on_the_site_and_can_be_edited_there(
    site: Path, website: Any
) -> None:
    edited = {
        link
        for page in site.rglob("*.html")
        for link in re.findall(rf'{HOST}/edit/main/([^"#]*)"', page.read_text(encoding="utf-8"))
    }
    assert edited == {page.relative_to(ROOT).as_posix() for page in website["hooks"].pages()}
    assert "docs/how-to/streaming.md" in edited


def test_only_pages_and_what_they_show_are_on_the_site(site: Path) -> None:
    names = {path.relative_to(site).as_posix() for path in site.rglob("*")}
    assert not [name for name in names if name.endswith((".pyc", ".md", ".yml"))]
    assert "reference/phi-emulator.schema.json" in names
    assert not [name for name in names if name.endswith(".py") and not name.startswith("examples/")]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("phi_client", phi_client.__all__),
        ("phi_client.testing", phi_client.testing.__all__),
        ("phi_emulator", phi_emulator.__all__),
        ("phi_emulator.containers", phi_emulator.containers.__all__),
        ("pytest_phi", sorted(pytest_phi._FIXTURES)),
        ("pytest_phi.of_test", pytest_phi.of_test.__all__),
    ],
)
def test_every_public_name_has_an_entry(site: Path, module: str, names: list[str]) -> None:
    with (site / "objects.inv").open("rb") as file:
        entries = Inventory.parse_sphinx(file)
    assert [name for name in names if f"{module}.{name}" not in entries] == []


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The site's address on this machine."""
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


def test_a_browser_finds_by_search_reads_in_both_schemes_and_asks_nobody_else(served: str) -> None:
    playwright_api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    chromium = os.environ.get("PHI_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("there is no Chromium: install it, or say in PHI_CHROMIUM where it is")
    rules = ["color-contrast", "link-in-text-block", "image-alt", "heading-order", "list", "html-has-lang"]
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for scheme, width in (("light", 1280), ("dark", 1280), ("light", 320)):
            context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
            page = context.new_page()
            page.set_default_timeout(40_000)
            complaints: list[str] = []
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("pageerror", lambda error, complaints=complaints: complaints.append(str(error)))
            for name in ("reference/api/testing/", "how-to/test-in-ci/"):
                page.goto(served + name)
                assert page.evaluate("document.documentElement.scrollWidth") == width, name
                if width > 1000 and "how-to" in name:  # tables, and code in several languages
                    found = axe.run(page, options={"runOnly": {"type": "rule", "values": rules}})
                    assert found.violations_count == 0, (name, found.generate_report())
            if (scheme, width) == ("light", 1280):
                page.click("[data-md-component=search-query]")
                page.get_by_text("Type to start searching").wait_for()  # what is typed before it is lost
                page.keyboard.type("Retry-After")  # the theme listens to keys alone
                page.wait_for_selector(".md-search-result__item")
            assert complaints == []
            assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []
            context.close()
        browser.close()


PLANTED = {
    "docs/how-to/streaming.md": "[a](nowhere.md) [b](retries.md#no-such-heading) [c](../nowhere.svg)",
    "README.md": "[d](docs/how-to/retries.md#nor-this)",
    "CHANGELOG.md": "[e](/from-the-host.md) [f](nothing.md)",
    "docs/how-to/unlisted.md": "# A page that the README doesn't list",
}
NAMED = [
    "'nowhere.md'", "retries.md#no-such-heading'", "'../nowhere.svg'", "#nor-this'", "'/from-the-host.md'",
    "'nothing.md'", "docs/how-to/unlisted.md",
]  # fmt: skip


def test_a_dead_link_and_a_page_that_nothing_lists_fail_the_build(tmp_path: Path) -> None:
    for pattern in PAGES_ARE_IN:
        for path in ROOT.glob(pattern):
            if path.is_dir():
                shutil.copytree(
                    path, tmp_path / path.name, ignore=shutil.ignore_patterns("out", "phi_emulator")
                )
            else:
                shutil.copy(path, tmp_path)
    # Docstrings are the longest part of a build, and have no links of this kind.
    pages = tmp_path / "docs/website/api_pages.py"
    pages.write_text("API_PAGES = {}\n", encoding="utf-8")
    for name, text in PLANTED.items():
        with (tmp_path / name).open("a", encoding="utf-8") as page:
            page.write(f"\n\n{text}\n")
    done = built(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert [named for named in NAMED if named not in done.stderr] == []
    assert done.stderr.count("WARNING") == len(NAMED), done.stderr


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ('<a href="other.html">', None),
        ('<a href="other.html#there">', None),
        ('<a href="#here"><p id="here">', None),
        ('<a href="folder/">', None),
        ('<a href="https://example.org/x#y">', None),
        ('<img src="data:image/gif;base64,AAAA">', None),
        ('<a href="none.html">', "leads to nothing"),
        ('<a href="other.html#none">', "no such anchor"),
        ('<a href="#none">', "no such anchor"),
        ('<a href="../secret.html">', "leads out of the site"),
        ('<a href="/other.html">', "begins at the host"),
        ('<a href="https:///x">', "is no address"),
        ('<a href="javascript:alert(1)">', "is no address"),
        ('<img src="none.png">', "leads to nothing"),
        ('<script src="https://cdn.example/x.js">', "loaded from elsewhere"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "loaded from elsewhere"),
        ('<link rel="preconnect" href="https://fonts.example">', "loaded from elsewhere"),
    ],
)
def test_what_is_wrong_with_a_link_is_said(
    html: str, wrong: str | None, tmp_path: Path, website: Any
) -> None:
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    (tmp_path / "other.html").write_text('<h1 id="there">', encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/index.html").touch()
    found = website["check_site"].complaints(tmp_path)
    assert (wrong is None and found == []) or (found[0].startswith("index.html: ") and str(wrong) in found[0])


@pytest.mark.parametrize(
    ("sheet", "is_well"),
    [
        ("p { background: url(data:image/gif;base64,AAAA) }", True),
        ("p { background: url('../x.png') }", True),
        ("@import url(https://fonts.example/x.css);", False),
        ('@import "//fonts.example/x.css";', False),
        ("p { background: url( 'http://cdn.example/x.png') }", False),
    ],
)
def test_a_style_sheet_has_nothing_from_elsewhere(
    sheet: str, is_well: bool, tmp_path: Path, website: Any
) -> None:
    (tmp_path / "x.css").write_text(sheet, encoding="utf-8")
    assert (website["check_site"].complaints(tmp_path) == []) is is_well


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("The transport is ours, at httpx's public seam", "the-transport-is-ours-at-httpxs-public-seam"),
        ("`max_tokens` - and `n`", "max_tokens---and-n"),
        ("Über 95 %", "über-95-"),
    ],
)
def test_anchors_are_those_of_the_repositorys_host(heading: str, anchor: str, website: Any) -> None:
    assert website["hooks"].slug(heading.replace("`", ""), "-") == anchor


def test_no_link_leads_to_the_second_of_two_equal_headings(website: Any) -> None:
    """Its anchor ends in `_1` here and in `-1` there."""
    pages = [path.read_text(encoding="utf-8") for path in website["hooks"].pages()]
    assert [link for page in pages for link in re.findall(r"\]\([^)]*#[^)]*_\d+\)", page)] == []


def test_the_navigation_is_the_readmes_list(website: Any) -> None:
    readme = "# X\n\n## Documentation\n\n- [Tutorial: a](docs/a.md)\n- How-to: [b](docs/b.md) ·\n  [c](docs/c.md)\n"
    readme += "- Reference: [d](docs/d.md)\n\n[Changelog](CHANGELOG.md) · [licence](LICENSE)\n"
    home, tutorial, how_to, reference, project = website["hooks"].navigation(readme)
    assert home == {"Home": "README.md"}
    assert tutorial == {"Tutorial": ["docs/a.md"]}
    assert how_to == {"How-to": ["docs/b.md", "docs/c.md"]}
    assert reference["Reference"][0] == "docs/d.md"
    assert project == {"Project": ["CHANGELOG.md"]}
