"""Whoever looks on sees exchanges as they come, token by token, and is nobody's burden."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.journal.entry import JournalEntry
from phi_emulator.journal.spent import Spent
from phi_emulator.journal.timeline import Timeline
from phi_emulator.web.insight import feeds

from phi_client import PhiClient
from phi_client.testing import VirtualClock, with_clock

SECONDS = 20
WORDS = " ".join(f"word{number}" for number in range(60))


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    config = EmulatorConfig(port=0, journal_texts=True)
    with Emulator(config, make_engine=lambda: ScriptedEngine(lambda _: WORDS)) as running:
        yield running


def ask(emulator: Emulator, *, scope: str = "", fault: str = "", **more: Any) -> httpx.Response | None:
    headers = {"Authorization": f"Bearer {emulator.key}"}
    headers |= {"x-phi-scope": scope} if scope else {}
    headers |= {"x-phi-fault": fault} if fault else {}
    body = {"messages": [{"role": "user", "content": "six"}], "max_tokens": 400, **more}
    try:
        return httpx.post(f"{emulator.root}/chat/completions", headers=headers, json=body, timeout=SECONDS)
    except httpx.HTTPError:
        return None


@contextmanager
def listening(emulator: Emulator, path: str, **headers: str) -> Iterator[Iterator[tuple[str, Any, str]]]:
    """The events of a feed: name, data, id."""

    def events(answer: httpx.Response) -> Iterator[tuple[str, Any, str]]:
        name = number = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("id: "):
                number = line[4:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:]), number

    key = {"Authorization": f"Bearer {emulator.key}"}
    with httpx.stream("GET", emulator.root + path, headers={**key, **headers}, timeout=SECONDS) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


def until(events: Iterator[tuple[str, Any, str]], name: str, what: Any = None) -> tuple[Any, str]:
    """The next event of a name for which `what` holds."""
    return next(
        (data, number) for found, data, number in events if found == name and (what is None or what(data))
    )


def test_the_list_tells_what_begins_and_what_ends_and_goes_on_where_it_was(emulator: Emulator) -> None:
    ask(emulator, scope="one")
    with listening(emulator, "/_emulator/events") as events:
        told, number = until(events, "exchanges", lambda data: data["exchanges"])
        [first] = told["exchanges"]
        assert (first["number"], first["ending"], told["keeps_texts"], number) == (1, "answered", True, "1")
        assert "texts" not in first
        asking = threading.Thread(
            target=ask, args=(emulator,), kwargs={"stream": True, "fault": "stall tokens=3 seconds=1"}
        )
        asking.start()
        told, _ = until(events, "exchanges", lambda data: data["exchanges"])
        assert [(one["number"], one["ending"]) for one in told["exchanges"]] == [(None, "running")]
        engine, _ = until(events, "engine")
        assert engine["state"] == "ready"
        ended, number = until(events, "exchanges", lambda data: data["last"] == 2)
        assert ended["exchanges"][0]["id"] == told["exchanges"][0]["id"]
        assert number == "2"
        asking.join()
    ask(emulator, scope="two")
    with listening(emulator, "/_emulator/events", **{"Last-Event-ID": "2"}) as events:
        told, _ = until(events, "exchanges", lambda data: data["exchanges"])
        assert [one["number"] for one in told["exchanges"]] == [3]
    with listening(emulator, "/_emulator/events?scope=one") as events:
        told, _ = until(events, "exchanges")
        assert [one["number"] for one in told["exchanges"]] == [1]
    # Feeds are no exchanges.
    assert emulator.journal.last == 3


def test_many_exchanges_are_told_in_pieces(emulator: Emulator) -> None:
    for number in range(700):
        emulator.journal.begin(number, _made(number))
        emulator.journal.end(number)
    with listening(emulator, "/_emulator/events") as events:
        found: list[int] = []
        while len(found) < 700:
            told, _ = until(events, "exchanges")
            assert len(told["exchanges"]) <= 200
            found += [one["number"] for one in told["exchanges"]]
    assert found == list(range(1, 701))


def _made(number: int) -> Any:
    return lambda place: JournalEntry(
        number=place, id=str(number), scope="", began=0.0, ending="answered", method="POST", path="/",
        surface="serverless",        route="/", request_headers={}, spent=Spent(web_ms=1.0), timeline=Timeline(),
    )  # fmt: skip


def test_an_exchange_is_told_token_by_token_while_it_runs_and_whole_at_its_end(emulator: Emulator) -> None:
    asking = threading.Thread(
        target=ask, args=(emulator,), kwargs={"stream": True, "fault": "stall tokens=3 seconds=1"}
    )
    asking.start()
    end = time.monotonic() + SECONDS
    while not (running := emulator.journal.all_watched()) and time.monotonic() < end:
        pass
    tokens: list[dict[str, Any]] = []
    with listening(emulator, f"/_emulator/journal/{running[0].id}/events") as events:
        for name, data, _ in events:
            if name == "end":
                break
            tokens += data
    asking.join()
    assert "".join(one["text"] for one in tokens if one["kind"] == "content") == WORDS
    assert tokens == data["tokens"]
    kinds = [one["kind"] for one in tokens]
    assert kinds[0] == "role"
    assert kinds[-1] == "end"
    struck = kinds.index("fault")
    assert tokens[struck]["text"] == "stall"
    # It waits before the fourth token, for a second.
    assert sum(kind == "content" for kind in kinds[:struck]) == 3
    assert tokens[struck + 1]["ms"] - tokens[struck]["ms"] >= 990
    assert data["fault_at"]["ms"] == pytest.approx(tokens[struck]["ms"])
    # One that is over is told at once.
    with listening(emulator, f"/_emulator/journal/{data['id']}/events") as events:
        again, _ = until(events, "token")
        assert again == tokens
        whole, _ = until(events, "end")
        assert whole["id"] == data["id"]


def test_without_texts_no_text_is_told(emulator: Emulator) -> None:
    emulator.settings.set(journal_texts=False, scope="silent")
    ask(emulator, scope="silent", stream=True)
    [entry] = emulator.journal.wait_for(1, scope="silent")
    assert (entry.texts, entry.sent) == (None, None)
    assert {one.kind for one in entry.tokens} == {"event"}
    assert sum(one.events for one in entry.tokens) == sum(chunk.events for chunk in entry.timeline)
    ask(emulator, stream=True)
    assert emulator.journal.wait_for(2)[-1].texts is not None


def test_a_credential_that_is_repeated_is_told_by_no_feed() -> None:
    secret = "sk-0123456789abcdef0123456789"
    config = EmulatorConfig(port=0, journal_texts=True)
    with Emulator(
        config, make_engine=lambda: ScriptedEngine(lambda _: f"it is {secret} and more")
    ) as emulator:
        httpx.post(
            f"{emulator.root}/chat/completions",
            headers={"Authorization": f"Bearer {emulator.key}", "x-my-api-key": secret},
            json={"messages": [{"role": "user", "content": "?"}], "stream": True},
        )
        [entry] = emulator.journal.wait_for(1)
        with listening(emulator, f"/_emulator/journal/{entry.id}/events") as events:
            whole, _ = until(events, "end")
        assert secret not in json.dumps(whole)
        assert entry.sent is None
        assert all(one.text is None for one in entry.tokens)


def test_no_more_feeds_are_open_than_may_be(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_FEEDS", 1)
    with listening(emulator, "/_emulator/events") as events:
        until(events, "engine")
        refused = httpx.get(
            f"{emulator.root}/_emulator/events", headers={"Authorization": f"Bearer {emulator.key}"}
        )
        assert refused.status_code == 503


def test_a_limit_of_time_for_answers_ends_no_feed(emulator: Emulator) -> None:
    emulator.settings.set(request_timeout_ms=1)
    with listening(emulator, "/_emulator/events") as events:
        until(events, "engine")
        until(events, "engine")


def test_the_end_of_the_emulator_ends_feeds_at_once(emulator: Emulator) -> None:
    with listening(emulator, "/_emulator/events") as events:
        until(events, "engine")
        begun = time.monotonic()
        stopping = threading.Thread(target=emulator.stop, kwargs={"drain_seconds": SECONDS})
        stopping.start()
        assert all(name != "nothing" for name, _, _ in events)  # to the end, which is a regular one
        stopping.join()
    assert time.monotonic() - begun < SECONDS


def test_who_does_not_read_is_cut_off_and_holds_nothing_up(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feeds, "PATIENCE_S", 0.2)
    for number in range(1000):
        emulator.journal.begin(number, _made(number))
        emulator.journal.end(number)
    host, port = emulator.root.removeprefix("http://").split(":")
    with closing(socket.socket()) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.connect((host, int(port)))
        deaf.sendall(
            f"GET /_emulator/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {emulator.key}\r\n\r\n".encode()
        )
        end = time.monotonic() + SECONDS
        while "read nothing" not in caplog.text and time.monotonic() < end:
            ask(emulator)
            emulator.journal.clear()
            for number in range(1000):
                emulator.journal.begin(number, _made(number))
                emulator.journal.end(number)
        assert "read nothing" in caplog.text
    assert ask(emulator) is not None


def test_virtual_time_neither_waits_for_a_feed_nor_stands_still() -> None:
    clock = VirtualClock()
    config = EmulatorConfig(port=0, journal_texts=True)
    with (
        Emulator(config, make_engine=lambda: ScriptedEngine(lambda _: WORDS), clock=clock) as emulator,
        listening(emulator, "/_emulator/events") as events,
    ):
        until(events, "engine")
        begun = time.monotonic()
        with with_clock(PhiClient(emulator.endpoint, emulator.key), clock) as client:
            client.complete("six", headers={"x-phi-fault": "wait seconds=3600"}, max_retries=0, timeout=7200)
        assert clock.now() >= 3600
        assert time.monotonic() - begun < SECONDS
        until(events, "exchanges", lambda data: data["last"] == 1)


def test_nothing_is_looked_at_while_nobody_listens(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    for name in ("all_watched", "ended"):
        look = getattr(emulator.journal, name)

        def counted(*args: Any, look: Any = look, name: str = name, **named: Any) -> Any:
            looks.append(name)
            return look(*args, **named)

        monkeypatch.setattr(emulator.journal, name, counted)
    for _ in range(3):
        ask(emulator, stream=True)
    assert looks == []
    with listening(emulator, "/_emulator/events") as events:
        until(events, "exchanges", lambda data: len(data["exchanges"]) == 3)
    assert {*looks} == {"all_watched", "ended"}


def test_the_engine_is_told_by_who_runs_in_it(emulator: Emulator) -> None:
    headers = {"Authorization": f"Bearer {emulator.key}"}
    first = httpx.get(f"{emulator.root}/_emulator/engine", headers=headers).json()
    assert (first["running"], first["waiting"], first["cache"]["in_use"]) == ([], [], 0)
    assert first["cache"]["total"] > 0
    ask(emulator)
    second = httpx.get(f"{emulator.root}/_emulator/engine", headers=headers).json()
    assert second["tokens"] > first["tokens"]
    assert second["tokens_a_second"] > 0
    assert httpx.get(f"{emulator.root}/_emulator/engine").status_code in (400, 401)
