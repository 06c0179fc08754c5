"""The list of exchanges: thousands of them, live, searched."""

from __future__ import annotations

import re
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from phi_emulator import Emulator
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tests.inspector.conftest import Asker, Open

MANY = 2000


def said(page: Page) -> str:
    return page.locator("#query-said").inner_text()


@pytest.fixture
def many(emulator: Emulator, ask: Asker) -> None:
    """Two thousand exchanges: most of them refused, since that is quick, and some answered."""
    for number in range(8):
        ask(f"What is {number} + 30?", max_tokens=5, headers={"x-phi-scope": "mine"})

    connection = HTTPConnection("127.0.0.1", urlsplit(emulator.root).port)
    for _ in range(MANY - 8):
        connection.request("POST", "/chat/completions", b"{}", {"Authorization": f"Bearer {emulator.key}"})
        connection.getresponse().read()
    connection.close()
    emulator.journal.wait_for(MANY)


def test_thousands_are_shown_by_a_few_elements(
    emulator: Emulator, many: None, look: Open, ask: Asker
) -> None:
    page = look(emulator).go()
    expect(page.locator("#query-said")).to_have_text("2,000 exchanges")
    rows = page.locator(".row")
    assert rows.count() < 40
    page.locator(".list").focus()
    page.keyboard.press("Home")
    newest = emulator.journal.last
    expect(page.locator(".row[aria-selected=true] .row-number")).to_have_text(f"#{newest}")
    page.keyboard.press("End")
    expect(page.locator(".row[aria-selected=true]")).to_have_attribute("aria-posinset", "2000")
    expect(page.locator(".row[aria-selected=true]")).to_be_in_viewport()
    assert rows.count() < 40
    # What is read further down stays where it is when others come in above.
    page.locator(".list").evaluate("list => { list.scrollTop = 50000 }")
    seen = page.locator(".row").nth(10)
    expect(seen).to_be_in_viewport()
    name, place = seen.get_attribute("data-id"), seen.bounding_box()
    ask(max_tokens=-1)
    expect(page.locator("#query-said")).to_have_text("2,001 exchanges")
    after = page.locator(f".row[data-id='{name}']").bounding_box()
    assert place is not None
    assert after is not None
    assert abs(after["y"] - place["y"]) < 1
    # Search reads all of them, not only those that are drawn.
    page.fill("#search", "scope:mine")
    expect(page.locator("#query-said")).to_have_text("8 of 2,001 exchanges")
    page.fill("#search", "-status:4xx tokens:>5")
    expect(page.locator("#query-said")).to_have_text("0 of 2,001 exchanges")
    page.fill("#search", "-status:4xx tokens:>=5")
    expect(page.locator("#query-said")).to_have_text("8 of 2,001 exchanges")
    page.fill("#search", "status:2xx invalid")
    expect(page.locator("#query-said")).to_have_text("0 of 2,001 exchanges")
    page.fill("#search", "ms:soon")
    expect(page.locator("#query-said")).to_contain_text("takes a number, such as ms:>500")
    page.fill("#search", "")
    page.get_by_label("Ending").select_option("answered")
    expect(page.locator("#query-said")).to_have_text("8 of 2,001 exchanges")
    page.get_by_label("Ending").select_option("")
    page.get_by_label("Scope").fill("mine")
    expect(page.locator("#query-said")).to_have_text("8 of 2,001 exchanges")
    # What is forgotten here is what the scope has.
    page.get_by_role("button", name="Forget these").click()
    expect(page.locator("#query-said")).to_have_text("0 of 1,993 exchanges")
    assert len(emulator.journal.exchanges(scope="mine")) == 0


def test_what_comes_is_shown_at_once_and_the_title_says_it(
    emulator: Emulator, look: Open, ask: Asker
) -> None:
    page = look(emulator).go()
    expect(page.get_by_text("Nothing was asked yet.")).to_be_visible()
    answer = ask("What is 6 * 7?")
    row = page.locator(".row")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("200")
    expect(row).to_contain_text("answered")
    tokens = answer.json()["usage"]["completion_tokens"]
    expect(row).to_contain_text(f"{tokens} tok")
    expect(page).to_have_title(re.compile(r"1 exchange · exchanges"))


def test_an_exchange_that_the_journal_let_go_is_said_in_words(emulator: Emulator, look: Open) -> None:
    looker = look(emulator)
    looker.expected = "404"
    page = looker.go("exchanges/00000000-0000-0000-0000-000000000000")
    expect(page.get_by_text("The journal has let this exchange go, or never had it.")).to_be_visible()
