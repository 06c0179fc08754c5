"""The page as people use it: by keys alone, in a narrow window, in the dark, by a screen reader; and its switches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from phi_emulator import Emulator, EmulatorConfig
from playwright.sync_api import Page, expect

from phi_client.testing import VirtualClock

if TYPE_CHECKING:
    from tests.inspector.conftest import Asker, Looker, Open

VIEWS = ["exchanges", "exchanges/{id}", "compare/{id}/{other}", "chat", "switches", "engine", "coverage"]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES = {"light": {"type": "tag", "values": TAGS}, "dark": {"type": "rule", "values": ["color-contrast"]}}
"""What axe looks for: all that it knows, and of the same page in other colours these."""


@pytest.fixture
def ids(emulator: Emulator, ask: Asker) -> dict[str, str]:
    """Two exchanges with all that the page can show of one, and others around them."""
    emulator.script.answer(
        "Prove it.", r"By \(x^2\): \[\frac{1}{2}\] \boxed{42}", reasoning=r"Let \(a\) be 1."
    )
    ask(
        "Prove it.", stream=True, headers={"x-phi-fault": "stall tokens=5 seconds=0.1", "x-phi-scope": "mine"}
    )
    ask("Prove it.", max_tokens=100_000)
    ask(max_tokens=-1)
    one, other, _ = emulator.journal.wait_for(3)
    return {"id": one.id, "other": other.id}


def settled(page: Page) -> None:
    """What a view reads is there."""
    expect(page.locator(":text-is('Reading')")).to_have_count(0)
    page.wait_for_function("() => document.querySelectorAll('.formula:not(.is-drawn)').length === 0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(
    emulator: Emulator, look: Open, ids: dict[str, str], scheme: str
) -> None:
    page = look(emulator, color_scheme=scheme).go()
    axe = Axe()

    def check(what: str) -> None:
        found: dict[str, Any] = axe.run(page, options={"runOnly": RULES[scheme]}).response
        told = [
            (one["id"], [(node["html"][:200], node["failureSummary"]) for node in one["nodes"]])
            for one in found["violations"]
        ]
        assert told == [], f"{what}: {told}"

    for view in VIEWS:
        page.evaluate("hash => { location.hash = hash }", "#/" + view.format(**ids))
        settled(page)
        page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
        check(view)
    page.get_by_role("button", name="Keys").click()
    check("keys")
    page.keyboard.press("Escape")
    page.evaluate("hash => { location.hash = hash }", "#/chat")
    page.fill("#question", "Prove it.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Look at this exchange")).to_be_visible()
    check("an answer")


def test_the_colours_follow_the_machine_and_the_switch(emulator: Emulator, look: Open) -> None:
    page = look(emulator, color_scheme="dark").go()
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Theme: auto").click()
    light = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(ground) == dark
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()


@pytest.mark.parametrize("width", [320, 640, 2560])
def test_no_view_is_wider_than_the_window(
    emulator: Emulator, look: Open, ids: dict[str, str], width: int
) -> None:
    page = look(emulator, width=width, reduced_motion="reduce").go()
    for view in VIEWS:
        page.evaluate("hash => { location.hash = hash }", "#/" + view.format(**ids))
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert page.evaluate("document.querySelector('main').scrollWidth") <= width, view
        wide = page.evaluate(
            """width => [...document.querySelectorAll('main *')].filter(one => {
                 const box = one.getBoundingClientRect();
                 return box.width > 1 && box.right > width + 1 && !one.closest('.copied, .formula, svg, .strip, .list');
               }).map(one => one.outerHTML.slice(0, 120))""",
            width,
        )
        assert wide == [], view
    assert page.evaluate("document.getAnimations().length") == 0


def focused(page: Page) -> str:
    """What has the focus, and whether that can be seen."""
    said: str = page.evaluate(
        """() => {
             const one = document.activeElement;
             if (one === document.body) return '(the browser)';
             const style = getComputedStyle(one);
             const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
             const name = one.getAttribute('aria-label') || one.labels?.[0]?.textContent || one.textContent;
             return name.trim() + (seen ? '' : ' UNSEEN');
           }"""
    )
    return said


def tab_to(page: Page, name: str) -> None:
    """Go on by Tab until something of this name has the focus; each place on the way shows it."""
    passed: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        passed.append(focused(page))
        assert not passed[-1].endswith("UNSEEN"), passed
        if passed[-1].startswith(name):
            return
    pytest.fail(f"no Tab leads to {name}: {passed}")


def test_exchanges_are_looked_at_by_keys_alone(emulator: Emulator, look: Open, ids: dict[str, str]) -> None:
    looker = look(emulator, permissions=["clipboard-read", "clipboard-write"])
    page = looker.go()
    press = page.keyboard.press
    # Search, go into the list, open one: the focus goes along, and comes back.
    press("/")
    page.keyboard.type("is:fault")
    expect(page.locator("#query-said")).to_have_text("1 of 3 exchanges")
    press("ArrowDown")
    assert focused(page).startswith("Exchanges, the newest first")
    press("Enter")
    expect(page.locator(".exchange h2")).to_be_focused()
    expect(page.locator(".exchange h2")).to_contain_text("200")
    tab_to(page, "Time line, token by token")
    for _ in range(3):
        press("ArrowRight")
    expect(page.locator(".readout")).to_contain_text(re.compile(r"^3 of \d+: reasoning"))
    expect(page.locator(".slider")).to_have_attribute("aria-valuetext", re.compile("^3 of"))
    press("y")
    expect(page.locator("#told")).to_have_text("Copied as curl.")
    press("Escape")
    assert focused(page).startswith("Exchanges, the newest first")
    # Compare two.
    press("/")
    press("Escape")
    press("ArrowDown")
    press("c")
    press("j")
    press("c")
    expect(page.locator(".compared")).to_be_visible()
    expect(page.get_by_role("heading", name="Compare")).to_be_focused()


def test_chat_switches_and_help_are_used_by_keys_alone(emulator: Emulator, look: Open) -> None:
    page = look(emulator).go()
    press = page.keyboard.press
    press("2")
    assert focused(page).startswith("Question")
    page.keyboard.type("What is 6 * 7?")
    press("Enter")
    expect(page.locator(".bubble-assistant")).to_contain_text("42")
    # Switches.
    press("Escape")
    press("3")
    tab_to(page, "Requests a minute")
    page.keyboard.type("7")
    press("Enter")
    expect(page.locator("#told")).to_have_text("The limits hold from the next request on.")
    assert emulator.settings.show("requests_per_minute") == {"requests_per_minute": 7}
    # The keys themselves: a box that gives the focus back, and a switch that turns them off.
    press("Escape")
    assert not focused(page).endswith("UNSEEN")
    press("4")
    expect(page.get_by_role("heading", name="Engine")).to_be_focused()
    tab_to(page, "Keys")
    press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("the next exchange")
    tab_to(page, "Keys of one letter")
    press("Space")
    press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert focused(page).startswith("Keys")
    press("1")
    expect(page).to_have_title(re.compile("engine"))


def test_the_switches_switch(emulator: Emulator, look: Open, ask: Asker) -> None:
    looker = look(emulator)
    looker.expected = "400"
    page = looker.go("switches")
    told = page.locator("#told")
    card = page.get_by_label("Faults")
    card.get_by_label("Add a rule").fill("stall tokens=2 seconds=0.1 when.scope=mine times=2")
    card.get_by_role("button", name="Add fault").click()
    expect(card.locator(".rules code")).to_have_text(
        '{"effect":"stall","tokens":2,"seconds":0.1,"times":2,"when":{"scope":"mine"}}'
    )
    ask(stream=True, headers={"x-phi-scope": "mine"})
    [entry] = emulator.journal.wait_for(1)
    assert (entry.fault or {})["effect"] == "stall"
    card.get_by_label("Add a rule").fill("stal tokens=2")
    card.get_by_role("button", name="Add fault").click()
    expect(told).to_contain_text("stall")  # what was perhaps meant
    expect(told).to_have_class(re.compile("is-error"))
    card.get_by_role("button", name="Remove").click()
    expect(card).to_contain_text("No rules")
    assert len(emulator.faults.counts()) == 0
    # A rule for all does not take away those of scopes; one of a scope is its own alone.
    emulator.faults.add("wait", seconds=0.1, when={"scope": "yours"})
    card.get_by_label("Add a rule").fill("slow seconds=0.1")
    card.get_by_role("button", name="Add fault").click()
    expect(card.locator(".rules li")).to_have_count(2)
    page.get_by_label("Scope").fill("mine")
    expect(card.locator(".rules li")).to_have_count(1)
    expect(card.locator(".rules li")).to_contain_text("for all")
    card.get_by_label("Add a rule").fill("wait seconds=0.2")
    card.get_by_role("button", name="Add fault").click()
    expect(card.locator(".rules li")).to_have_count(2)
    assert [one["when"]["scope"] for one in emulator.faults.of_scopes] == ["yours", "mine"]
    assert len(emulator.faults.counts()) == 1
    emulator.faults.reset()
    # The filter, for one scope.
    expect(page.get_by_text("For requests with x-phi-scope: mine")).to_be_visible()
    page.get_by_role("combobox", name="Filter").select_option("words")
    page.get_by_label("Words, as JSON").fill('{"violence": {"sword": "high"}}')
    page.get_by_role("button", name="Set filter").click()
    expect(told).to_have_text("The filter holds from the next request on.")
    assert emulator.settings.show("content_filter", scope="mine") == {
        "content_filter": {"violence": {"sword": "high"}}
    }
    assert emulator.settings.show("content_filter") == {"content_filter": "off"}
    page.get_by_label("Scope").fill("")
    # Texts.
    page.get_by_label("Keep what is asked").uncheck()
    expect(told).to_have_text("No texts are kept from now on.")
    ask()
    assert emulator.journal.wait_for(2)[-1].texts is None
    # Latency, and all back.
    page.get_by_label("Profile or preset").fill("first=2ms")
    page.get_by_role("button", name="Set latency").click()
    expect(page.get_by_label("Latency", exact=True)).to_contain_text("first")
    page.get_by_role("button", name="Reset").click()
    expect(told).to_have_text("All is as at the start.")
    assert emulator.settings.show("journal_texts") == {"journal_texts": True}
    assert emulator.latency.profile() is None


def test_the_clock_of_an_emulator_that_has_one_is_moved(look: Open) -> None:
    clock = VirtualClock()
    with Emulator(EmulatorConfig(port=0), clock=clock) as emulator:
        page = look(emulator).go("switches")
        expect(page.get_by_label("Clock")).to_contain_text("Virtual")
        page.get_by_label("Seconds").fill("3600")
        page.get_by_role("button", name="Let them pass").click()
        expect(page.locator("#told")).to_have_text("The time has passed.")
        assert clock.now() == 3600


def test_a_key_of_ones_own_is_asked_for_and_sent_in_a_header_alone(look: Open) -> None:
    key = "a-key-of-my-own-1234"
    with Emulator(EmulatorConfig(port=0, key=key)) as emulator:
        looker: Looker = look(emulator)
        looker.expected = "40"  # 400 without a key, 401 with a wrong one
        page = looker.page
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.goto(f"{emulator.root}/_emulator/")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("This emulator has a key of its own.")
        expect(page).to_have_title(re.compile("^key wanted"))
        dialog.get_by_label("Key").fill("wrong")
        dialog.get_by_role("button").click()
        expect(dialog).to_contain_text("does not open this emulator")
        dialog.get_by_label("Key").fill(key)
        dialog.get_by_role("button").click()
        expect(page.locator("#connection")).to_have_text("Connected")
        httpx.post(f"{emulator.root}/chat/completions", json={}, trust_env=False)
        expect(page.locator(".row")).to_have_count(1)
        page.reload()
        expect(page.locator("#connection")).to_have_text("Connected")
        assert not any(key in url for url in urls)
        assert page.evaluate("localStorage.length + document.cookie.length") == 0


def test_the_engine_shows_who_runs(emulator: Emulator, look: Open, ask: Asker) -> None:
    page = look(emulator).go("engine")
    expect(page.get_by_text("Nobody runs, and nobody waits.")).to_be_visible()
    emulator.faults.add("stall", tokens=3, seconds=30)
    with ask.http.stream(
        "POST", "/chat/completions", json={"messages": [{"role": "user", "content": "hi"}], "stream": True}
    ):
        expect(page.locator("#connection")).to_have_text("Connected, 1 running")
    expect(page.locator(".big-figures")).to_contain_text("tokens/s")
    expect(page.get_by_label("Cache")).to_contain_text("blocks")
    expect(page.locator(".curve-line polyline")).to_have_attribute("points", re.compile(r"\d"))


def test_the_chat_asks_each_surface_in_its_own_way_and_says_what_went_wrong(look: Open) -> None:
    for dialect in ("managed_compute", "openai_v1"):
        with Emulator(EmulatorConfig(port=0, dialect=dialect)) as emulator:
            looker = look(emulator)
            looker.expected = "net::ERR_"
            page = looker.go("chat")
            page.fill("#question", "What is 6 * 7?")
            page.keyboard.press("Enter")
            expect(page.locator(".bubble-assistant math")).to_have_text("42")
            emulator.faults.add("cut_body", bytes=3000)
            page.fill("#question", "What is 6 * 8?")
            page.keyboard.press("Enter")
            expect(page.locator(".bubble-assistant .fault")).to_have_text("The answer broke off.")
            page.get_by_role("link", name="Look at this exchange").last.click()
            expect(page.locator(".exchange .id")).to_contain_text("cut")
