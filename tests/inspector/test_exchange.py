"""One exchange: its stream drawn live, what was said, where the time went; and answers that mean harm."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tests.inspector.conftest import Asker, Open

TOKENS = 2000


def pieces(page: Page) -> int:
    """How many the time line has."""
    return int(page.locator(".slider").get_attribute("aria-valuemax") or 0)


def test_two_thousand_tokens_are_drawn_as_they_come(emulator: Emulator, look: Open, ask: Asker) -> None:
    emulator.script.answer("Count.", " ".join(str(number % 10) for number in range(TOKENS // 2)))
    page = look(emulator).go()
    asking = threading.Thread(
        target=ask,
        args=("Count.",),
        kwargs={
            "stream": True,
            "max_tokens": TOKENS,
            "headers": {"x-phi-latency": "first=100ms, rate=500/s"},
        },
    )
    asking.start()
    row = page.locator(".row")
    expect(row).to_contain_text("running")
    expect(page).to_have_title(re.compile("^1 running"))
    row.click()
    page.wait_for_function("() => document.querySelector('.slider').getAttribute('aria-valuemax') > 100")
    seen = [pieces(page)]
    assert page.locator(".id").inner_text().startswith("running")
    expect(page.locator(".answer")).to_contain_text("0 1 2 3")
    page.wait_for_function(
        f"() => document.querySelector('.slider').getAttribute('aria-valuemax') > {seen[0]}"
    )
    seen.append(pieces(page))
    # The cursor stays where somebody has put it while more come.
    page.locator(".slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    asking.join()
    expect(page.locator(".id")).to_contain_text("answered")
    expect(page.locator(".slider")).to_have_attribute("aria-valuenow", "1")
    [entry] = emulator.journal.wait_for(1)
    assert entry.usage is not None
    assert entry.usage.completion > TOKENS / 2
    told = len([one for one in entry.tokens if one.kind == "content"])
    expect(page.get_by_label("Stream").locator("dd").first).to_have_text(f"{told:,}")
    assert 100 < seen[0] < seen[1] <= pieces(page)
    drawn = page.locator(".token-content").get_attribute("d") or ""
    assert drawn.count("M") == told
    # A second look has no more than the first one.
    page.reload()
    expect(page.get_by_label("Stream").locator("dd").first).to_have_text(f"{told:,}")


def test_a_fault_is_where_it_struck(emulator: Emulator, look: Open, ask: Asker) -> None:
    ask(stream=True, headers={"x-phi-fault": "stall tokens=5 seconds=0.2"})
    page = look(emulator).go()
    page.locator(".row").click()
    expect(page.get_by_text("Met a fault:")).to_contain_text("stall")
    assert (page.locator(".token-fault").get_attribute("d") or "").count("M") == 1
    expect(page.locator(".chip-fault")).to_have_text("stall")
    texts = page.locator(".chip").all_inner_texts()
    assert 5 <= texts.index("stall") <= 7
    expect(page.locator(".why")).to_contain_text("waited on purpose")


def test_thoughts_and_answer_stand_apart_and_formulas_are_drawn(
    emulator: Emulator, look: Open, ask: Asker
) -> None:
    emulator.script.answer(
        "Solve it.",
        r"So \[x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}\] and $x^2$, \(\nosuchcommand{1}\), "
        r"which costs $5 or $6: \boxed{42}",
        reasoning=r"First \(a^2 + b^2\), then the rest.",
    )
    ask("Solve it.")
    page = look(emulator).go()
    page.locator(".row").click()
    expect(page.locator(".thoughts math")).to_have_count(1)
    answer = page.locator(".answer")
    expect(answer.locator("math")).to_have_count(3)
    expect(answer.locator("math mfrac")).to_have_count(1)
    expect(answer.locator("math .boxed")).to_have_text("42")
    expect(answer).to_contain_text(r"\(\nosuchcommand{1}\), which costs $5 or $6:")
    expect(answer).not_to_contain_text("First")


def test_what_was_asked_and_how_it_went_can_be_read_and_copied(
    emulator: Emulator, look: Open, ask: Asker
) -> None:
    ask("What is 6 * 7?", presence_penalty=0)
    looker = look(emulator, permissions=["clipboard-read", "clipboard-write"])
    page = looker.go()
    page.locator(".row").click()
    expect(page.get_by_label("Request", exact=True)).to_contain_text("What is 6 * 7?")
    [entry] = emulator.journal.wait_for(1)
    assert entry.usage is not None
    facts = page.locator(".exchange-body > .facts")
    expect(facts).to_contain_text(f"{entry.usage.prompt} tokens")
    expect(facts).to_contain_text("tokens/s")
    parts = page.get_by_label("Why slow").locator("tbody tr th")
    assert [text.split()[0] for text in parts.all_inner_texts()] == [
        "queue", "prefill", "decode", "web", "client", "whole",
    ]  # fmt: skip
    for form, words in [
        ("curl", "curl "),
        ("Python", "from phi_client import"),
        ("openai", "from openai import"),
        ("Recording", "What is 6 * 7?"),
        ("Test", "def test_"),
    ]:
        page.get_by_role("button", name=form, exact=True).click()
        expect(page.locator(".copied")).to_contain_text(words)
        expect(page.locator("#told")).to_have_text(f"Copied as {form}.")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert words in copied
        assert emulator.key not in copied


def test_what_differed_from_azure_leads_to_what_is_known_of_it(
    emulator: Emulator, look: Open, ask: Asker
) -> None:
    ask(max_tokens=100_000)
    page = look(emulator).go()
    page.locator(".row").click()
    difference = page.locator(".differences a").first
    subject = difference.inner_text()
    difference.click()
    expect(page.locator(".deviation.is-wanted h3")).to_have_text(subject)
    expect(page.locator(".deviation.is-wanted")).to_be_focused()


def test_two_exchanges_are_compared(emulator: Emulator, look: Open, ask: Asker) -> None:
    emulator.script.answer("One.", "The beginning is the same, and the end is one.")
    emulator.script.answer("Two.", "The beginning is the same, and the end is two.")
    ask("One.", stream=True)
    ask("Two.", temperature=0.5)
    page = look(emulator).go()
    page.locator(".row").last.click()
    page.get_by_role("button", name="Compare").click()
    page.locator(".row").first.click()
    page.get_by_role("button", name="Compare with the marked one").click()
    expect(page.locator(".compared thead")).to_have_text(re.compile(r"#\d+\s*#\d+"))
    for differing in ("stream", "sampling"):
        expect(page.locator("tr.differs", has_text=differing)).to_have_count(1)
    expect(page.locator("tr:not(.differs)", has_text="surface")).to_have_count(1)
    expect(page.locator("mark")).to_have_text(["one.", "two."])
    assert len(page.locator(".pair .line").all()) == 2


HOSTILE = (
    "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=2</script><svg onload='window.hacked=3'>"
    "<a href='javascript:window.hacked=4'>here</a> \\(\\href{javascript:window.hacked=5}{x}\\) "
    "\\(\\text{<script>window.hacked=6</script>}\\) \x01\x07\x1b[31m\u202edesrever\u202c \u200bzero\U0001f600 "
)


@pytest.fixture(scope="module")
def hostile() -> Iterator[Emulator]:
    """Answers with a line of a megabyte without a space: one token of an engine that says what it is told."""

    def find_model(_: EmulatorConfig) -> tuple[str, Callable[[], ScriptedEngine]]:
        return "scripted", lambda: ScriptedEngine(lambda _: HOSTILE + "x" * 1_048_576 + " end")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("phi_emulator.emulator.find_model", find_model)
        with Emulator(EmulatorConfig(port=0, journal_texts=True)) as emulator:
            yield emulator


def test_a_hostile_answer_does_no_harm(hostile: Emulator, look: Open) -> None:
    hostile.journal.clear()
    with httpx.Client(base_url=hostile.root, timeout=60, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {hostile.key}", "x-phi-scope": "<b onclick=1>'\"&lt;"}
        body = {"messages": [{"role": "user", "content": HOSTILE}], "stream": True}
        assert http.post("/chat/completions", json=body, headers=headers).status_code == 200
        page = look(hostile).go()
        page.locator(".row").click()
        answer = page.locator(".answer")
        expect(answer).to_contain_text("<script>window.hacked=2</script>")
        expect(answer).to_contain_text("\u2401\u2407\u241b[31m\u27e8U+202E\u27e9desrever")
        expect(page.locator(".answer img, .answer script, .answer a, .answer [href]")).to_have_count(0)
        assert page.evaluate("window.hacked") is None
        # Of the long line as much is there as can be read, and more on demand.
        more = page.locator(".answer").get_by_role("button", name="more of")
        assert page.evaluate("document.body.textContent.length") < 200_000
        more.click()
        expect(more).to_contain_text("20,000 more of 65,53")
        assert page.evaluate("document.querySelector('.answer .said').textContent.length") > 39_000
        assert page.evaluate("document.documentElement.scrollWidth") == 1280
        page.locator(".slider").focus()
        page.keyboard.press("End")
        page.keyboard.press("PageDown")
        assert len(page.locator(".timeline").inner_text()) < 2000
        page.go_back()
        page.fill("#search", 'scope:"<b onclick"')
        expect(page.locator("#query-said")).to_have_text("1 exchange")


def test_a_hostile_answer_does_no_harm_in_the_chat(hostile: Emulator, look: Open) -> None:
    page = look(hostile).go("chat")
    page.fill("#question", HOSTILE)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="20,000 more of 1,0")).to_be_visible()
    expect(page.locator(".bubble img, .bubble script, .bubble [href^=java]")).to_have_count(0)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_the_page_says_when_the_emulator_is_gone_and_comes_back_by_itself(look: Open) -> None:
    first = Emulator(EmulatorConfig(port=0, journal_texts=True))
    with first:
        port = int(first.root.rpartition(":")[2])
        looker = look(first)
        looker.expected = "net::ERR_"
        page = looker.go()
    expect(page.locator("#connection")).to_contain_text("Trying again by itself")
    expect(page).to_have_title(re.compile("^not connected"))
    with Emulator(EmulatorConfig(port=port)) as second:
        expect(page.locator("#connection")).to_have_text("Connected")
        httpx.post(f"{second.root}/chat/completions", json={}, trust_env=False)
        expect(page.locator(".row")).to_have_count(1)
