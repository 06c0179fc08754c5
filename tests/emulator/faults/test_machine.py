"""What each fault does to an answer, without a socket or a clock."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.faults.actions import Bytes, Cut, End, Head, Refuse, Wait
from phi_emulator.faults.catalogue import EFFECTS, ERRORS
from phi_emulator.faults.machine import MACHINES, machine_for
from phi_emulator.faults.rules import read_fault

from phi_client.contract.events import EventDecoder
from phi_client.contract.service import SURFACES
from phi_client.contract.service.catalogue import CATALOGUE
from tests.emulator.faults.answers import (
    NOW,
    SERVERLESS,
    acts,
    body_of,
    completion_of,
    head_of,
    joined,
    of_stream,
    of_whole,
    stream_head,
    stream_of,
    waits_of,
    whole_head,
)

# One table for each value of each word, so that every form of every effect is tried.
TABLES: list[dict[str, Any]] = [
    {"effect": name, **({choosing.name: word} if choosing else {})}
    for name, effect in EFFECTS.items()
    for choosing in [next((one for one in effect.parameters if one.choices), None)]
    for word in (choosing.choices if choosing else [""])
]
SAME_BYTES = ("wait", "stall", "slow", "split", "content_type", "header_twice", "header_missing")


def events_of(body: bytes) -> list[str]:
    decoder = EventDecoder(max_event_bytes=100_000_000)
    return [event.data for event in (*decoder.feed(body), *decoder.flush())]


def texts_of(body: bytes) -> str:
    chunks = [json.loads(data) for data in events_of(body) if data != "[DONE]"]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join((delta.get("reasoning_content") or "") + (delta.get("content") or "") for delta in deltas)


def pieces_of(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    return [body[start:end] for start, end in pairwise(places)]


def test_each_effect_has_a_machine() -> None:
    assert [*MACHINES] == [*EFFECTS]


@settings(deadline=None)
@given(
    table=st.sampled_from(TABLES),
    surface=st.sampled_from([*SURFACES.values()]),
    streams=st.booleans(),
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    sizes=st.integers(0, 2000),
)
def test_how_the_answer_was_cut_changes_nothing(
    table: dict[str, Any], surface: Any, streams: bool, cuts: list[int], sizes: int
) -> None:
    numbers = {"tokens": sizes % 7, "bytes": max(64, sizes)}
    values = {key: value for key, value in table.items() if key != "effect"} | {
        parameter.name: numbers[parameter.name]
        for parameter in EFFECTS[table["effect"]].parameters
        if parameter.name in numbers
    }
    if "error" in values and surface.name not in ERRORS[values["error"]].surfaces:
        return
    body = stream_of(surface) if streams else completion_of(surface)
    head = stream_head() if streams else whole_head(body)
    once = acts(table["effect"], head, [body], surface, **values)
    split = acts(table["effect"], head, pieces_of(body, cuts), surface, **values)
    assert joined(split) == joined(once)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("effect", SAME_BYTES)
def test_what_is_late_or_in_pieces_is_the_same_answer(effect: str, surface: str) -> None:
    spoken = SURFACES[surface]
    assert body_of(of_stream(effect, spoken)) == stream_of(spoken)
    assert body_of(of_whole(effect, spoken)) == completion_of(spoken)


@pytest.mark.parametrize(
    ("name", "surface"), [(row.name, surface) for row in CATALOGUE for surface in row.surfaces]
)
def test_an_error_is_that_of_the_catalogue(name: str, surface: str) -> None:
    spoken = SURFACES[surface]
    assert of_whole("error", spoken, error=name) == [Refuse(ERRORS[name].refusal(spoken))]


def test_an_expired_token_gets_the_surfaces_words() -> None:
    assert of_stream("expired_token") == [Refuse(SERVERLESS.token_rules.wrong_token)]


def asked(form: str, surface: str = "serverless", seconds: float = 2.0) -> dict[str, str]:
    (refused,) = of_whole("retry_after", SURFACES[surface], form=form, seconds=seconds)
    assert isinstance(refused, Refuse)
    assert refused.refusal.status == 429
    return {
        name: value
        for name, value in refused.refusal.headers.items()
        if "retry" in name.lower() or "reset" in name.lower()
    }


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ("seconds", {"Retry-After": "2"}),
        ("ms", {"retry-after-ms": "2000"}),
        ("x_ms", {"x-ms-retry-after-ms": "2000"}),
        ("reset_requests", {"x-ratelimit-reset-requests": "2"}),
        ("reset_tokens", {"x-ratelimit-reset-tokens": "2"}),
        ("huge", {"Retry-After": "999999999"}),
        ("zero", {"Retry-After": "0"}),
        ("negative", {"Retry-After": "-1"}),
        ("garbage", {"Retry-After": "soon"}),
        ("absent", {}),
    ],
)
def test_a_429_asks_for_a_wait_in_one_form_alone(surface: str, form: str, headers: dict[str, str]) -> None:
    assert asked(form, surface) == headers


def test_a_date_is_no_sooner_than_the_wait() -> None:
    assert parsedate_to_datetime(asked("date", seconds=1.2)["Retry-After"]).timestamp() - NOW == 2
    assert parsedate_to_datetime(asked("past_date")["Retry-After"]).timestamp() < NOW


def test_the_first_byte_waits() -> None:
    assert of_whole("wait", seconds=7)[0] == Wait(7)


def test_a_stream_stalls_after_so_many_tokens_and_goes_on() -> None:
    actions = of_stream("stall", tokens=2, seconds=9)
    at = actions.index(Wait(9))
    assert texts_of(body_of(actions[:at])) == "one two\n"
    assert texts_of(body_of(actions)) == "one two\ndrei vier fünf"


def test_a_short_answer_stalls_at_its_end() -> None:
    actions = of_stream("stall", tokens=100, seconds=9)
    assert texts_of(body_of(actions[: actions.index(Wait(9))])) == "one two\ndrei vier fünf"
    assert b'"finish_reason":"stop"' not in body_of(actions[: actions.index(Wait(9))])


def test_a_slow_stream_waits_before_each_token() -> None:
    assert waits_of(of_stream("slow", seconds=0.25)) == [0.25] * 5


def test_comments_come_in_the_place_of_tokens() -> None:
    actions = joined(of_stream("comments_only", tokens=1, every=10, seconds=25))
    assert waits_of(actions) == [10, 10, 10]
    assert actions[3] == Bytes(b": keep-alive\n\n")
    assert texts_of(body_of(actions)) == "one two\ndrei vier fünf"


@pytest.mark.parametrize(("how", "with_reset"), [("reset", True), ("end", False)])
def test_a_head_is_cut_at_its_byte(how: str, with_reset: bool) -> None:
    assert of_whole("cut_head", how=how) == [Cut(with_reset, b"")]
    assert of_whole("cut_head", how=how, bytes=12) == [Cut(with_reset, b"HTTP/1.1 200")]
    (cut,) = of_whole("cut_head", how=how, bytes=9999)
    assert isinstance(cut, Cut)
    assert cut.last.endswith(b"\r\n")
    assert not cut.last.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("count", [0, 1, 77, 10_000])
def test_a_body_is_cut_at_its_byte(count: int) -> None:
    actions = of_stream("cut_body", bytes=count)
    assert body_of(actions) == stream_of(SERVERLESS)[:count]
    assert actions[-1] == Cut(with_reset=True)


def test_a_body_is_cut_as_soon_as_its_byte_was_sent() -> None:
    machine = machine_for(read_fault({"effect": "cut_body", "bytes": 4}), SERVERLESS, time.time)
    assert [*machine.body(b"ab")] == [Bytes(b"ab")]
    assert [*machine.body(b"cd")] == [Bytes(b"cd"), Cut(with_reset=True)]


def test_a_stream_that_broke_off_itself_loses_no_byte() -> None:
    body = stream_of(SERVERLESS)[:-20]
    assert body_of(acts("slow", stream_head(), [body])) == body


@pytest.mark.parametrize("surface", SURFACES)
def test_a_stream_without_its_end(surface: str) -> None:
    spoken = SURFACES[surface]
    ends = {
        without: (b'"finish_reason":"stop"' in body, b"[DONE]" in body)
        for without in ("both", "finish_reason", "done")
        for body in [body_of(of_stream("no_end", spoken, without=without))]
    }
    assert ends == {"both": (False, False), "finish_reason": (False, True), "done": (True, False)}
    assert texts_of(body_of(of_stream("no_end", spoken))) == "one two\ndrei vier fünf"


def test_a_malformed_event_stands_in_the_place_of_one() -> None:
    events = events_of(body_of(of_stream("malformed_event", tokens=2)))
    assert len(events) == len(events_of(stream_of(SERVERLESS)))
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(events[3])


def test_an_oversized_event_is_as_large_as_asked_for() -> None:
    events = events_of(body_of(of_stream("oversized_event", tokens=0, bytes=200_000)))
    assert len(events[0]) == 200_000
    assert json.loads(events[0])["choices"] == []
    assert events[1:] == events_of(stream_of(SERVERLESS))


@pytest.mark.parametrize("form", ["object", "event"])
def test_an_error_in_the_stream_is_the_last_but_done(form: str) -> None:
    actions = of_stream("error_in_stream", tokens=1, form=form)
    *before, error, done = events_of(body_of(actions))
    assert len(before) == 2
    assert "broke down" in error
    assert done == "[DONE]"
    assert actions[-1] == End()


@pytest.mark.parametrize("form", ["crlf", "cr", "multi_line", "bom", "comments"])
def test_other_forms_of_a_stream_hold_the_same_events(form: str) -> None:
    body = body_of(of_stream("other_sse", form=form))
    assert body != stream_of(SERVERLESS)
    seen = [data if data == "[DONE]" else json.loads(data) for data in events_of(body)]
    sent = [data if data == "[DONE]" else json.loads(data) for data in events_of(stream_of(SERVERLESS))]
    assert seen == sent


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_stream_finishes_early_and_says_why(surface: str, reason: str) -> None:
    body = body_of(of_stream("finish", SURFACES[surface], tokens=2, reason=reason))
    assert texts_of(body) == "one two\n"
    chunks = [json.loads(data) for data in events_of(body) if data != "[DONE]"]
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [one for one in finishes if one] == [reason]
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert [usage["completion_tokens"] for usage in usages] == [2] * len(usages)
    assert [usage["total_tokens"] for usage in usages] == [5] * len(usages)
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_whole_answer_finishes_early_and_says_why() -> None:
    actions = of_whole("finish", tokens=3, reason="length")
    answer = json.loads(body_of(actions))
    assert answer["choices"][0]["message"]["content"] == "<think>one two</think>drei vier"
    answer = json.loads(body_of(of_whole("finish", tokens=1)))
    assert answer["choices"][0]["message"]["content"] == "<think>one"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 1
    assert head_of(actions).get("content-length") == str(len(body_of(actions)))


@pytest.mark.parametrize(
    ("tokens", "left"), [(1, ("one", "")), (3, ("one  two", "three")), (9, ("one  two", "three four"))]
)
def test_the_words_of_the_reasoning_count_too(tokens: int, left: tuple[str, str]) -> None:
    body = b'{"choices":[{"message":{"content":"three four","reasoning_content":"one  two"}}]}'
    message = json.loads(body_of(acts("finish", whole_head(body), [body], tokens=tokens)))["choices"][0][
        "message"
    ]
    assert (message["reasoning_content"], message["content"]) == left


def test_a_split_answer_comes_in_pieces_of_one_size() -> None:
    actions = of_stream("split", bytes=3)
    sizes = [len(action.data) for action in actions if isinstance(action, Bytes)]
    assert set(sizes[:-1]) == {3}
    assert body_of(of_stream("split", bytes=7)) == stream_of(SERVERLESS)


def test_headers_are_changed_and_nothing_else() -> None:
    assert head_of(of_stream("content_type", value="text/plain")).get("Content-Type") == "text/plain"
    assert head_of(of_stream("header_twice", name="x-request-id")).headers[-2:] == (
        ("X-Request-ID", "r"),
        ("X-Request-ID", "r"),
    )
    assert head_of(of_stream("header_missing", name="x-request-id")).get("X-Request-ID") == ""


@pytest.mark.parametrize("form", ["empty", "empty_object", "html", "null_choices", "no_choices", "truncated"])
@pytest.mark.parametrize("make", [of_stream, of_whole])
def test_a_200_that_is_no_completion_has_the_length_that_it_says(make: Any, form: str) -> None:
    actions = make("not_a_completion", form=form)
    head, body = head_of(actions), body_of(actions)
    assert head.status == 200
    assert head.get("Content-Length") == str(len(body))
    assert ("text/html" in head.get("Content-Type")) == (form == "html")


def test_an_error_is_not_made_a_200_that_is_no_completion() -> None:
    actions = acts("not_a_completion", Head(404), [b"not found"])
    assert (head_of(actions).status, body_of(actions)) == (404, b"not found")


@pytest.mark.parametrize("make", [of_stream, of_whole])
def test_a_length_may_promise_too_much_or_too_little(make: Any) -> None:
    body = body_of(make("wait"))
    more, less = make("content_length", off=10), make("content_length", off=-10)
    assert head_of(more).get("Content-Length") == str(len(body) + 10)
    assert more[-2:] == [Bytes(body), Cut(with_reset=False)]
    assert head_of(less).get("Content-Length") == str(len(body) - 10)
    assert less[-2:] == [Bytes(body[:-10]), Cut(with_reset=False, last=body[-10:])]


@pytest.mark.parametrize("effect", [name for name, effect in EFFECTS.items() if effect.on_streams])
def test_a_fault_of_streams_lets_other_answers_pass(effect: str) -> None:
    assert body_of(of_whole(effect)) == completion_of(SERVERLESS)
