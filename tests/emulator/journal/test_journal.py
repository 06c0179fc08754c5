"""The journal is bounded, keeps scopes apart, and is read from where one left off."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.journal.entry import JournalEntry, Texts
from phi_emulator.journal.journal import Journal, JournalTimeoutError, MakeEntry
from phi_emulator.journal.spent import Spent
from phi_emulator.journal.timeline import Chunk, Timeline


def made(name: str = "a", scope: str = "", texts: Texts | None = None) -> MakeEntry:
    return lambda number: JournalEntry(
        number=number,
        id=name,
        scope=scope,
        began=0.0,
        ending="running" if number is None else "answered",
        method="POST",
        path="/chat/completions",
        surface="serverless",
        route="/chat/completions",
        request_headers={},
        spent=Spent(web_ms=1.0),
        timeline=Timeline(),
        texts=texts,
    )


def noted(journal: Journal, name: str = "a", scope: str = "", texts: Texts | None = None) -> None:
    journal.begin(name, made(name, scope, texts))
    journal.end(name)


ids = st.sampled_from(["", "a", "b", "c"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["end", "clear", "begin"]), ids), max_size=60), st.integers(1, 5))
def test_a_scope_keeps_its_last_ones_whatever_others_do(steps: list[tuple[str, str]], most: int) -> None:
    """Against a model: a list for each scope, cut at its length."""
    journal = Journal(most=most)
    model: dict[str, list[int]] = {}
    running: list[str] = []
    last = 0
    for place, (step, scope) in enumerate(steps):
        if step == "end":
            noted(journal, str(place), scope)
            last += 1
            model[scope] = [*model.get(scope, []), last][-most:]
        elif step == "begin":
            journal.begin(place, made(str(place), scope))
            running.append(scope)
        else:
            journal.clear(scope=scope or None)
            model = {} if not scope else {name: kept for name, kept in model.items() if name != scope}
    everything = sorted(number for kept in model.values() for number in kept)
    assert [one.number for one in journal.exchanges() if one.is_over] == everything
    assert [one.scope for one in journal if not one.is_over] == running
    assert len(journal) == len(everything) + len(running)
    for scope in ("", "a", "b"):
        kept = model.get(scope, [])
        found = journal.exchanges(scope=scope)
        assert [one.number for one in found] == [*kept, *[None] * running.count(scope)]
        for after in {0, last // 2, last}:
            later = [one.number for one in journal.exchanges(scope=scope, after=after) if one.is_over]
            assert later == [number for number in kept if number > after]
        assert journal.exchanges(scope=scope, limit=2) == found[-2:]
        assert journal.exchanges(scope=scope, limit=0) == ()
    assert journal.last == last


def test_where_memory_runs_out_the_largest_scope_loses_its_oldest() -> None:
    journal = Journal(most_bytes=200_000)
    noted(journal, "small", "quiet")
    for number in range(40):
        noted(journal, f"large-{number}", "noisy", Texts("x" * 5000))
    kept = journal.exchanges()
    assert [one.id for one in kept if one.scope == "quiet"] == ["small"]
    assert [one.id for one in kept if one.scope == "noisy"] == [f"large-{n}" for n in range(32, 40)]
    assert journal.dropped == 32


def test_of_very_many_scopes_the_one_not_used_for_longest_is_forgotten() -> None:
    journal = Journal()
    for number in range(1001):
        noted(journal, str(number), f"scope-{number}")
        noted(journal, "again", "scope-0")
    assert journal.exchanges(scope="scope-1") == ()
    assert len(journal.exchanges(scope="scope-0")) == 1000
    assert len(journal.exchanges(scope="scope-2")) == 1


def test_an_exchange_ends_once_and_not_at_all_where_none_are_kept() -> None:
    journal, none = Journal(), Journal(most=0)
    for one in (journal, none):
        noted(one)
        one.end("a")
        one.end("never begun")
    assert (journal.last, len(journal), none.last, len(none)) == (1, 1, 0, 0)


def test_waiting_returns_when_enough_have_ended_and_says_what_runs_where_not() -> None:
    journal = Journal()
    journal.begin("slow", made("slow", "mine"))
    with pytest.raises(JournalTimeoutError, match=r"0 of 1 exchanges(.|\n)*these still run:(.|\n)*slow"):
        journal.wait_for(1, scope="mine", seconds=0.01)
    thread = threading.Thread(target=lambda: journal.end("slow"))
    thread.start()
    [entry] = journal.wait_for(1, scope="mine", seconds=20)
    thread.join()
    assert (entry.id, entry.number) == ("slow", 1)
    with pytest.raises(JournalTimeoutError, match="0 of 1 exchanges have ended after 0 s"):
        journal.wait_for(1, scope="yours", seconds=0)


def test_threads_read_while_others_write() -> None:
    journal, done = Journal(most=50), threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not done.is_set():
            numbers = [one.number for one in journal.exchanges() if one.is_over]
            if numbers != sorted(numbers, key=lambda number: number or 0):
                wrong.append(numbers)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(2000):
        noted(journal, str(number), str(number % 3))
    done.set()
    reader.join()
    assert not wrong
    assert journal.last == 2000


pieces = st.lists(
    st.tuples(st.floats(0, 1e6), st.integers(0, 10**9), st.integers(0, 1000)), min_size=1, max_size=200
)


@given(pieces, st.integers(2, 20))
def test_a_long_timeline_tells_the_whole_answer_at_less_detail(
    given_pieces: list[tuple[float, int, int]], most: int
) -> None:
    chunks = [Chunk(*one) for one in sorted(given_pieces)]
    timeline = Timeline(chunks, most=most)
    assert len(timeline) <= most
    if len(chunks) <= most:
        assert list(timeline) == chunks == list(timeline.copy())
    assert timeline.size == sum(chunk.size for chunk in chunks)
    assert sum(chunk.events for chunk in timeline) == sum(chunk.events for chunk in chunks)
    times = [chunk.ms for chunk in timeline]
    assert times == sorted(times)
    assert timeline[-1].ms == chunks[-1].ms
    assert set(times) <= {chunk.ms for chunk in chunks}
    assert timeline[:2] == list(timeline)[:2]
    assert timeline.memory <= most * 24


seconds = st.floats(0, 1e5)
maybe = st.none() | seconds


@given(
    seconds,
    seconds,
    st.fixed_dictionaries(dict.fromkeys(("queued", "admitted", "first_token", "ended"), maybe)),
    seconds,
)
def test_the_parts_are_none_below_nothing_and_add_up(
    received: float, over: float, marks: dict[str, Any], client: float
) -> None:
    """Whatever came about and whenever, also what an engine did after its client had left."""
    spent = Spent.between(received, over, client=client, **marks)
    parts = (spent.queue_ms, spent.prefill_ms, spent.decode_ms, spent.web_ms, spent.client_ms)
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(max(0.0, over - received) * 1000, rel=1e-6, abs=1e-3)


def test_each_part_is_what_lies_between_its_marks() -> None:
    spent = Spent.between(1.0, 10.0, queued=1.5, admitted=3.5, first_token=4.0, ended=8.0, held=0.25)
    assert (spent.queue_ms, spent.prefill_ms, spent.decode_ms, spent.web_ms) == (2000, 500, 4000, 2500)
    assert (spent.total_ms, spent.held_ms) == (9000, 250)
    waited = Spent.between(1.0, 10.0, queued=1.5, admitted=3.5, first_token=4.0, ended=8.0, client=1.5)
    assert (waited.decode_ms, waited.web_ms, waited.client_ms, waited.total_ms) == (4000, 1000, 1500, 9000)
    left = Spent.between(1.0, 3.0, queued=1.5, admitted=None)
    assert (left.queue_ms, left.prefill_ms, left.decode_ms, left.web_ms) == (1500, 0, 0, 500)


def test_an_entry_is_made_when_somebody_looks_and_not_while_an_answer_ends() -> None:
    journal, asked = Journal(), list[int | None]()

    def snapshot(number: int | None) -> JournalEntry:
        asked.append(number)
        return made()(number)

    journal.begin("a", snapshot)
    journal.end("a")
    assert asked == []
    assert journal.last == 1
    assert [one.number for one in journal.exchanges()] == [1]
    assert asked == [1]


def test_entries_are_made_one_by_one_while_nobody_waits_and_few_are_left_unmade() -> None:
    journal, asked = Journal(), list[int | None]()

    def snapshot(number: int | None) -> JournalEntry:
        asked.append(number)
        return made()(number)

    for place in range(200):
        journal.begin(place, snapshot)
        journal.end(place)
    unmade = 200 - len(asked)
    assert 0 < unmade < 100
    assert [journal.tidy() for _ in range(unmade)] == [True] * (unmade - 1) + [False]
    assert asked == list(range(1, 201))
    assert not journal.tidy()
