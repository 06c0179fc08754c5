"""Ten thousand exchanges under seeded faults: each ends, none is mixed up with another, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from phi_client import AsyncPhiClient, PhiClient, PhiError
from phi_client._wire.connection_pool import Lines
from phi_client.contract.clock.base import Clock
from phi_client.testing import with_clock
from tests.fault_server import ANSWER, SCRIPT_HEADER, FaultServer, Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phi_client import Completion

SEED = 20_260_416
EXCHANGES = 5000
THREADS = 16
TASKS = 64
LIMIT_S = 70.0
"""For each half; one exchange alone is limited by the client's `timeout`."""

BEFORE = [
    "429", "429-reset-tokens", "429-retry-after", "408", "500", "502", "503", "504",
    "dropped-before-answer", "reset-before-answer",
]  # fmt: skip
WHOLE = ["400-content-filter", "400-plain-text", "empty", "empty-object", "body-cut"]
STREAMED = [
    "stream-cut", "stream-cut-with-done", "stream-dropped", "stream-reset", "stream-invalid-json",
    "stream-error-object", "stream-error-event", "400-content-filter",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """One exchange: what is asked, what the server does, and when the caller loses interest."""

    id: str
    is_stream: bool
    script: str
    leave_after: int | None
    cancel_after: int | None

    @property
    def options(self) -> dict[str, Any]:
        """The options that bring the script to the server."""
        return {"headers": {SCRIPT_HEADER: self.script, "x-ms-client-request-id": self.id}}


def plan(number: int) -> Plan:
    """The plan for an exchange, the same in each run."""
    chance = random.Random(SEED + number)
    is_stream = chance.random() < 0.5
    before = chance.choices(BEFORE, k=chance.choice([0] * 8 + [1, 1, 1, 4]))
    last = chance.choice(STREAMED if is_stream else WHOLE) if chance.random() < 0.2 else "ok"
    return Plan(
        id=f"exchange-{number}",
        is_stream=is_stream,
        script=",".join([*before, last]),
        leave_after=chance.randint(1, 3) if is_stream and chance.random() < 0.2 else None,
        cancel_after=chance.randint(0, 15) if chance.random() < 0.1 else None,
    )


async def yield_to_others(seconds: float) -> None:
    """A wait that takes no time."""
    await asyncio.sleep(0)


def instant_clock() -> Clock:
    """A clock whose waits take no time."""
    return Clock(sleep=lambda seconds: None, sleep_async=yield_to_others, random=random.Random(SEED).random)


def open_client(route: Route) -> PhiClient:
    client = PhiClient(route.url, "a-key", dialect="serverless", timeout=10.0)
    with_clock(client, instant_clock())
    return client


def open_async_client(route: Route) -> AsyncPhiClient:
    client = AsyncPhiClient(route.url, "a-key", dialect="serverless", timeout=10.0)
    with_clock(client, instant_clock())
    return client


def connections_at_work() -> int:
    """How many connections of this process carry a request."""
    gc.collect()
    return sum(thing.busy for thing in gc.get_objects() if isinstance(thing, Lines))


def answered(plan: Plan, done: Completion) -> str:
    """`answered`, if the answer is whole and the one to this very exchange."""
    return "answered" if (done.request_id, done.content) == (plan.id, ANSWER) else f"wrong: {done}"


def failed(error: Exception) -> str:
    """`failed` for an error of the client's own; a foreign one is named."""
    return "failed" if isinstance(error, PhiError) else f"foreign: {error!r}"


def run_plan(client: PhiClient, plan: Plan) -> str:
    try:
        if not plan.is_stream:
            return answered(plan, client.complete("x", **plan.options))
        with client.stream("x", **plan.options) as stream:
            for number, _ in enumerate(stream, 1):
                if number == plan.leave_after:
                    return "left"
        return answered(plan, stream.completion)
    except Exception as error:  # noqa: BLE001  # a foreign one must show among the outcomes
        return failed(error)


async def run_plan_async(client: AsyncPhiClient, plan: Plan) -> str:
    try:
        if not plan.is_stream:
            return answered(plan, await client.complete("x", **plan.options))
        number = 0
        async with client.stream("x", **plan.options) as stream:
            async for _ in stream:
                number += 1
                if number == plan.leave_after:
                    return "left"
        return answered(plan, stream.completion)
    except Exception as error:  # noqa: BLE001  # a foreign one must show among the outcomes
        return failed(error)


async def run_plan_or_cancel(client: AsyncPhiClient, plan: Plan) -> str:
    if plan.cancel_after is None:
        return await run_plan_async(client, plan)
    task = asyncio.create_task(run_plan_async(client, plan))
    for _ in range(plan.cancel_after):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "cancelled"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    before = set(threading.enumerate())
    with FaultServer() as server:
        yield server
    assert set(threading.enumerate()) == before


def assert_all_ended(outcomes: list[str], *expected: str) -> None:
    counts = Counter(outcomes)
    assert set(counts) == set(expected)
    assert counts.total() == EXCHANGES
    assert counts["answered"] > EXCHANGES // 3
    assert min(counts.values()) > EXCHANGES // 100


@pytest.mark.timeout(LIMIT_S + 30)
def test_sync_exchanges_from_many_threads_leave_the_client_whole(server: FaultServer) -> None:
    route = server.route("ok")
    outcomes: list[str] = []
    numbers = iter(range(EXCHANGES))

    def run_some() -> None:
        for number in numbers:
            outcome = run_plan(client, plan(number))
            outcomes.append(outcome)

    with open_client(route) as client:
        threads = [threading.Thread(target=run_some, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + LIMIT_S
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        assert not [thread for thread in threads if thread.is_alive()], "an exchange hangs"
        assert_all_ended(outcomes, "answered", "failed", "left")
        assert connections_at_work() == 0
        assert client.complete("x").content == ANSWER
    assert server.wait_until_unused()


@pytest.mark.timeout(LIMIT_S + 30)
def test_async_exchanges_from_many_tasks_leave_the_client_whole(server: FaultServer) -> None:
    route = server.route("ok")

    async def run_all() -> list[str]:
        outcomes: list[str] = []
        numbers = iter(range(EXCHANGES, 2 * EXCHANGES))

        async def run_some() -> None:
            for number in numbers:
                outcome = await run_plan_or_cancel(client, plan(number))
                outcomes.append(outcome)

        async with open_async_client(route) as client:
            async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
                for _ in range(TASKS):
                    group.create_task(run_some())
            assert connections_at_work() == 0
            assert (await client.complete("x")).content == ANSWER
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return outcomes

    assert_all_ended(asyncio.run(run_all()), "answered", "failed", "left", "cancelled")
    assert server.wait_until_unused()
