"""The pictures in the documentation, made of a real page; `make screenshots` writes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from phi_emulator import Emulator
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tests.inspector.conftest import Asker, Open

FOLDER = Path(__file__).parents[2] / "docs" / "how-to" / "images"
MOST_BYTES = 250_000

PROOF = (
    r"For \(x^2 - 5x + 6 = 0\) the formula gives \[x = \frac{5 \pm \sqrt{25 - 24}}{2}\] "
    r"so the roots are 2 and 3, and their product is \boxed{6}."
)
THOUGHTS = r"The discriminant is \(b^2 - 4ac = 25 - 24 = 1\), so both roots are whole numbers."


@pytest.fixture
def scene(emulator: Emulator, ask: Asker) -> None:
    """An afternoon's work: answers, a script, faults and refusals, at a hosted service's pace."""
    emulator.script.answer("What is the product of the roots?", PROOF, reasoning=THOUGHTS)
    paced = {"x-phi-latency": "first=60ms, rate=400/s, jitter=0.4, seed=7"}
    for number in range(14):
        ask(f"What is {number} * 7?", stream=number % 2 == 0, max_tokens=400 if number % 4 else 20)
    ask(max_tokens=-1)
    ask("What is 17 * 24?", headers={"x-phi-scope": "checkout", "x-phi-fault": "error error=rate_limited"})
    ask("What is 17 * 24?", headers={"x-phi-scope": "checkout"})
    ask("What is 6 * 7?", stream=True, headers={"x-phi-fault": "no_end without=both"})
    ask("What is 12 * 12?", stream=True, headers={"x-phi-scope": "checkout"})
    ask(
        "What is the product of the roots?",
        stream=True,
        headers=paced | {"x-phi-fault": "stall tokens=60 seconds=0.1"},
    )


def drawn(page: Page) -> None:
    page.locator(".row").first.click()
    expect(page.locator(".answer math")).to_have_count(3)
    page.locator(".slider").focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    page.locator(".slider").evaluate("line => line.blur()")
    page.locator(".exchange").evaluate("pane => { pane.scrollTop = 0 }")


def test_the_pictures_of_the_documentation(emulator: Emulator, scene: None, look: Open) -> None:
    pictures: dict[str, tuple[int, int, str, Callable[[Page], None]]] = {
        "inspector-light": (1180, 1000, "light", drawn),
        "inspector-dark": (1180, 1000, "dark", drawn),
        "inspector-narrow": (320, 720, "light", drawn),
    }
    for name, (width, height, scheme, prepare) in pictures.items():
        page = look(emulator, width=width, height=height, color_scheme=scheme, reduced_motion="reduce").go()
        prepare(page)
        picture = page.screenshot(animations="disabled", caret="hide")
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < MOST_BYTES, f"{name} has {len(picture)} bytes"
        if os.environ.get("PHI_SCREENSHOTS"):
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f"{name}.png").write_bytes(picture)
