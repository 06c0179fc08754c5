"""Looking into answers: what is missing or null counts as empty, what has another type is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from phi_client.contract.answers import Usage, view_answer
from phi_client.contract.chat import ChatRequest
from phi_client.contract.parameters import SCHEMA_KEYS
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
        ({"choices": [{"index": "0"}]}, "`index` is no number"),
        ({"choices": [{"finish_reason": 1}]}, "`finish_reason` is no string"),
        ({"usage": 7}, "`usage` is no object"),
        ({"usage": {"prompt_tokens": "7"}}, "`prompt_tokens` is no number"),
    ],
)
def test_what_has_another_type_is_refused_by_name(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError, match=says):
        view_answer(raw, "message")


def test_the_schema_has_the_keys_of_the_model() -> None:
    assert set(ChatRequest.model_fields) == SCHEMA_KEYS
