"""The journal tells where an exchange went otherwise than on Azure, for each deviation that an exchange can show."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.journal.entry import JournalEntry
from phi_emulator.service.deviations import DEVIATIONS
from phi_emulator.service.differences import UNTOLD

from phi_client.contract.service import SURFACES

SECONDS = 20
ROOT = Path(__file__).parents[3]
ASK = {"model": "phi", "messages": [{"role": "user", "content": "six"}]}
V1, SERVERLESS, MANAGED = "openai_v1", "serverless", "managed_compute"
BAD = "phi-filter-violence"
JSON = {"response_format": {"type": "json_object"}}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    def make_engine() -> ScriptedEngine:
        return ScriptedEngine(lambda _: "one two three", context_length=100)

    with Emulator(EmulatorConfig(port=0), make_engine=make_engine) as running:
        yield running


scopes = (f"test-{number}" for number in itertools.count())


def noted(
    emulator: Emulator,
    surface: str,
    body: Mapping[str, object],
    headers: dict[str, str] | None = None,
    query: str = "",
) -> JournalEntry:
    scope = next(scopes)
    key, spoken = emulator.key_of(surface), SURFACES[surface]
    url = f"{emulator.root}{spoken.emulator_prefix}{spoken.chat_routes[0]}{query}"
    known = {"authorization": f"Bearer {key}", "api-key": key, "x-phi-scope": scope}
    httpx.post(url, json=body, headers=known | (headers or {}), timeout=SECONDS)
    [entry] = emulator.journal.wait_for(1, scope=scope)
    return entry


CASES: list[tuple[str, str, Mapping[str, object], dict[str, str]]] = [
    ("max-tokens-beyond-the-context", V1, {**ASK, "max_tokens": 5000}, {}),
    ("penalties", V1, {**ASK, "presence_penalty": 1}, {}),
    ("response-format", V1, {**ASK, **JSON}, {}),
    ("response-format", SERVERLESS, {**ASK, **JSON}, {}),
    ("extra-parameters", SERVERLESS, {**ASK, "top_k": 3}, {"extra-parameters": "pass-through"}),
    ("streaming-on-managed-compute", MANAGED, {**ASK, "stream": True}, {}),
    ("size-of-bodies-and-errors", SERVERLESS, {**ASK, "stop": ["x"] * 50_001}, {}),
    ("names-in-headers", V1, {**ASK, "model": "ф" * 20}, {}),
    ("custom-headers", V1, ASK, {f"x-mine-{number}": "1" for number in range(11)}),
    ("foreign-hosts-and-origins", V1, ASK, {"origin": "http://example.com"}),
    ("sampling", V1, {**ASK, "seed": 3}, {}),
]


@pytest.mark.parametrize(("name", "surface", "body", "headers"), CASES)
def test_a_deviation_is_told(
    emulator: Emulator, name: str, surface: str, body: Mapping[str, object], headers: dict[str, str]
) -> None:
    entry = noted(emulator, surface, body, headers)
    links = [one.link for one in entry.differences]
    assert f"docs/reference/coverage.md#{name}" in links
    assert f"#{name})" in entry.describe()


def test_what_goes_as_on_azure_differs_in_nothing(emulator: Emulator) -> None:
    assert noted(emulator, SERVERLESS, {**ASK, "max_tokens": 5}).differences == ()
    assert noted(emulator, MANAGED, {**ASK, "max_tokens": 5}).differences == ()
    assert noted(emulator, V1, {"messages": []}).differences == ()


def test_a_filter_by_words_is_told(emulator: Emulator) -> None:
    emulator.settings.set(content_filter="default")
    try:
        told = [
            noted(emulator, V1, {**ASK, "messages": [{"role": "user", "content": text}]})
            for text in ("six", BAD)
        ]
    finally:
        emulator.reset()
    assert [one.status for one in told] == [200, 400]
    assert {one.subject for entry in told for one in entry.differences} == {"Content safety"}


def test_limits_and_loose_versions_are_told(emulator: Emulator) -> None:
    emulator.settings.set(loose=True, requests_per_minute=5)
    try:
        entry = noted(emulator, SERVERLESS, {**ASK, "max_tokens": 5}, query="?api-version=1999-01-01")
    finally:
        emulator.reset()
    assert [one.subject for one in entry.differences] == ["`api-version`", "Rate limits"]


def test_a_full_queue_is_told() -> None:
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go.wait(SECONDS)

    def make_engine() -> ScriptedEngine:
        return ScriptedEngine(lambda _: "one", max_running=1, before_step=hold)

    with Emulator(EmulatorConfig(port=0, queue_size=0), make_engine=make_engine) as running:
        first = threading.Thread(target=noted, args=(running, V1, ASK))
        first.start()
        assert held.wait(SECONDS)
        entry = noted(running, V1, ASK)
        go.set()
        first.join()
    assert entry.status == 429
    assert "full-queue" in [one.link.partition("#")[2] for one in entry.differences]


def test_each_deviation_is_told_somewhere_or_says_why_not(emulator: Emulator) -> None:
    """Those of tokens, of swagger, of extensions and of long answers are held by `Facts` alone."""
    from phi_emulator.service.differences import _MET  # noqa: PLC0415 - the table itself

    known = {one.id for one in DEVIATIONS}
    assert known == _MET.keys() | UNTOLD.keys()
    assert not _MET.keys() & UNTOLD.keys()


def test_each_link_leads_somewhere() -> None:
    page = (ROOT / "docs/reference/coverage.md").read_text(encoding="utf-8")
    for one in DEVIATIONS:
        path, _, anchor = one.link.partition("#")
        assert path == "docs/reference/coverage.md"
        assert page.count(f'<a id="{anchor}"></a>') == 1
