"""`solve()`: the answer of one sample, or of several the one that most of them give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import (
    BadRequestError,
    Completion,
    ConfigurationError,
    InternalServerError,
    ReasoningTruncatedError,
    Usage,
    Vote,
)
from phi_client._answers.forms import are_same
from phi_client._answers.voting import count_votes
from phi_client.contract.service import SERVERLESS
from phi_client.contract.service.chat import AssistantMessage, ChatCompletion, Choice, WireUsage

if TYPE_CHECKING:
    from tests.conftest import Driver

PROBLEM = "What is 6 * 7?"
USAGE = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)


def said(text: str, finish_reason: str = "stop") -> httpx.Response:
    message = AssistantMessage(role="assistant", content=text)
    choices = [Choice(index=0, message=message, finish_reason=finish_reason)]
    usage = WireUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    body = SERVERLESS.write_completion(
        ChatCompletion(id="1", created=1, model="phi", choices=choices, usage=usage)
    )
    return httpx.Response(200, content=body)


def boxed(answer: str) -> httpx.Response:
    return said(f"<think>hm</think>It is \\boxed{{{answer}}}.")


CUT = said("<think>hm", "length")


def by_seed(phi: Driver, *answers: httpx.Response) -> Any:
    """Let the sample with the seed n get the answer n, in whatever order they are asked for."""

    def answer(request: httpx.Request) -> httpx.Response:
        given = answers[json.loads(request.content)["seed"]]
        return httpx.Response(given.status_code, content=given.content)

    return phi.open(max_retries=0).router.route().mock(side_effect=answer)


def test_one_sample_is_one_completion(phi: Driver) -> None:
    route = phi.open().answer(boxed("42"))
    found = phi.solve(PROBLEM)
    assert (found.answer, found.agreement, found.usage) == ("42", 1.0, USAGE)
    assert found.completion is not None
    assert found.completion.reasoning == "hm"
    body = json.loads(route.calls.last.request.content)
    assert body["messages"] == [
        {
            "role": "user",
            "content": f"{PROBLEM}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
        }
    ]
    assert "seed" not in body


def test_messages_are_sent_as_they_are(phi: Driver) -> None:
    route = phi.open().answer(boxed("42"))
    messages = [{"role": "user", "content": PROBLEM}]
    assert phi.solve(messages).answer == "42"
    assert json.loads(route.calls.last.request.content)["messages"] == messages


def test_the_answer_that_most_samples_give_wins_however_it_is_written(phi: Driver) -> None:
    by_seed(phi, boxed("41"), boxed("0.5"), boxed(r"\frac{1}{2}"), boxed("41"), boxed("1/2"))
    found = phi.solve(PROBLEM, 5, seed=0)
    assert found.answer == "0.5"
    assert found.votes == (Vote("0.5", (1, 2, 4)), Vote("41", (0, 3)))
    assert found.agreement == pytest.approx(0.6)
    assert found.completion is found.samples[1]
    assert found.usage == Usage(prompt_tokens=15, completion_tokens=20, total_tokens=35)


def test_algebra_joins_votes_where_math_verify_is_installed(phi: Driver) -> None:
    pytest.importorskip("math_verify", reason="the extra `eval` is not installed")
    by_seed(
        phi, boxed("5"), boxed(r"\sqrt{12}"), boxed("5"), boxed(r"2\sqrt{3}"), boxed(r"\sqrt{4} \sqrt{3}")
    )
    found = phi.solve(PROBLEM, 5, seed=0)
    assert [(vote.answer, vote.count) for vote in found.votes] == [(r"\sqrt{12}", 3), ("5", 2)]
    assert found.undecided == 0


def test_of_two_that_are_level_the_earlier_wins(phi: Driver) -> None:
    by_seed(phi, boxed("2"), boxed("1"), boxed("1"), boxed("2"))
    assert phi.solve(PROBLEM, 4, seed=0).answer == "2"


def test_a_sample_without_an_answer_has_no_vote(phi: Driver) -> None:
    by_seed(phi, said("<think>hm</think>no idea"), CUT, httpx.Response(400), boxed("42"), boxed(""))
    found = phi.solve(PROBLEM, 5, seed=0)
    assert found.answer == "42"
    assert found.agreement == pytest.approx(0.2)
    kinds = [type(sample) for sample in found.samples]
    assert kinds == [Completion, ReasoningTruncatedError, BadRequestError, Completion, Completion]
    assert found.usage == Usage(prompt_tokens=12, completion_tokens=16, total_tokens=28)


def test_no_answer_at_all_is_none(phi: Driver) -> None:
    by_seed(phi, said("<think>hm</think>no idea"), CUT)
    found = phi.solve(PROBLEM, 2, seed=0)
    assert (found.answer, found.votes, found.agreement) == (None, (), 0.0)
    assert found.completion is found.samples[0]


def test_when_every_sample_fails_the_first_error_is_raised(phi: Driver) -> None:
    by_seed(phi, httpx.Response(500), CUT, CUT)
    with pytest.raises(InternalServerError) as caught:
        phi.solve(PROBLEM, 3, seed=0)
    assert caught.value.spent == Usage(prompt_tokens=6, completion_tokens=8, total_tokens=14)


def test_without_a_seed_none_is_sent(phi: Driver) -> None:
    route = phi.open().router.route().mock(side_effect=lambda request: boxed("42"))
    assert phi.solve(PROBLEM, 3).votes == (Vote("42", (0, 1, 2)),)
    assert all("seed" not in json.loads(call.request.content) for call in route.calls)


@pytest.mark.parametrize("samples", [0, -1, None, "5", 2.5, float("nan"), True, 10**10])
def test_a_number_of_samples_that_can_not_work_is_refused(phi: Driver, samples: Any) -> None:
    phi.open()
    with pytest.raises(ConfigurationError, match="samples"):
        phi.solve(PROBLEM, samples)


def test_equal_forms_find_their_group_before_algebra_is_asked() -> None:
    asked: list[tuple[str, str]] = []

    def judge(one: Any, other: Any) -> bool:
        asked.append((one.text, other.text))
        return bool(are_same(one, other))

    votes = count_votes(["a+b", "c+d", "c+d", None, " "], judge)
    assert [(vote.answer, vote.count) for vote in votes] == [("c+d", 2), ("a+b", 1)]
    assert asked == [("a+b", "c+d")]
