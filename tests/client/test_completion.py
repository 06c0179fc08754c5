"""What a completion offers, and that a stream gives the completion that the whole answer would have given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client import Completion, CompletionChoice, ModelError, Price, ReasoningTruncatedError, Usage
from phi_client._call.building import CompletionBuilder
from phi_client._call.completion import Origin, completion_of
from phi_client._call.errors import Hop
from phi_client._call.totals import add_usage
from phi_client.contract.answers import view_answer
from phi_client.contract.error_body import ErrorBody

if TYPE_CHECKING:
    from tests.conftest import Driver, Pieces

ORIGIN = Origin("r-1", "c-1", "https://x", {}, status_code=200)
CALL = {"id": "c-1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TWO = [
    {"index": 1, "message": {"content": "<think>b</think>\\boxed{2}"}, "finish_reason": "stop"},
    {"index": 0, "message": {"content": "<think>a</think>\\boxed{1}"}, "finish_reason": "length"},
]

texts = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "\\boxed{4}", " ", "\n", "a", "é", "th"]), max_size=6
).map("".join)
usages = st.none() | st.fixed_dictionaries(
    {
        "prompt_tokens": st.integers(0, 9),
        "completion_tokens": st.integers(0, 9),
        "total_tokens": st.integers(0, 18),
    },
    optional={"completion_tokens_details": st.fixed_dictionaries({"reasoning_tokens": st.integers(0, 9)})},
)
messages = st.fixed_dictionaries(
    {"content": texts},
    optional={
        "reasoning_content": texts.filter(bool),
        "tool_calls": st.just([{**CALL, "index": 0}]),
    },
) | st.fixed_dictionaries({"content": texts, "reasoning": texts.filter(bool)})
answers = st.builds(
    lambda said, usage, head: {
        **head,
        "choices": [
            {"index": index, "message": message, "finish_reason": reason}
            for index, (message, reason) in enumerate(said)
        ],
        "usage": usage,
    },
    st.lists(st.tuples(messages, st.sampled_from(["stop", "length", "tool_calls"])), min_size=1, max_size=3),
    usages,
    st.fixed_dictionaries({"id": st.just("i"), "created": st.just(7), "model": st.just("phi")}),
)


@st.composite
def cut(draw: st.DrawFn, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The chunks of `answer`: every text cut anywhere, the choices in any order, the reasons and the usage last."""
    pieces: list[tuple[int, dict[str, Any]]] = []
    queues: list[list[tuple[int, dict[str, Any]]]] = []
    for choice in answer["choices"]:
        queue: list[tuple[int, dict[str, Any]]] = []
        for name, said in choice["message"].items():
            if name == "tool_calls":
                queue.append((choice["index"], {"delta": {name: said}}))
                continue
            places = sorted(draw(st.lists(st.integers(0, len(said)), max_size=3)))
            parts = [said[a:b] for a, b in zip([0, *places], [*places, len(said)], strict=True)]
            queue += [(choice["index"], {"delta": {name: part}}) for part in parts]
        queue.append((choice["index"], {"delta": {}, "finish_reason": choice["finish_reason"]}))
        queues.append(queue)
    while any(queues):
        queue = draw(st.sampled_from([one for one in queues if one]))
        pieces.append(queue.pop(0))
    head = {name: answer[name] for name in ("id", "created", "model")}
    chunks = [{**head, "choices": [{"index": index, **piece}]} for index, piece in pieces]
    return [*chunks, {**head, "choices": [], "usage": answer["usage"]}]


def built(chunks: list[dict[str, Any]]) -> Completion:
    builder = CompletionBuilder(ORIGIN)
    for chunk in chunks:
        builder.add(view_answer(chunk, "delta"))
    builder.finish()
    return builder.build()


@given(answers, st.data())
def test_a_stream_cut_anywhere_gives_the_completion_of_the_whole(
    answer: dict[str, Any], data: st.DataObject
) -> None:
    whole = completion_of(view_answer(answer, "message"), ORIGIN)
    streamed = built(data.draw(cut(answer)))
    assert streamed == whole
    assert streamed.to_dict() == whole.to_dict()
    assert streamed.alternatives == whole.alternatives
    assert [choice.tool_calls for choice in streamed.alternatives] == [
        choice.tool_calls for choice in whole.alternatives
    ]
    assert (streamed.message["content"], streamed.ends_in_reasoning) == (
        whole.message["content"],
        whole.ends_in_reasoning,
    )
    for one, other in zip(streamed.raw["choices"], answer["choices"], strict=True):
        assert {**one["message"], "tool_calls": []} == {
            **other["message"],
            "role": "assistant",
            "tool_calls": [],
        }
    assert streamed.raw["usage"] == answer["usage"]


def test_choices_are_told_by_their_index_whole_and_streamed(phi: Driver, pieces: type[Pieces]) -> None:
    deltas = [
        {"index": one["index"], "delta": one["message"], "finish_reason": one["finish_reason"]} for one in TWO
    ]
    events = [b"data: " + json.dumps({"choices": [delta]}).encode() + b"\n\n" for delta in deltas]
    phi.answer(httpx.Response(200, json={"choices": TWO}), httpx.Response(200, stream=pieces(*events)))
    whole = phi.open().complete("x", extra={"n": 2})
    _, streamed = phi.stream("x", extra={"n": 2})
    assert streamed is not None
    for done in (whole, streamed):
        assert (done.answer, done.reasoning, done.finish_reason) == ("1", "a", "length")
        assert [(one.index, one.answer, one.reasoning) for one in done.alternatives] == [(1, "2", "b")]
    assert whole.raw["choices"] == TWO


@pytest.mark.parametrize(
    "choices",
    [
        [{"message": {"content": "a"}}, {"message": {"content": "b"}}],
        [{"index": None, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}],
        [{"index": 2, "message": {"content": "b"}}, {"index": 1, "message": {"content": "a"}}],
    ],
)
def test_a_choice_without_an_index_has_that_of_its_place(phi: Driver, choices: list[dict[str, Any]]) -> None:
    phi.answer(httpx.Response(200, json={"choices": choices}))
    done = phi.open().complete()
    assert done.content == "a"
    assert [one.content for one in done.alternatives] == ["b"]


def test_a_stream_whose_choices_begin_with_another_number_is_read() -> None:
    chunk = {"choices": [{"index": 1, "delta": {"content": "<think>a</think>b"}, "finish_reason": "stop"}]}
    builder = CompletionBuilder(ORIGIN)
    assert builder.add(view_answer(chunk, "delta")).content == ""
    assert (builder.finish().content, builder.finish_reason, builder.build().content) == ("b", "stop", "b")


@pytest.mark.parametrize("by_stream", [False, True])
@pytest.mark.parametrize("reason", ["length", "model_length"])
@pytest.mark.parametrize(
    "said", [{}, {"content": None}, {"content": ""}, {"reasoning": "6*7"}, {"content": "<think>"}]
)
def test_a_budget_that_ends_before_any_content_is_an_error(
    phi: Driver, said: dict[str, Any], reason: str, by_stream: bool
) -> None:
    choice = {"index": 0, "delta" if by_stream else "message": said, "finish_reason": reason}
    body = json.dumps({"choices": [choice]})
    phi.answer(httpx.Response(200, text=f"data: {body}\n\n" if by_stream else body))
    with pytest.raises(ReasoningTruncatedError) as caught:
        (phi.open().stream if by_stream else phi.open().complete)()
    assert caught.value.partial.reasoning == said.get("reasoning", "")


def test_a_completion_as_json_has_what_is_said_and_by_whom() -> None:
    hop = Hop("https://first", ModelError("no", status_code=424, body=ErrorBody(message="no")))
    origin = Origin("r-1", "c-1", "https://x", {"set-cookie": "secret"}, (hop,), 201)
    raw = {
        "model": "phi",
        "choices": [{"message": {"content": "<think>a</think>\\boxed{1}", "tool_calls": [CALL]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    done = completion_of(view_answer(raw, "message"), origin)
    assert json.loads(json.dumps(done.to_dict())) == {
        "content": "\\boxed{1}",
        "reasoning": "a",
        "answer": "1",
        "finish_reason": None,
        "tool_calls": [{"id": "c-1", "name": "add", "arguments": '{"a": 1}'}],
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "reasoning_tokens": None,
            "cached_tokens": None,
        },
        "model": "phi",
        "endpoint": "https://x",
        "status_code": 201,
        "request_id": "r-1",
        "client_request_id": "c-1",
        "hops": [{"endpoint": "https://first", "error": "424: no"}],
    }


def test_a_completion_says_what_it_cost() -> None:
    usage = Usage(1_000_000, 500_000, 1_500_000)
    done = Completion(content="", reasoning="", finish_reason=None, usage=usage, request_id=None, model="phi")
    price = Price(prompt=1, completion=4)
    assert (done.cost(price), done.cost({"phi": price}), done.cost({"other": price})) == (3.0, 3.0, None)


def test_a_completion_made_by_hand_has_nothing_beside_its_text() -> None:
    done = Completion(
        content="c", reasoning="r", finish_reason="stop", usage=None, request_id=None, model=None
    )
    assert (done.alternatives, done.tool_calls, done.logprobs, done.status_code) == ((), (), None, 200)


def test_what_is_shown_fits_a_notebook() -> None:
    done = Completion(
        content="x" * 5000 + "\\boxed{7}",
        reasoning="y" * 90_000,
        finish_reason="stop",
        usage=Usage(1, 2, 3),
        request_id="r-1",
        model="phi",
        headers={"x-secret": "header"},
        raw={"choices": [{"message": {"content": "body"}}]},
    )
    shown = repr(done)
    assert len(shown) < 500
    assert shown.startswith("Completion(content=<5009 characters, 'xxx")
    assert "answer='7'" in shown
    assert "header" not in shown
    other = CompletionChoice(index=1, content="x" * 5000, reasoning="y" * 5000, finish_reason="stop")
    assert len(repr(other)) < 300


def test_details_are_added_up_where_all_tell_them() -> None:
    told, silent = Usage(1, 2, 3, reasoning_tokens=2, cached_tokens=0), Usage(1, 2, 3, cached_tokens=1)
    assert add_usage([told, told, None]) == Usage(2, 4, 6, reasoning_tokens=4, cached_tokens=0)
    assert add_usage([told, silent]) == Usage(2, 4, 6, reasoning_tokens=None, cached_tokens=1)
