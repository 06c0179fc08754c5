"""`map()`: each input has its item, one that fails stops no other, refusals are waited out, and totals add up."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openai.types.chat import ChatCompletionMessage

from phi_client import (
    APITimeoutError,
    AsyncPhiClient,
    AuthenticationError,
    ConfigurationError,
    ContentFilterError,
    ErrorBody,
    InternalServerError,
    MapItem,
    MapResult,
    PhiClient,
    PhiError,
    Price,
    RateLimitError,
    ReasoningTruncatedError,
    RetryEvent,
    Usage,
)
from phi_client._call.retrying import LONGEST_ASKED_WAIT_S
from phi_client._call.targets import resolve_settings
from phi_client._map.start import Start
from phi_client._map.work import MapWork
from phi_client.contract.clock.base import Clock
from phi_client.contract.service import SERVERLESS
from phi_client.contract.service.chat import AssistantMessage, ChatCompletion, Choice, WireUsage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import respx

    from tests.conftest import Driver, FakeTime

PROMPTS = [f"number {number}" for number in range(40)]
MODEL = "phi-4-mini-reasoning"
ENDPOINT = "https://phi.eastus2.models.ai.azure.com"


def said(text: str, finish_reason: str = "stop", model: str | None = MODEL) -> httpx.Response:
    message = AssistantMessage(role="assistant", content=text)
    choices = [Choice(index=0, message=message, finish_reason=finish_reason)]
    usage = WireUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    body = SERVERLESS.write_completion(
        ChatCompletion(id="1", created=1, model=model, choices=choices, usage=usage)
    )
    return httpx.Response(200, content=body, headers={"X-Request-ID": "r-1"})


def echo(number: int) -> httpx.Response:
    return said(f"<think>hm</think>\\boxed{{{number}}}")


class Service:
    """Answers each prompt with its number, unless `reply` says otherwise for a number and its attempt."""

    def __init__(self, phi: Driver, reply: Any = None, **arguments: Any) -> None:
        self.reply: Callable[[int, int], httpx.Response | None] = reply or (lambda number, attempt: None)
        self.asked: Counter[int] = Counter()
        self.lock = threading.Lock()
        self.phi = phi
        self.route: respx.Route = phi.open(**arguments).router.route().mock(side_effect=self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        number = int(json.loads(request.content)["messages"][-1]["content"].split()[-1])
        with self.lock:
            self.asked[number] += 1
            attempt = self.asked[number]
        return self.reply(number, attempt) or echo(number)


def answers(items: Any) -> list[str | None]:
    return [item.completion.answer if item.completion else None for item in items]


def test_each_input_has_its_item_in_its_place(phi: Driver) -> None:
    service = Service(phi)
    result = phi.map(PROMPTS, seed=3)
    assert isinstance(result, MapResult)
    assert answers(result) == [str(number) for number in range(40)]
    assert [item.input for item in result] == PROMPTS
    assert [item.position for item in result] == list(range(40))
    assert (len(result), result.failed, result.retries, result.cost) == (40, (), 0, None)
    assert result[-1].completion is not None
    assert result[-1].completion.reasoning == "hm"
    assert result[1:3] == result.items[1:3]
    assert set(service.asked.values()) == {1}
    assert json.loads(service.route.calls.last.request.content)["seed"] == 3


def test_inputs_may_be_messages_and_come_from_any_iterable(phi: Driver) -> None:
    Service(phi)
    result = phi.map([{"role": "user", "content": prompt}] for prompt in PROMPTS[:3])
    assert answers(result) == ["0", "1", "2"]


def test_no_inputs_make_an_empty_result(phi: Driver) -> None:
    service = Service(phi)
    result = phi.map([])
    assert (len(result), result.usage, result.cost) == (0, None, None)
    assert not service.asked


def test_one_failed_item_does_not_stop_the_others(phi: Driver) -> None:
    filtered = {"error": {"message": "filtered", "code": "content_filter", "status": 400}}
    Service(
        phi,
        lambda number, attempt: (
            httpx.Response(400, json=filtered)
            if number == 5
            else said("<think>hm", "length")
            if number == 6
            else httpx.Response(500)
            if number == 7
            else None
        ),
    )
    result = phi.map(PROMPTS)
    assert [(item.position, type(item.error)) for item in result.failed] == [
        (5, ContentFilterError),
        (6, ReasoningTruncatedError),
        (7, InternalServerError),
    ]
    assert sum(item.completion is not None for item in result) == 37
    assert result[6].usage is not None
    assert result[6].usage.total_tokens == 7
    assert isinstance(result[7].outcome, InternalServerError)
    assert result[7].retries == 3


def test_tokens_retries_and_cost_are_summed(phi: Driver) -> None:
    Service(phi, lambda number, attempt: httpx.Response(503) if number == 3 and attempt < 3 else None)
    result = phi.map(PROMPTS, prices={MODEL: Price(prompt=1, completion=10)})
    assert result.usage == Usage(prompt_tokens=120, completion_tokens=160, total_tokens=280)
    assert (result.retries, result[3].retries) == (2, 2)
    assert result[0].cost == pytest.approx(43e-6)
    assert result.cost == pytest.approx(40 * 43e-6)


@pytest.mark.parametrize(
    ("prices", "cost"),
    [(Price(prompt=2, completion=0), pytest.approx(12e-6)), ({"other": Price(prompt=2, completion=0)}, None)],
)
def test_a_cost_that_is_not_known_is_none(phi: Driver, prices: Any, cost: Any) -> None:
    Service(phi)
    assert phi.map(PROMPTS[:2], prices=prices).cost == cost


def test_a_slow_item_does_not_hold_back_the_others_of_a_sync_client() -> None:
    go_on = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        if b"number 0" in request.content:
            assert go_on.wait(20)
        return echo(1)

    seen: list[int] = []
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        for item in PhiClient(ENDPOINT, "a-key", http_client=http).map_as_completed(PROMPTS):
            seen.append(item.position)
            if len(seen) == 39:
                go_on.set()
    assert seen[-1] == 0


def test_a_slow_item_does_not_hold_back_the_others_of_an_async_client() -> None:
    async def run() -> list[int]:
        go_on = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            if b"number 0" in request.content:
                await go_on.wait()
            return echo(1)

        seen: list[int] = []
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            async for item in AsyncPhiClient(ENDPOINT, "a-key", http_client=http).map_as_completed(PROMPTS):
                seen.append(item.position)
                if len(seen) == 39:
                    go_on.set()
        return seen

    assert asyncio.run(run())[-1] == 0


def test_leaving_early_leaves_the_rest_unsent(phi: Driver) -> None:
    service = Service(phi)
    items = phi.map_as_completed(PROMPTS, concurrency=2, leave_after=5)
    assert len(items) == 5
    assert service.asked.total() < 12
    assert not [thread for thread in threading.enumerate() if thread.name == "phi-client-map"]


def test_a_refusal_that_outlasts_the_retries_sends_the_item_back_to_wait(
    phi: Driver, fake_time: FakeTime
) -> None:
    until = fake_time.seconds + 100

    def reply(number: int, attempt: int) -> httpx.Response | None:
        if fake_time.seconds < until:
            return httpx.Response(429, headers={"Retry-After": "20"})
        return None

    Service(phi, reply, max_retries=1)
    result = phi.map(PROMPTS[:6], concurrency=2)
    assert answers(result) == list("012345")
    assert result.retries >= 2
    assert fake_time.seconds >= until


def test_a_refusal_that_never_ends_is_an_error_in_the_end(phi: Driver) -> None:
    service = Service(
        phi, lambda number, attempt: httpx.Response(429) if number == 1 else None, max_retries=1
    )
    result = phi.map(PROMPTS[:3])
    assert isinstance(result[1].error, RateLimitError)
    assert answers(result) == ["0", None, "2"]
    assert service.asked[1] == 12
    assert result[1].retries == 11


@pytest.mark.parametrize("options", [{"max_retries": 0}, {"headers": {"x-ask": "86400"}}])
def test_a_refusal_is_not_waited_out_where_nobody_wants_to_or_for_a_day(phi: Driver, options: Any) -> None:
    wait = "86400" if "headers" in options else "1"
    service = Service(
        phi,
        lambda number, attempt: httpx.Response(429, headers={"Retry-After": wait}) if number == 2 else None,
    )
    assert isinstance(phi.map(PROMPTS[:3], **options)[2].error, RateLimitError)
    assert service.asked[2] == 1


def test_a_quota_that_is_used_up_ends_the_whole(phi: Driver, fake_time: FakeTime) -> None:
    service = Service(
        phi,
        lambda number, attempt: httpx.Response(429, headers={"Retry-After": "86400"}) if number > 5 else None,
    )
    with pytest.raises(RateLimitError) as caught:
        phi.map(PROMPTS, concurrency=4)
    assert len(caught.value.finished or ()) == service.asked.total() < 20
    # Where an answer that was under way is the last word, it is asked once more after the longest wait.
    assert sum(fake_time.waits) <= LONGEST_ASKED_WAIT_S


def test_messages_are_taken_in_lists_as_complete_takes_them(phi: Driver) -> None:
    Service(phi)
    done = phi.map(PROMPTS[:1])[0].completion
    assert done is not None
    message = ChatCompletionMessage(role="assistant", content="y")
    chats: list[Any] = [
        [{"role": "user", "content": "x"}, earlier, {"role": "user", "content": "number 7"}]
        for earlier in (done, message)
    ]
    assert answers(phi.map(chats)) == ["7", "7"]
    for one in (done, message):
        with pytest.raises(ConfigurationError, match="one prompt"):
            phi.map(one)


def test_limits_in_the_headers_are_kept(phi: Driver, fake_time: FakeTime) -> None:
    """Ten requests a minute: none is refused, and forty take three minutes."""
    sent: list[float] = []

    def reply(number: int, attempt: int) -> httpx.Response:
        now = fake_time.seconds
        sent.append(now)
        recent = sum(at > now - 60 for at in sent)
        if recent > 10:
            return httpx.Response(429, headers={"Retry-After": "60"})
        good = echo(number)
        good.headers["x-ratelimit-limit-requests"] = "10"
        good.headers["x-ratelimit-remaining-requests"] = str(10 - recent)
        return good

    Service(phi, reply)
    result = phi.map(PROMPTS)
    assert not result.failed
    assert result.retries == 0
    assert 180 <= fake_time.seconds - 1000 < 190


def work_of(count: int, fake_time: FakeTime, **options: Any) -> MapWork[str]:
    """The state of a `map` of so many prompts of 20 characters, which nobody carries."""
    settings = resolve_settings(environ={}, endpoint=ENDPOINT, api_key="a-key").with_options(options)
    return MapWork(
        ["x" * 20] * count,
        [{}] * count,
        settings.options,
        targets=settings.targets,
        concurrency=count,
        clock=fake_time.clock(),
    )


def limit_of_tokens(limit: int, used: float) -> dict[str, str]:
    return {
        "x-ratelimit-limit-tokens": str(limit),
        "x-ratelimit-remaining-tokens": str(limit - int(used)),
    }


REFUSED = RateLimitError("", status_code=429, body=ErrorBody(message=""), retry_after=86400)


def test_a_refused_request_takes_no_tokens(fake_time: FakeTime) -> None:
    work = work_of(4, fake_time, max_tokens=395)
    first, second = work.next(), work.next()
    assert isinstance(first, Start)
    assert isinstance(second, Start)
    second.answered(0, limit_of_tokens(1000, 800), None)
    assert work.next() == 60
    work.finish(first, REFUSED)
    assert isinstance(work.next(), Start)


def test_a_repeated_request_counts_from_its_repetition(fake_time: FakeTime) -> None:
    work = work_of(2, fake_time, max_tokens=595)
    start = work.next()
    assert isinstance(start, Start)
    start.sends(0)
    start.answered(0, limit_of_tokens(1000, 600), None)
    assert work.next() == 60
    fake_time.seconds += 10
    start.waits(0, 5)
    start.sends(0)
    assert start.retries == 1
    assert work.next() == 65


@pytest.mark.parametrize(("max_tokens", "room_for"), [(400, 2), (40, 22), (None, 4)])
def test_the_budget_of_tokens_counts_against_a_limit(
    fake_time: FakeTime, max_tokens: int | None, room_for: int
) -> None:
    """A prompt of 20 characters counts as 5 tokens; without a budget an answer is taken to need 1000."""
    limit = 1000 if max_tokens else 4500
    work = work_of(50, fake_time, max_tokens=max_tokens)
    first = work.next()
    assert isinstance(first, Start)
    for _ in range(50):
        # Answers to requests that were not this one's would open places without touching the tokens.
        first.answered(0, {}, None)
    first.answered(0, limit_of_tokens(limit, (max_tokens or 1000) + 5), None)
    started = 1
    while isinstance(step := work.next(), Start):
        started += 1
    assert (started, step) == (room_for, 60)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_wrong_with_the_client_ends_the_whole(phi: Driver, status: int) -> None:
    service = Service(phi, lambda number, attempt: httpx.Response(status))
    with pytest.raises(PhiError, match="10 items in a row failed like this") as caught:
        phi.map(PROMPTS, concurrency=1)
    assert getattr(caught.value, "status_code", None) == status
    assert service.asked.total() == 10


def test_a_few_such_errors_end_nothing(phi: Driver) -> None:
    Service(phi, lambda number, attempt: httpx.Response(401) if number % 4 else None)
    result = phi.map(PROMPTS, concurrency=1)
    assert len(result.failed) == 30
    assert all(isinstance(item.error, AuthenticationError) for item in result.failed)


def test_the_callers_own_hook_is_told_too(phi: Driver) -> None:
    seen: list[RetryEvent] = []
    Service(phi, lambda number, attempt: httpx.Response(500) if attempt == 1 else None, on_retry=seen.append)
    assert phi.map(PROMPTS[:5]).retries == len(seen) == 5


def test_each_item_has_the_deadline_for_itself(phi: Driver, fake_time: FakeTime) -> None:
    Service(
        phi,
        lambda number, attempt: httpx.Response(503, headers={"Retry-After": "9"}) if number == 1 else None,
    )
    result = phi.map(PROMPTS[:3], deadline=5, concurrency=1)
    assert [type(item.error).__name__ for item in result] == ["NoneType", "InternalServerError", "NoneType"]
    assert not isinstance(result[1].error, APITimeoutError)


@pytest.mark.parametrize(
    ("inputs", "options", "says"),
    [
        ("one prompt", {}, "one prompt"),
        ({"role": "user"}, {}, "one prompt"),
        (["x", 5], {}, "the input 1 is no prompt"),
        (["x", b"y"], {}, "the input 1 is no prompt"),
        ([["x"]], {}, "the input 0 is no prompt"),
        (["x"], {"concurrency": 0}, "`concurrency` is 0"),
        (["x"], {"concurrency": 1001}, "give 1 to 1000"),
        (["x"], {"concurrency": 2.5}, "`concurrency` is 2.5"),
        (["x"], {"concurrency": True}, "`concurrency` is True"),
        (None, {}, "give a list of prompts"),
        (["x"], {"checkpoint": 5}, "give the path of a file"),
        (["x"], {"checkpoint": ""}, "give the path of a file"),
        (["x"], {"prices": 0.3}, "`prices` holds no prices"),
        (["x"], {"prices": {MODEL: 0.3}}, "`prices` holds no prices"),
        (["x"], {"prices": Price(prompt=float("nan"), completion=1)}, "`prices` holds no prices"),
        (["x"], {"timeout": 0}, "timeout"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_is_sent(
    phi: Driver, inputs: Any, options: Any, says: str
) -> None:
    service = Service(phi)
    with pytest.raises(ConfigurationError, match=says):
        phi.map(inputs, **options)
    assert not service.asked


def test_a_checkpoint_keeps_what_is_finished_and_only_the_rest_is_sent(phi: Driver, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    service = Service(
        phi, lambda number, attempt: httpx.Response(503) if number == 4 and attempt < 3 else None
    )
    first = phi.map_as_completed(PROMPTS, checkpoint=path, concurrency=2, leave_after=15)
    kept = {json.loads(line)["position"] for line in path.read_text().splitlines()[1:]}
    assert kept >= {item.position for item in first}
    service.asked.clear()
    result = phi.map(PROMPTS, checkpoint=path, prices=Price(prompt=1, completion=1))
    assert answers(result) == [str(number) for number in range(40)]
    assert set(service.asked) == set(range(40)) - kept
    assert [item.position for item in result if item.is_restored] == sorted(kept)
    assert result.usage == Usage(prompt_tokens=120, completion_tokens=160, total_tokens=280)
    assert result.cost == pytest.approx(280e-6)
    assert result.retries == 2


def test_a_restored_completion_equals_the_one_that_was_kept(phi: Driver, tmp_path: Path) -> None:
    Service(phi)
    fresh = phi.map(PROMPTS[:3], checkpoint=str(tmp_path / "c.jsonl"))
    again = phi.map(PROMPTS[:3], checkpoint=str(tmp_path / "c.jsonl"))
    assert [item.completion for item in again] == [item.completion for item in fresh]
    for one, other in zip(fresh, again, strict=True):
        assert one.completion is not None
        assert other.completion is not None
        assert one.completion.raw == other.completion.raw
        assert one.completion.endpoint == other.completion.endpoint
        assert other.completion.request_id == "r-1"
        assert other.completion.client_request_id == one.completion.client_request_id != ""


def test_failed_items_are_sent_again(phi: Driver, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    service = Service(
        phi, lambda number, attempt: httpx.Response(400) if attempt == 1 and number == 2 else None
    )
    assert len(phi.map(PROMPTS[:5], checkpoint=path).failed) == 1
    error = next(line for line in map(json.loads, path.read_text().splitlines()) if "error" in line)
    assert error["error"]["type"] == "BadRequestError"
    assert answers(phi.map(PROMPTS[:5], checkpoint=path)) == list("01234")
    assert service.asked == Counter({0: 1, 1: 1, 2: 2, 3: 1, 4: 1})


@pytest.mark.parametrize(
    "damage",
    [
        {"completion": 1},
        {"completion": {}},
        {"completion": {"choices": []}},
        {"completion": {"choices": [1]}},
        {"completion": {"choices": [{"message": {"content": 1}}]}},
        {"retries": "many"},
    ],
)
def test_a_record_that_was_edited_into_something_else_is_refused_before_anything_is_sent(
    phi: Driver, tmp_path: Path, damage: dict[str, object]
) -> None:
    service = Service(phi)
    path = tmp_path / "c.jsonl"
    phi.map(PROMPTS[:1], checkpoint=path)
    head, line = path.read_text().splitlines()
    path.write_text(f"{head}\n{json.dumps(json.loads(line) | damage)}\n")
    for _ in range(2):  # the file is not left locked
        with pytest.raises(ConfigurationError, match="the item 0: repair or remove its line"):
            phi.map(PROMPTS[:2], checkpoint=path)
    assert service.asked.total() == 1


def test_what_was_cut_is_no_answer_for_a_run_that_raises_on_it(phi: Driver, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    service = Service(phi, lambda number, attempt: said("<think>and", "length") if attempt < 3 else None)
    cut = phi.map(PROMPTS[:1], checkpoint=path, on_truncation="return")
    assert cut[0].completion is not None
    assert phi.map(PROMPTS[:1], checkpoint=path, on_truncation="return")[0].is_restored
    with_error = phi.map(PROMPTS[:1], checkpoint=path)
    assert isinstance(with_error[0].error, ReasoningTruncatedError)
    assert answers(phi.map(PROMPTS[:1], checkpoint=path)) == ["0"]
    assert service.asked[0] == 3


def test_other_options_do_not_fit_a_checkpoint(phi: Driver, tmp_path: Path) -> None:
    service = Service(phi)
    phi.map(PROMPTS[:2], checkpoint=tmp_path / "c.jsonl", seed=1)
    with pytest.raises(ConfigurationError, match="another prompt or other options"):
        phi.map(PROMPTS[:2], checkpoint=tmp_path / "c.jsonl", seed=2)
    with pytest.raises(ConfigurationError, match="another prompt or other options"):
        phi.map(["number 7", "number 1"], checkpoint=tmp_path / "c.jsonl", seed=1)
    assert service.asked.total() == 2


def test_answers_of_the_emulator_do_not_pass_for_those_of_azure(phi: Driver, tmp_path: Path) -> None:
    Service(phi, endpoint="http://127.0.0.1:16180")
    phi.map(PROMPTS[:2], checkpoint=tmp_path / "c.jsonl")
    Service(phi, endpoint="http://localhost:9999/serverless")
    assert answers(phi.map(PROMPTS[:2], checkpoint=tmp_path / "c.jsonl")) == ["0", "1"]
    Service(phi)
    with pytest.raises(ConfigurationError, match="holds answers of this machine"):
        phi.map(PROMPTS[:2], checkpoint=tmp_path / "c.jsonl")


def test_a_bar_is_shown_when_it_is_asked_for(phi: Driver, capsys: pytest.CaptureFixture[str]) -> None:
    Service(phi)
    phi.map(PROMPTS, progress=True)
    assert "40/40 100%" in capsys.readouterr().err
    phi.map(PROMPTS)
    phi.map(PROMPTS, progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_thread_that_waits_for_a_retry_is_woken_when_the_work_is_left() -> None:
    waiting = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        if b"number 1" in request.content:
            waiting.set()
            return httpx.Response(503, headers={"Retry-After": "200"})
        waiting.wait(20)
        return echo(0)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = PhiClient(ENDPOINT, "a-key", http_client=http)
        for item in client.map_as_completed(PROMPTS[:2]):
            assert isinstance(item, MapItem)
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "phi-client-map"]


def test_an_interruption_right_after_a_line_is_written_counts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Ctrl-C comes between any two instructions; this is where it was seen to make the message wrong.
    counted = MapWork._count

    def count(self: MapWork[str], item: MapItem[str]) -> None:
        if self._done == 2:
            raise KeyboardInterrupt
        counted(self, item)

    monkeypatch.setattr(MapWork, "_count", count)
    with httpx.Client(transport=httpx.MockTransport(lambda _: echo(0))) as http:
        client = PhiClient(ENDPOINT, "a-key", http_client=http)
        with pytest.raises(KeyboardInterrupt) as caught:
            client.map(PROMPTS[:5], checkpoint=tmp_path / "c.jsonl")
    kept = (tmp_path / "c.jsonl").read_bytes().count(b"\n") - 1
    assert kept >= 3
    (words,) = caught.value.__notes__
    assert words.startswith(f"interrupted: {kept} of 5 items are finished and kept in")


def test_a_clock_of_ones_own_is_used_for_waits_between_items(phi: Driver, fake_time: FakeTime) -> None:
    Service(
        phi,
        lambda number, attempt: (
            httpx.Response(429, headers={"Retry-After": "33"}) if number == 0 and attempt == 1 else None
        ),
    )
    assert isinstance(fake_time.clock(), Clock)
    phi.map(PROMPTS[:1])
    assert fake_time.waits == [33]


def test_without_a_bar_its_code_is_not_loaded() -> None:
    script = (
        "import sys; from phi_client import PhiClient; PhiClient('emulator').map([], progress=False); "
        "print([name for name in sys.modules if name.endswith(('_map.progress', '_answers.math_verify'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.timeout(15)
def test_requests_over_a_client_of_ones_own_do_not_hold_back_who_leaves() -> None:
    go_on = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        if b"number 0" not in request.content:
            go_on.wait(60)
        return echo(0)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        for item in PhiClient(ENDPOINT, "a-key", http_client=http).map_as_completed(PROMPTS):
            assert item.position == 0
            break
        left = [thread for thread in threading.enumerate() if thread.name == "phi-client-map"]
        assert left
        assert all(thread.daemon for thread in left)
        go_on.set()
        for thread in left:
            thread.join()


def test_without_a_console_no_bar_is_shown(phi: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    Service(phi)
    monkeypatch.setattr("sys.stderr", None)
    assert len(phi.map(PROMPTS, progress=True)) == 40
