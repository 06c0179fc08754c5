"""What may change while the emulator runs: an exchange keeps what it began with, and the next one gets the rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from functools import partial
from typing import Any

import httpx
import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.behaviour import Behaviour, CurrentBehaviour
from phi_emulator.service.chat import ChatService
from phi_emulator.service.content_filter import DEFAULT_RULES, ContentFilter
from phi_emulator.service.rate_limits import Limits
from phi_emulator.web.app import App
from phi_emulator.web.chain import Step
from phi_emulator.web.exchange import Exchange
from starlette.types import Receive, Send

from phi_client.contract.clock.base import Clock

KEYS = {"authorization": "Bearer k", "api-key": "k"}
WORD = "phi-filter-violence"
ASK: dict[str, Any] = {"model": "mine", "messages": [{"role": "user", "content": f"six {WORD}"}]}
CONFIG = EmulatorConfig(key="k")


class Gate:
    """Holds an exchange where it has passed the checks, until it is opened."""

    def __init__(self) -> None:
        self.holds, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        self.holds.set()
        await self.opened.wait()
        await following(exchange, receive, send)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(lambda: ScriptedEngine(lambda _: "one two <think>three</think>"))
    made.start()
    yield made
    made.stop()


def around(
    worker: Worker,
    change: Callable[[Behaviour], Behaviour],
    path: str,
    *,
    method: str = "POST",
    config: EmulatorConfig = CONFIG,
) -> tuple[httpx.Response, httpx.Response]:
    """What is answered to a request during which the behaviour is changed, and to the next one."""

    async def run() -> tuple[httpx.Response, httpx.Response]:
        gate = Gate()
        app = App(ChatService(worker), config, inner=[gate])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            first = asyncio.ensure_future(client.request(method, path, json=ASK, headers=KEYS))
            await gate.holds.wait()
            app.behaviour.change(change)
            gate.opened.set()
            return await first, await client.request(method, path, json=ASK, headers=KEYS)

    return asyncio.run(run())


def with_rules(now: Behaviour) -> Behaviour:
    return replace(now, content_filter=ContentFilter(DEFAULT_RULES))


def with_names(now: Behaviour) -> Behaviour:
    return replace(now, deployments=("another",))


def with_no_tokens(now: Behaviour) -> Behaviour:
    return replace(now, max_output_tokens=1)


def with_reasoning_apart(now: Behaviour) -> Behaviour:
    dialects = {
        name: replace(dialect, reasoning_in="reasoning_content") for name, dialect in now.dialects.items()
    }
    return replace(now, dialects=dialects)


@pytest.mark.parametrize(
    ("change", "status"),
    [(with_rules, 400), (with_names, 404), (with_no_tokens, 200), (with_reasoning_apart, 200)],
)
def test_a_change_reaches_the_next_exchange_and_no_running_one(
    worker: Worker, change: Callable[[Behaviour], Behaviour], status: int
) -> None:
    first, second = around(worker, change, "/openai/v1/chat/completions")
    assert first.status_code == 200
    assert first.json()["choices"][0]["message"]["content"] == "one two <think>three</think>"
    assert second.status_code == status
    if status == 200:
        assert second.json()["choices"][0]["message"]["content"] != "one two <think>three</think>"


def test_another_image_has_other_routes(worker: Worker) -> None:
    older = EmulatorConfig(key="k", image="older")

    def newer(now: Behaviour) -> Behaviour:
        return replace(now, dialects=CONFIG.behaviour.dialects)

    first, second = around(worker, newer, "/managed-compute/info", method="GET", config=older)
    assert (first.status_code, second.status_code) == (200, 424)


def test_limits_that_change_count_what_was_let_in_before(worker: Worker) -> None:
    seconds = 0.0
    statuses: list[int] = []

    def with_limit(limit: int, now: Behaviour) -> Behaviour:
        return replace(now, limits=Limits(requests_per_minute=limit))

    async def run() -> None:
        nonlocal seconds
        app = App(
            ChatService(worker, clock=Clock(now=lambda: seconds)),
            EmulatorConfig(key="k", requests_per_minute=5),
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for limit in (5, 2, 2, 3, 3, 3):
                seconds += 30 if len(statuses) == 5 else 10
                app.behaviour.change(partial(with_limit, limit))
                answer = await client.post("/openai/v1/chat/completions", json=ASK, headers=KEYS)
                statuses.append(answer.status_code)

    asyncio.run(run())
    # The last one comes when the first two have left the window.
    assert statuses == [200, 200, 429, 200, 429, 200]


def test_a_snapshot_is_never_changed_itself() -> None:
    current = CurrentBehaviour(Behaviour())
    before = current.now
    with pytest.raises(FrozenInstanceError):
        before.loose = True  # type: ignore[misc]
    assert current.change(lambda now: replace(now, loose=True)) is current.now
    assert (before.loose, current.now.loose) == (False, True)


def test_a_change_that_fails_changes_nothing() -> None:
    current = CurrentBehaviour(Behaviour())
    before = current.now
    with pytest.raises(ZeroDivisionError):
        current.change(lambda now: replace(now, max_output_tokens=1 // 0))
    assert current.now is before


def test_changes_of_many_threads_are_all_there() -> None:
    current = CurrentBehaviour(Behaviour())

    def with_name(name: str, now: Behaviour) -> Behaviour:
        return replace(now, deployments=(*now.deployments, name))

    def add(number: int) -> None:
        for turn in range(50):
            current.change(partial(with_name, f"{number}-{turn}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(current.now.deployments)) == 400


def test_an_emulator_begins_with_what_is_configured() -> None:
    config = EmulatorConfig(
        requests_per_minute=1,
        tokens_per_minute=2,
        max_concurrent=3,
        content_filter="default",
        deployments=("d",),
        max_output_tokens=4,
        request_timeout_ms=1500,
        loose=True,
        help_text=True,
        extensions=True,
        reasoning="content",
        image="older",
    )
    behaviour = config.behaviour
    assert behaviour.limits == Limits(requests_per_minute=1, tokens_per_minute=2, max_concurrent=3)
    assert behaviour.content_filter.is_on
    assert (behaviour.deployments, behaviour.max_output_tokens) == (("d",), 4)
    assert (behaviour.answer_seconds, behaviour.loose) == (1.5, True)
    for dialect in behaviour.dialects.values():
        assert (dialect.has_help_text, dialect.has_extensions, dialect.reasoning_in) == (
            True,
            True,
            "content",
        )
    assert behaviour.dialects["managed_compute"].short_score
