"""`parse()`: JSON is found whatever surrounds it, a misfit is asked for again within a bound, tokens are summed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import BaseModel, RootModel, field_validator

from phi_client import (
    APITimeoutError,
    ChatMessage,
    ConfigurationError,
    ParseError,
    RateLimitError,
    ReasoningTruncatedError,
    Usage,
)
from phi_client._answers.parsing import find_json
from phi_client.contract.service import SERVERLESS
from phi_client.contract.service.chat import AssistantMessage, ChatCompletion, Choice, WireUsage

if TYPE_CHECKING:
    from tests.conftest import Driver, FakeTime


class Product(BaseModel):
    product: int
    unit: str = "none"


class Numbers(RootModel[list[int]]):
    pass


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def check_even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("must be even")
        return number


def said(content: str, *, reasoning: str = "6*7=42", finish_reason: str = "stop") -> httpx.Response:
    message = AssistantMessage(role="assistant", content=f"<think>{reasoning}</think>{content}")
    choices = [Choice(index=0, message=message, finish_reason=finish_reason)]
    usage = WireUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    body = SERVERLESS.write_completion(
        ChatCompletion(id="1", created=1, model="phi", choices=choices, usage=usage)
    )
    return httpx.Response(200, content=body, headers={"X-Request-ID": "r-1"})


def sent(phi: Driver, number: int = -1) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(phi.router.calls[number].request.content)["messages"]
    return messages


@pytest.mark.parametrize(
    "content",
    [
        '{"product": 42}',
        '\n {"product": 42} \n',
        'Here it is:\n```json\n{"product": 42}\n```\nDone.',
        '```\n{"product": 42}\n```',
        'The answer is {"product": 42}.',
        r'So \frac{6}{1} \cdot {7} gives \boxed{{"product": 42}}.',
        r"\boxed{\{\"product\": 42\}}".replace(r"\"", '"'),
        'For 2 * 3 it would be {"product": 6}. Here it is {"product": 42}',
        'It is {"product": 42}, not {"sum": 13}.',
        '[1, 2] and {"product": 42}',
    ],
)
def test_json_is_found_in_the_content(phi: Driver, content: str) -> None:
    phi.open().answer(said(content, reasoning='maybe {"product": 41}'))
    done = phi.parse("What is 6 * 7?", Product)
    assert done.parsed == Product(product=42)
    assert (done.asks, done.completion.content) == (1, content.lstrip())


def test_a_list_at_the_top_is_parsed(phi: Driver) -> None:
    phi.open().answer(said("These: [1, 2, 3]"))
    assert phi.parse("?", Numbers).parsed.root == [1, 2, 3]


def test_the_schema_follows_the_prompt(phi: Driver) -> None:
    phi.open().answer(said('{"product": 42}'))
    phi.parse("What is 6 * 7?", Product, seed=5)
    (message,) = sent(phi)
    assert message["role"] == "user"
    assert message["content"].startswith("What is 6 * 7?\n\n")
    assert json.dumps(Product.model_json_schema()) in message["content"]
    assert json.loads(phi.router.calls.last.request.content)["seed"] == 5


@pytest.mark.parametrize(
    ("messages", "roles"),
    [
        ([{"role": "system", "content": "brief"}, {"role": "user", "content": "x"}], ["system", "user"]),
        ([ChatMessage.model_validate({"role": "user", "content": "x"})], ["user"]),
        (
            [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
            ["user", "assistant", "user"],
        ),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], ["user"]),
    ],
)
def test_the_schema_is_at_the_end_of_messages(phi: Driver, messages: list[Any], roles: list[str]) -> None:
    phi.open().answer(said('{"product": 42}'))
    phi.parse(messages, Product)
    assert [message["role"] for message in sent(phi)] == roles
    assert "JSON Schema" in str(sent(phi)[-1]["content"])
    assert "JSON Schema" not in str(messages)


def test_a_misfit_is_sent_back_with_what_is_wrong_and_the_tokens_are_summed(phi: Driver) -> None:
    phi.open().answer(said('{"product": "many"}'), said("forty-two"), said('{"product": 42}'))
    done = phi.parse("What is 6 * 7?", Product)
    assert (done.parsed.product, done.asks) == (42, 3)
    assert done.usage == Usage(prompt_tokens=9, completion_tokens=12, total_tokens=21)
    first, back, wrong = sent(phi, 1)
    assert first == sent(phi, 0)[0]
    assert back == {"role": "assistant", "content": '{"product": "many"}'}
    assert wrong["role"] == "user"
    assert "product: Input should be a valid integer" in wrong["content"]
    assert len(sent(phi, 2)) == 5
    assert "there is no JSON in it" in sent(phi, 2)[-1]["content"]


def test_a_rule_of_the_models_own_is_told_too(phi: Driver) -> None:
    phi.open().answer(said('{"number": 3}'), said('{"number": 4}'))
    assert phi.parse("?", Even).parsed.number == 4
    assert "number: Value error, must be even" in sent(phi)[-1]["content"]


@pytest.mark.parametrize(("max_reasks", "asks"), [(0, 1), (1, 2), (4, 5)])
def test_asking_again_ends(phi: Driver, max_reasks: int, asks: int) -> None:
    route = phi.open().answer(*[said('{"sum": 13}')] * 9)
    with pytest.raises(ParseError, match="does not fit Product: product: Field required") as caught:
        phi.parse("a secret prompt", Product, max_reasks=max_reasks)
    assert route.call_count == caught.value.asks == asks
    assert caught.value.spent == Usage(
        prompt_tokens=3 * asks, completion_tokens=4 * asks, total_tokens=7 * asks
    )
    assert caught.value.completion.content == '{"sum": 13}'
    assert "secret" not in str(caught.value)
    assert "r-1" in str(caught.value)


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_content_that_was_cut_is_not_asked_for_again(phi: Driver, finish_reason: str) -> None:
    route = phi.open().answer(said('{"product": 4', finish_reason=finish_reason))
    with pytest.raises(ParseError, match=finish_reason):
        phi.parse("?", Product)
    assert route.call_count == 1


def test_json_that_was_whole_before_the_cut_is_taken(phi: Driver) -> None:
    phi.open().answer(said('{"product": 42} and so', finish_reason="length"))
    assert phi.parse("?", Product).parsed.product == 42


def test_broken_json_is_told_as_such(phi: Driver) -> None:
    phi.open().answer(said('{"product": 42,}'), said('{"product": 42}'))
    assert phi.parse("?", Product).asks == 2
    assert "Invalid JSON: trailing comma" in sent(phi)[-1]["content"]


def test_an_error_at_a_later_ask_says_what_was_spent(phi: Driver) -> None:
    phi.open(max_retries=0).answer(said("no"), httpx.Response(429))
    with pytest.raises(RateLimitError) as caught:
        phi.parse("?", Product)
    assert caught.value.spent == Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)


def test_a_budget_that_ends_in_the_reasoning_counts_among_what_was_spent(phi: Driver) -> None:
    cut = said("", finish_reason="length")
    cut = httpx.Response(200, content=cut.content.replace(b"</think>", b""))
    phi.open().answer(said("no"), cut)
    with pytest.raises(ReasoningTruncatedError) as caught:
        phi.parse("?", Product)
    assert caught.value.spent == Usage(prompt_tokens=6, completion_tokens=8, total_tokens=14)


def test_the_deadline_is_for_all_asks_together(phi: Driver, fake_time: FakeTime) -> None:
    def late(request: httpx.Request) -> httpx.Response:
        fake_time.seconds += 6
        return said("no")

    route = phi.open().router.route().mock(side_effect=late)
    with pytest.raises(APITimeoutError) as caught:
        phi.parse("?", Product, deadline=10, max_reasks=9)
    assert (caught.value.phase, route.call_count) == ("deadline", 2)


class Unfinished(BaseModel):
    """A model that names a class that there is not."""

    part: Part  # type: ignore[name-defined]  # noqa: F821


class Undescribed(BaseModel):
    """A model of what JSON can't carry."""

    work: Callable[[], int]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((dict,), "pydantic"),
        ((Product(product=1),), "pydantic"),
        ((BaseModel,), "derived from"),
        ((Unfinished,), "`Unfinished` can't be described by a JSON Schema"),
        ((Undescribed,), "`Undescribed` can't be described by a JSON Schema"),
    ],
)
def test_what_is_no_model_is_refused(phi: Driver, arguments: tuple[Any], says: str) -> None:
    route = phi.open().answer()
    with pytest.raises(ConfigurationError, match=says):
        phi.parse("?", *arguments)
    assert route.call_count == 0


@pytest.mark.parametrize("max_reasks", [-1, None, "2", 1.5, float("nan"), True])
def test_a_number_of_asks_that_can_not_work_is_refused(phi: Driver, max_reasks: Any) -> None:
    route = phi.open().answer()
    with pytest.raises(ConfigurationError, match="max_reasks"):
        phi.parse("?", Product, max_reasks=max_reasks)
    assert route.call_count == 0


@pytest.mark.parametrize(
    "content",
    [
        '{"a": ' * 60_000,
        "[" * 200_000,
        '{"a' * 100_000,
        "```" * 50_000,
        r"\boxed{" * 50_000,
        '{"' + "x" * 10**6,
    ],
    ids=["nested objects", "nested lists", "strings", "fences", "boxes", "one long string"],
)
def test_content_made_to_be_slow_is_not(content: str) -> None:
    assert all(find_json(content))
