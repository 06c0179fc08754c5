"""A real Chromium that looks at real emulators; whatever it complains of fails the test.

Playwright's loop belongs to the thread while it is there, so no module keeps a browser longer than its own tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LIMIT_MS = 20_000
"""Long enough for a machine that is busy with other things."""
VIOLATIONS = (
    "window.violations = []; document.addEventListener('securitypolicyviolation', "
    "(event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));"
)


@dataclass
class Looker:
    """A page in a tab of its own, and all that it has complained of."""

    emulator: Emulator
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    expected: str = ""
    """A complaint that the test is about."""

    def go(self, view: str = "exchanges") -> Page:
        """Show a view, by its address, and wait until the page is connected."""
        self.page.goto(f"{self.emulator.root}/_emulator/#/{view}")
        expect(self.page.locator("#connection")).to_contain_text("Connected")
        return self.page

    def check(self) -> None:
        """Nothing was complained of, and nothing left the emulator."""
        violations = self.page.evaluate("window.violations")
        unexpected = [one for one in self.complaints if not self.expected or self.expected not in one]
        assert (unexpected, violations, self.foreign) == ([], [], [])


class Open:
    """Opens pages; each has a browser's profile of its own, so no key and no choice passes to another."""

    def __init__(self, browser: Browser, cleanup: ExitStack) -> None:
        self._browser = browser
        self._cleanup = cleanup

    def __call__(self, emulator: Emulator, *, width: int = 1280, height: int = 800, **options: Any) -> Looker:
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, timezone_id="UTC", locale="en-GB", **options
        )
        context.set_default_timeout(LIMIT_MS)
        context.add_init_script(VIOLATIONS)
        self._cleanup.callback(context.close)
        looker = Looker(emulator, context, context.new_page())

        def requested(request: Request) -> None:
            if not request.url.startswith((emulator.root + "/", "data:", "blob:")):
                looker.foreign.append(request.url)

        looker.page.on("request", requested)
        looker.page.on("pageerror", lambda error: looker.complaints.append(str(error)))
        looker.page.on(
            "console",
            lambda said: looker.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        self._cleanup.callback(looker.check)
        return looker


def chromium() -> str | None:
    """Where Chromium is on this machine."""
    return os.environ.get("PHI_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium: install it, or say in PHI_CHROMIUM where it is")
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Open]:
    with ExitStack() as cleanup:
        yield Open(browser, cleanup)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """With the bundled model, and room for the exchanges of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        with Emulator(EmulatorConfig(port=0, journal_texts=True, journal_size=3000)) as emulator:
            yield emulator


class Asker:
    """Asks an emulator as a client does."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def __call__(
        self, question: str = "What is 12 + 30?", *, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": 300, "temperature": 0}
        return self.http.post("/chat/completions", json={**body, **options}, headers=headers)


@pytest.fixture
def ask(emulator: Emulator) -> Iterator[Asker]:
    headers = {"Authorization": f"Bearer {emulator.key}"}
    with httpx.Client(base_url=emulator.root, headers=headers, timeout=60, trust_env=False) as http:
        yield Asker(http)


@pytest.fixture(autouse=True)
def as_at_the_start(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds an emulator as it was started."""
    yield
    if "emulator" in request.fixturenames:
        request.getfixturevalue("emulator").reset()


Ask = Callable[..., httpx.Response]
SCREENSHOTS = Path(__file__).parents[2] / "docs" / "how-to" / "images"
