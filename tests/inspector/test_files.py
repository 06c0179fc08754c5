"""The page's files as they are served: their types, their tags, the policy that a browser holds them to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.inspector.files import page_files
from phi_emulator.inspector.formulas import _ATTRIBUTES, _ELEMENTS, MOST_CHARACTERS, MOST_OF_ALL

FOLDER = Path(__file__).parents[2] / "emulator" / "phi_emulator" / "inspector" / "page"
FILES = sorted(FOLDER.iterdir())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with (
        Emulator(EmulatorConfig(port=0, model="scripted:traces", key="a-key-of-ones-own")) as emulator,
        httpx.Client(base_url=emulator.root, trust_env=False) as http,
    ):
        yield http


@pytest.mark.parametrize("place", ["/_emulator/", "/_emulator"])
def test_the_page_is_there_without_a_key_and_holds_no_data(http: httpx.Client, place: str) -> None:
    page = http.get(place)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith(POLICY)
    assert "'unsafe" not in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.content == page_files()["index.html"].body
    assert b"key-of-ones-own" not in page.content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_has_its_type_and_a_tag_and_is_sent_once(http: httpx.Client, path: Path) -> None:
    answer = http.get(f"/_emulator/page/{path.name}")
    assert (answer.status_code, answer.content) == (200, path.read_bytes())
    kind = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(kind[path.suffix])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith(POLICY)
    head = http.head(f"/_emulator/page/{path.name}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(path.read_bytes()))
    known = {"If-None-Match": f'"another", {answer.headers["etag"]}'}
    again = http.get(f"/_emulator/page/{path.name}", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize(
    "path", ["../files.py", "..%2ffiles.py", "%2e%2e/files.py", ".", "main.py", "main.js/", "index.html%00"]
)
def test_nothing_but_the_pages_files_is_served(http: httpx.Client, path: str) -> None:
    answer = http.get(f"/_emulator/page/{path}")
    assert answer.status_code in {400, 404}
    assert b"import" not in answer.content


def test_a_foreign_host_gets_no_page(http: httpx.Client) -> None:
    for place in ("/_emulator/", "/_emulator/page/main.js", "/_emulator/surface"):
        assert http.get(place, headers={"Host": "evil.example"}).status_code == 403


def test_a_key_of_ones_own_is_not_told(http: httpx.Client) -> None:
    known = http.get("/_emulator/surface").json()
    assert known["key"] is None
    assert known["key_header"].lower() == "authorization"
    assert http.post("/_emulator/formulas", json={"formulas": []}).status_code == 400


class _Parts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"src", "href"} and value and not value.startswith("#"):
                self.links.append(value)
            if name.startswith("on") or name == "style":
                self.inline.append(name)
        if tag == "style" or (tag == "script" and not dict(attrs).get("src")):
            self.inline.append(tag)


def test_the_page_has_nothing_inline_and_links_to_nothing_but_its_files() -> None:
    parts = _Parts()
    parts.feed((FOLDER / "index.html").read_text(encoding="utf-8"))
    assert parts.inline == []
    assert {link.removeprefix("/_emulator/page/") for link in parts.links} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_says_what_it_is_and_makes_no_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("// ")
    assert len(text.splitlines()) <= 400
    assert (
        re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser", text
        )
        == []
    )
    addresses = set(re.findall(r"https?://[^\"`)\s]+", text)) - {r"https?:\/\/)/;"}
    assert {one for one in addresses if "www.w3.org" not in one} == set()
    imports = re.findall(r"from \"(.*?)\"", text)
    assert {name.removeprefix("./") for name in imports} <= {one.name for one in FILES}


def test_every_script_is_reached_from_the_page() -> None:
    reached, waiting = set[str](), ["main.js"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += re.findall(
                r"^(?:import|export) .*from \"\./(.*?)\"", (FOLDER / name).read_text("utf-8"), re.MULTILINE
            )
    assert reached == {path.name for path in SCRIPTS}


def test_page_and_emulator_agree_on_formulas() -> None:
    """The page builds what the emulator sends, and asks for no more than it takes."""
    text = (FOLDER / "maths.js").read_text(encoding="utf-8")
    elements, attributes = (
        set(found.split()) for found in re.findall(r"new Set\(\s*\"([^\"]+)\"\.split", text)
    )
    assert set(_ELEMENTS.pattern.split("|")) == elements | {"menclose"}
    assert set(_ATTRIBUTES.pattern.split("|")) == attributes
    longest = re.search(r"LONGEST = (\d+)", text)
    most = re.search(r"MOST_OF_ALL = (\d+)", text)
    assert longest is not None
    assert most is not None
    assert int(longest[1]) == MOST_CHARACTERS
    assert int(most[1]) <= MOST_OF_ALL
