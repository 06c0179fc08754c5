"""A request gets the answer that was recorded for what it means, in whatever form it asks for it."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.recordings.exchanges import (
    End,
    RecordedChunk,
    RecordedExchange,
    RecordedHead,
    RecordedRequest,
)
from phi_emulator.recordings.file import Recording, RecordingError
from phi_emulator.recordings.meaning import Form, chat_request_of, meaning_of
from phi_emulator.recordings.rewriting import Piece, Told, read_answer, rewritten
from phi_emulator.recordings.shelf import AfterLast, NoRecordingError, Shelf

from phi_client.contract.answers import Usage
from phi_client.contract.reasoning import split_reasoning

PLACES = {
    "serverless": ("/v1/chat/completions", "/chat/completions"),
    "managed_compute": ("/v1/chat/completions", "/score"),
    "openai_v1": ("/openai/v1/chat/completions", "/openai/deployments/phi/chat/completions"),
    "foundry_models": ("/models/chat/completions",),
}
FORMS = [
    Form(surface, path, version, streams, with_usage)
    for surface, paths in PLACES.items()
    for path in paths
    for version in (None, "2025-04-01")
    for streams, with_usage in ((False, False), (True, False), (True, True))
    if not (streams and path == "/score")
]


def asked(
    content: object = "6 * 7?", surface: str = "serverless", path: str | None = None, **members: Any
) -> RecordedRequest:
    path = path or PLACES[surface][0]
    body: dict[str, Any] = {"messages": [{"role": "user", "content": content}], **members}
    if path == "/score":
        body = {"input_data": {"input_string": body["messages"], "parameters": members}}
    elif surface in ("openai_v1", "foundry_models"):
        body = {"model": "phi", **body}
    return RecordedRequest(
        surface, "POST", path, None, {"content-type": "application/json"}, json.dumps(body).encode()
    )


def answer(text: str, request: RecordedRequest | None = None, status: int = 200) -> RecordedExchange:
    """A whole answer of serverless."""
    said = {
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "id": "a",
        "created": 1,
        "model": "m",
    }
    return RecordedExchange(
        request or asked(),
        RecordedHead(status, {}, 1),
        (RecordedChunk(json.dumps(said).encode(), 2),),
        End.COMPLETE,
        2,
    )


def shelf(*exchanges: RecordedExchange, after_last: AfterLast = "repeat") -> Shelf:
    return Shelf({"tape.jsonl": Recording(exchanges, is_cut=False, whole_bytes=0)}, after_last=after_last)


def text_of(exchange: RecordedExchange) -> str:
    told = read_answer(exchange)
    assert told is not None
    return "".join(piece.content for piece in told.said(reasoning_apart=False))


words = st.text("ab <>/é\n", max_size=6)


@settings(deadline=None)
@given(
    st.lists(st.tuples(words, words), min_size=1, max_size=5),
    st.sampled_from(FORMS),
    st.sampled_from(FORMS),
    st.sampled_from(["stop", "length"]),
)
def test_what_an_answer_says_is_the_same_through_any_two_forms(
    said: list[tuple[str, str]], first: Form, second: Form, reason: str
) -> None:
    reasoning = [Piece(number, reasoning="r" + text) for number, (text, _) in enumerate(said)]
    content = [Piece(10 + number, content="c" + text) for number, (_, text) in enumerate(said)]
    told = Told((*reasoning, *content), reason, Usage(3, 4, 7), "phi", "id-1", 5, "r-1")
    exchange = RecordedExchange(asked(), RecordedHead(200, {}, 0), (), End.COMPLETE, 99)
    for form in (first, second):
        exchange = rewritten(exchange, told, form)
        place = PLACES[form.surface][0] if form.path != "/score" else "/score"
        request = replace(asked(surface=form.surface, path=place), api_version=form.api_version)
        exchange = replace(exchange, request=request)
        found = read_answer(exchange)
        assert found is not None
        told = found
    expected = split_reasoning(
        "<think>"
        + "".join(piece.reasoning for piece in reasoning)
        + "</think>"
        + "".join(piece.content for piece in content)
    )
    apart = list(told.said(reasoning_apart=True))
    assert "".join(piece.reasoning for piece in apart).strip() == expected.reasoning.strip()
    assert "".join(piece.content for piece in apart).strip() == expected.content.strip()
    if (
        first.path != "/score"
        and second.path != "/score"
        and (second.streams, second.with_usage) != (True, False)
    ):
        assert told.finish_reason == reason
    assert (told.id, told.created, told.model) == ("id-1", 5, "phi") or "/score" in (first.path, second.path)


@pytest.mark.parametrize("form", [form for form in FORMS if form.path != "/score"])
def test_calls_of_tools_are_the_same_in_every_form(form: Form) -> None:
    deltas = [
        {"index": 0, "id": "c0", "type": "function", "function": {"name": "add", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a":'}},
        {"index": 0, "function": {"arguments": "1}"}},
        {"index": 1, "id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]
    events = [{"choices": [{"delta": {"tool_calls": [delta]}}], "id": "x"} for delta in deltas]
    events.append({"choices": [{"delta": {}, "finish_reason": "tool_calls"}], "id": "x"})
    chunks = tuple(
        RecordedChunk(b"data: " + json.dumps(event).encode() + b"\n\n", number)
        for number, event in enumerate(events)
    )
    exchange = RecordedExchange(asked(stream=True), RecordedHead(200, {}, 0), chunks, End.COMPLETE, 9)
    told = read_answer(exchange)
    assert told is not None
    whole = rewritten(exchange, told, replace(form, streams=False))
    (choice,) = json.loads(whole.body)["choices"]
    calls = [(call["id"], call["function"]) for call in choice["message"]["tool_calls"]]
    assert calls == [
        ("c0", {"name": "add", "arguments": '{"a":1}'}),
        ("c1", {"name": "now", "arguments": "{}"}),
    ]
    assert choice["finish_reason"] == "tool_calls"
    request = replace(asked(surface=form.surface, path=PLACES[form.surface][0]), api_version=form.api_version)
    for streams in (False, True):
        again = read_answer(
            replace(rewritten(exchange, told, replace(form, streams=streams)), request=request)
        )
        assert again is not None
        found = rewritten(exchange, again, replace(form, streams=False))
        assert json.loads(found.body)["choices"] == [choice]


ODD = [
    None,
    True,
    -1,
    0.5,
    float("inf"),
    10**400,
    "",
    "7",
    "\ud800",
    "<think>",
    [],
    ["a"],
    {},
    {"function": "x"},
]


def an_odd_view(part: str, chance: random.Random) -> dict[str, Any]:
    """An answer or a chunk in which some things are none that anybody sends."""

    def maybe(usual: object) -> Any:
        return chance.choice(ODD) if chance.random() < 0.1 else usual

    call = maybe(
        {
            "index": maybe(0),
            "id": maybe("c"),
            "function": maybe({"name": maybe("n"), "arguments": maybe("{}")}),
        }
    )
    said = {"content": maybe("x"), "reasoning_content": maybe("r"), "tool_calls": maybe([call, maybe(call)])}
    choice = {"index": maybe(0), part: maybe(said), "finish_reason": maybe("stop")}
    usage = {"prompt_tokens": maybe(1), "completion_tokens": maybe(2), "total_tokens": maybe(3)}
    named = {"id": maybe("i"), "created": maybe(5), "model": maybe("m")}
    return {**named, "choices": maybe([maybe(choice)]), "usage": maybe(usage)}


def test_an_odd_answer_is_rewritten_or_left_alone() -> None:
    chance = random.Random(5)
    told_of = 0
    for number in range(3000):
        if number % 2:
            views = [an_odd_view("delta", chance) for _ in range(3)]
            body = b"".join(b"data: " + json.dumps(view).encode() + b"\n\n" for view in views)
        else:
            body = json.dumps(an_odd_view("message", chance)).encode()
        exchange = RecordedExchange(
            asked(stream=True), RecordedHead(200, {}, 0), (RecordedChunk(body, 1),), End.COMPLETE, 2
        )
        told = read_answer(exchange)
        if told is not None:
            told_of += 1
            assert rewritten(exchange, told, chance.choice(FORMS)).body
    assert told_of > 500


@pytest.mark.parametrize("source", PLACES)
@pytest.mark.parametrize("target", PLACES)
def test_the_same_is_asked_on_every_surface(source: str, target: str) -> None:
    for one, other in itertools.product(PLACES[source], PLACES[target]):
        first = meaning_of(asked(surface=source, path=one, temperature=0, max_tokens=9))
        second = meaning_of(asked(surface=target, path=other, temperature=0.0, max_tokens=9))
        assert first.differences(second) == []


def test_what_is_written_in_two_ways_is_the_same() -> None:
    one = asked(
        [{"type": "text", "text": "6 "}, {"type": "text", "text": "* 7?"}],
        stop="x",
        max_tokens=5,
        stream=True,
    )
    other = asked("6 * 7?", stop=["x"], max_tokens=5, stream_options={"include_usage": True})
    other = replace(other, headers={"extra-parameters": "pass-through"})
    assert meaning_of(one).differences(meaning_of(other)) == []
    newer = replace(asked(surface="openai_v1", max_completion_tokens=5), headers={})
    assert chat_request_of(newer) is not None
    assert meaning_of(newer).differences(meaning_of(asked(max_tokens=5))) == []


@pytest.mark.parametrize(
    ("other", "places"),
    [
        (asked("6 * 8?"), ["messages[0].content"]),
        (asked(temperature=0.1), ["temperature"]),
        (asked(seed=1), ["seed"]),
        (asked(surface="openai_v1", tools=[{"type": "function"}]), ["tools[0].type"]),
    ],
)
def test_what_differs_is_named(other: RecordedRequest, places: list[str]) -> None:
    assert meaning_of(asked()).differences(meaning_of(other)) == places


def test_other_models_are_other_requests_but_none_fits_any() -> None:
    one, other = asked(surface="openai_v1"), asked(surface="foundry_models")
    other = replace(other, body=other.body.replace(b'"phi"', b'"other"'))
    assert meaning_of(one).differences(meaning_of(other)) == ["model"]
    assert meaning_of(asked()).differences(meaning_of(other)) == []


def test_the_same_request_gets_the_recorded_answers_in_turn() -> None:
    kept = shelf(answer("one"), answer("other", asked("else")), answer("two", status=200))
    assert [text_of(kept.find(asked())) for _ in range(4)] == ["one", "two", "two", "two"]
    assert text_of(kept.find(asked("else"))) == "other"


def test_after_the_last_answer_it_may_fail() -> None:
    kept = shelf(answer("one"), after_last="fail")
    kept.find(asked())
    with pytest.raises(NoRecordingError, match=r"recorded once \(the last is exchange 1 of tape"):
        kept.find(asked())


def test_a_recorded_failure_has_its_turn_where_it_was_recorded_and_stands_for_no_other_form() -> None:
    kept = shelf(answer("busy", status=429), answer("one"))
    found = [kept.find(asked()).head for _ in range(2)]
    assert [head and head.status for head in found] == [429, 200]
    assert text_of(kept.find(asked(stream=True))) == "one"
    with pytest.raises(NoRecordingError, match="its answer is an error"):
        shelf(answer("busy", status=429)).find(asked(surface="openai_v1"))


def test_in_its_own_form_an_answer_is_given_byte_for_byte() -> None:
    exchange = answer("one")
    assert shelf(exchange).find(asked()) is exchange
    streamed = shelf(exchange).find(asked(stream=True))
    assert streamed.body.startswith(b"data: ")
    assert streamed.body.endswith(b"data: [DONE]\n\n")


def test_what_nearly_matches_is_told() -> None:
    long = "word " * 100
    kept = shelf(
        answer("a", asked(long + "six")), answer("b", asked("shorter")), answer("c", asked(top_p=0.5, seed=1))
    )
    with pytest.raises(NoRecordingError) as caught:
        kept.find(asked(long + "seven"))
    assert str(caught.value) == (
        "no recording answers this request: the nearest is exchange 1 of tape.jsonl, which differs in "
        "messages[0].content: recorded …'ord word word word six', asked …'ord word word word seven'"
    )
    with pytest.raises(NoRecordingError, match="seed: recorded 1, asked 2"):
        kept.find(asked(top_p=0.5, seed=2))
    with pytest.raises(NoRecordingError, match="none was made"):
        shelf().find(asked())


def test_what_is_no_chat_request_is_met_by_itself() -> None:
    info = RecordedRequest("serverless", "GET", "/info", None, {}, b"")
    kept = shelf(answer("x", info), answer("y", replace(asked(), body=b'{"messages": []}')))
    assert kept.find(info).request is info
    assert b"y" in kept.find(replace(asked(), body=b'{ "messages":[]}')).body
    with pytest.raises(NoRecordingError, match="request: recorded 'GET /info', asked 'GET /other'"):
        kept.find(replace(info, path="/other"))


def test_an_unknown_surface_is_refused_with_its_place() -> None:
    with pytest.raises(RecordingError, match=r"tape\.jsonl: exchange 1 is on the surface 'mars'"):
        shelf(answer("x", replace(asked(), surface="mars")))
