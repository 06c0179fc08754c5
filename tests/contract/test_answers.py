"""Looking into answers: what is missing or null counts as empty, what has another type is refused by name."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from phi_client.contract.answers import REASONING_FIELDS, Usage, first_choice, view_answer
from phi_client.contract.parameters import SCHEMA_KEYS
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.wire import ContractError


@pytest.mark.parametrize("raw", [{}, {"choices": None, "usage": None}, {"choices": [], "new": 1}])
def test_what_is_missing_counts_as_empty(raw: dict[str, Any]) -> None:
    view = view_answer(raw, "delta")
    assert (view.choices, view.usage, view.raw) == ([], None, raw)


@pytest.mark.parametrize(
    "choice", [{}, {"index": None, "message": None, "finish_reason": None}, {"message": {"content": None}}]
)
def test_a_choice_that_says_nothing_is_empty(choice: dict[str, Any]) -> None:
    (view,) = view_answer({"choices": [choice]}, "message").choices
    assert (view.index, view.content, view.reasoning_content, view.finish_reason) == (0, "", "", None)


def test_counts_that_are_missing_are_zero() -> None:
    assert view_answer({"usage": {"total_tokens": 3, "prompt_tokens": None}}, "message").usage == Usage(
        0, 0, 3
    )


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"choices": 5}, "`choices` is no list"),
        ({"choices": [1]}, "a choice is no object"),
        ({"choices": [{"message": "x"}]}, "`message` is no object"),
        ({"choices": [{"message": {"content": ["x"]}}]}, "`content` is no string"),
        ({"choices": [{"message": {"reasoning_content": 1}}]}, "`reasoning_content` is no string"),
        ({"choices": [{"index": "first"}]}, "`index` is no number"),
        ({"choices": [{"index": True}]}, "`index` is no number"),
        ({"choices": [{"finish_reason": 1}]}, "`finish_reason` is no string"),
        ({"usage": 7}, "`usage` is no object"),
        ({"usage": {"prompt_tokens": "seven"}}, "`prompt_tokens` is no number"),
        ({"usage": {"total_tokens": 7.5}}, "`total_tokens` is no number"),
        ({"usage": {"total_tokens": float("nan")}}, "`total_tokens` is no number"),
        ({"usage": {"total_tokens": float("inf")}}, "`total_tokens` is no number"),
    ],
)
def test_what_has_another_type_is_refused_by_name(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError, match=says):
        view_answer(raw, "message")


@pytest.mark.parametrize("count", [7, 7.0, "7"])
def test_a_count_is_read_however_json_has_it(count: object) -> None:
    raw = {"choices": [{}, {"index": count}], "usage": {"prompt_tokens": count}}
    view = view_answer(raw, "message")
    assert view.usage == Usage(7)
    assert [choice.index for choice in view.choices] == [0, 7]


@pytest.mark.parametrize(
    ("usage", "reasoning", "cached"),
    [
        ({}, None, None),
        ({"completion_tokens_details": None, "prompt_tokens_details": None}, None, None),
        ({"completion_tokens_details": {"reasoning_tokens": 5}}, 5, None),
        ({"completion_tokens_details": {"reasoning_tokens": 0}}, 0, None),
        ({"reasoning_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}, 5, 0),
        ({"completion_tokens_details": {"reasoning_tokens": None}, "prompt_tokens_details": {}}, None, None),
        ({"completion_tokens_details": [5], "prompt_tokens_details": {"cached_tokens": "many"}}, None, None),
    ],
)
def test_details_are_what_is_told_and_never_guessed(
    usage: dict[str, Any], reasoning: int | None, cached: int | None
) -> None:
    view = view_answer({"usage": usage}, "message")
    assert view.usage == Usage(reasoning_tokens=reasoning, cached_tokens=cached)


@pytest.mark.parametrize(
    ("said", "reasoning", "field"),
    [
        ({"reasoning": "6*7"}, "6*7", "reasoning"),
        ({"reasoning": "6*7", "reasoning_content": None}, "6*7", "reasoning"),
        ({"reasoning": "6*7", "reasoning_content": ""}, "6*7", "reasoning"),
        ({"reasoning": "other", "reasoning_content": "6*7"}, "6*7", "reasoning_content"),
        ({"reasoning": {"effort": "high"}}, "", "reasoning_content"),
        ({"reasoning": None}, "", "reasoning_content"),
    ],
)
@pytest.mark.parametrize("part", ["message", "delta"])
def test_reasoning_is_read_under_either_key(
    said: dict[str, Any], reasoning: str, field: str, part: Literal["message", "delta"]
) -> None:
    (choice,) = view_answer({"choices": [{part: said}]}, part).choices
    assert (choice.reasoning_content, choice.reasoning_field if reasoning else field) == (reasoning, field)
    assert field in REASONING_FIELDS


def test_the_first_choice_is_that_of_the_lowest_index() -> None:
    choices = [{"index": 2}, {"index": 1, "message": {"content": "one"}}, {"index": 1}]
    assert first_choice(view_answer({"choices": choices}, "message").choices).content == "one"


@pytest.mark.parametrize("model", [None, 1, ["m"], {"name": "m"}])
def test_a_model_without_a_name_has_none(model: object) -> None:
    assert view_answer({"model": model}, "message").model is None


def test_the_schema_has_the_keys_of_the_model() -> None:
    assert set(ChatRequest.model_fields) == SCHEMA_KEYS
