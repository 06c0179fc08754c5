"""A `map` over several endpoints: each has a pace of its own, and none is waited for while another has room."""

from __future__ import annotations

import heapq
import json
import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import (
    BadRequestError,
    Completion,
    ErrorBody,
    InternalServerError,
    ModelError,
    PhiError,
    RateLimitError,
    UnexpectedError,
)
from phi_client._call.retrying import is_retryable
from phi_client._call.targets import resolve_settings
from phi_client._map.lanes import Lanes, Place
from phi_client._map.start import Start
from phi_client._map.work import MapWork

if TYPE_CHECKING:
    from pathlib import Path

    from phi_client import MapItem
    from tests.conftest import Driver, FakeTime

FIRST, SECOND = "https://one.models.ai.azure.com", "https://two.models.ai.azure.com"
BOTH = {"endpoint": f"{FIRST} {SECOND}", "api_key": "first-key-00 second-key-0"}
PROMPTS = [f"number {number}" for number in range(40)]


def echo(request: httpx.Request) -> httpx.Response:
    text = json.loads(request.content)["messages"][-1]["content"].split()[1]
    choice = {"index": 0, "message": {"content": f"\\boxed{{{text}}}"}, "finish_reason": "stop"}
    return httpx.Response(200, json={"choices": [choice]})


HIDDEN = {"ms-azureml-model-error-statuscode": "429", "retry-after": "5"}
REFUSALS = {
    "429": httpx.Response(429, headers={"retry-after": "5"}),
    "503": httpx.Response(503, headers={"retry-after": "120"}),
    "429 without a wait": httpx.Response(429),
    "429 for an hour": httpx.Response(429, headers={"retry-after": "3600"}),
    "424 that hides a 429": httpx.Response(424, headers=HIDDEN),
    "500": httpx.Response(500),
}


def told(phi: Driver, *, first: Any, second: Any = echo) -> Counter[str]:
    """Let each endpoint answer; how often each was asked."""
    asked: Counter[str] = Counter()

    def answer(request: httpx.Request) -> httpx.Response:
        asked[request.url.host[:3]] += 1
        reply = first if request.url.host.startswith("one") else second
        found: httpx.Response = reply(request) if callable(reply) else reply
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    phi.open(**BOTH).router.route().mock(side_effect=answer)
    return asked


@pytest.mark.parametrize("how", REFUSALS)
def test_while_one_refuses_the_other_is_asked_without_a_wait(
    phi: Driver, fake_time: FakeTime, how: str
) -> None:
    asked = told(phi, first=REFUSALS[how])
    result = phi.map(PROMPTS)
    assert not result.failed
    assert fake_time.waits == []
    assert asked["two"] == 40
    if "retry-after" in REFUSALS[how].headers:
        assert asked["one"] <= 4  # those that were out when it said so first


def test_solve_does_not_wait_either(phi: Driver, fake_time: FakeTime) -> None:
    told(phi, first=REFUSALS["429"])
    assert phi.solve("What is 6 * 7?", 6).agreement == 1
    assert fake_time.waits == []


def test_one_that_is_well_is_asked_alone(phi: Driver) -> None:
    """The others stand in for it; they may be another model, or cost more."""
    assert told(phi, first=echo) == Counter()
    asked = told(phi, first=echo)
    assert not phi.map(PROMPTS).failed
    assert asked == {"one": 40}


def test_one_that_refused_is_asked_again_when_its_wait_is_over(phi: Driver, fake_time: FakeTime) -> None:
    began = fake_time.seconds

    def first(request: httpx.Request) -> httpx.Response:
        return echo(request) if fake_time.seconds >= began + 5 else REFUSALS["429"]

    def second(request: httpx.Request) -> httpx.Response:
        fake_time.seconds += 0.5
        return echo(request)

    asked = told(phi, first=first, second=second)
    assert not phi.map(PROMPTS, concurrency=1).failed
    assert 10 <= asked["two"] <= 11
    assert asked["one"] >= 28


def test_when_none_has_room_the_one_that_is_free_first_is_waited_for(
    phi: Driver, fake_time: FakeTime
) -> None:
    began = fake_time.seconds

    def until(seconds: float) -> Any:
        def reply(request: httpx.Request) -> httpx.Response:
            left = began + seconds - fake_time.seconds
            return httpx.Response(429, headers={"retry-after": str(left)}) if left > 0 else echo(request)

        return reply

    told(phi, first=until(200), second=until(30))
    result = phi.map(PROMPTS[:6], max_retries=1)
    assert not result.failed
    assert 30 <= fake_time.seconds - began < 60


def test_a_limit_in_the_headers_of_one_sends_the_rest_to_the_other(phi: Driver, fake_time: FakeTime) -> None:
    sent = 0

    def first(request: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        answer = echo(request)
        answer.headers["x-ratelimit-limit-requests"] = "10"
        answer.headers["x-ratelimit-remaining-requests"] = str(10 - sent)
        return answer

    asked = told(phi, first=first)
    assert not phi.map(PROMPTS, concurrency=2).failed
    assert asked == {"one": 10, "two": 30}
    assert fake_time.waits == []


def test_a_place_that_moves_is_free_where_it_was(fake_time: FakeTime) -> None:
    lanes = Lanes(2, 8, fake_time.clock())
    places = [Place(lanes, 0, 10) for _ in range(4)]
    assert lanes.find(10) == (0, math.inf)  # it grows yet, and is waited for
    refused = RateLimitError("", status_code=429, body=ErrorBody(message=""), retry_after=7)
    for place in places:
        place.observe({}, refused)
        place.move(1)
    assert [pacer.running for pacer in lanes.pacers] == [0, 4]
    assert lanes.find(10) == (0, 7)
    places[0].observe({}, None)
    places[0].end(5)
    assert lanes.find(10) == (1, 0)
    assert repr(Start(3, "planted", {}, places[1])) == "<Start of item 3 at endpoint 1>"


# A model of services on a clock of its own: each attempt is one event.


def failed(kind: type[Any], status: int, inner: int | None = None, wait_s: float | None = None) -> PhiError:
    body = ErrorBody(message="", status=inner)
    error: PhiError = kind("", status_code=status, body=body, retry_after=wait_s)
    return error


def completed(number: int) -> Completion:
    raw = {"choices": [{"index": 0, "message": {"content": str(number)}, "finish_reason": "stop"}]}
    return Completion(
        content=str(number),
        reasoning="",
        finish_reason="stop",
        usage=None,
        request_id=None,
        model=None,
        raw=raw,
    )


@dataclass
class Service:
    """One endpoint: so many at once, so long for each, and now and then something else than an answer."""

    places: int
    takes_s: float
    trouble: float
    wait_s: float | None
    hides: bool
    busy: int = 0
    paused_until: float = 0.0

    def admits(self, now: float) -> PhiError | None:
        if now < self.paused_until or self.busy >= self.places:
            asked = self.wait_s
            if asked is not None:
                self.paused_until = max(self.paused_until, now + asked)
            kind: Any = ModelError if self.hides else RateLimitError
            return failed(kind, 424 if self.hides else 429, 429 if self.hides else None, asked)
        return None


@dataclass
class World:
    """Carries a `MapWork` as a shell does, calls as the flow does, and holds what must hold at each step."""

    seed: int
    time: FakeTime
    path: Path
    count: int = 60
    answered: set[int] = field(default_factory=set[int])
    events: list[tuple[float, int, Any]] = field(default_factory=list[tuple[float, int, Any]])
    told_until: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.services = [self.service() for _ in range(self.chance.choice([1, 2, 2, 3]))]
        endpoints = " ".join(f"https://n{number}.models.ai.azure.com" for number in range(len(self.services)))
        keys = " ".join(["some-key-00"] * len(self.services))
        settings = resolve_settings(environ={}, endpoint=endpoints, api_key=keys)
        self.concurrency = self.chance.choice([1, 3, 8, 32])
        self.work: MapWork[str] = MapWork(
            PROMPTS[:1] * self.count,
            [{}] * self.count,
            settings.options,
            targets=settings.targets,
            concurrency=self.concurrency,
            clock=self.time.clock(),
            checkpoint=self.path,
        )

    def service(self) -> Service:
        return Service(
            places=self.chance.choice([1, 2, 5, 50]),
            takes_s=self.chance.choice([0.1, 1.0, 5.0]),
            trouble=self.chance.choice([0.0, 0.0, 0.1, 0.3]),
            wait_s=self.chance.choice([None, 1.0, 20.0]),
            hides=self.chance.random() < 0.3,
        )

    def attempt(self, start: Start[str], lane: int, tried: int) -> None:
        now, service = self.time.seconds, self.services[lane]
        start.sends(lane)
        refused = service.admits(now)
        if refused is not None:
            self.came(start, lane, tried, refused)
            return
        service.busy += 1
        self.at(service.takes_s, lambda: self.came(start, lane, tried, self.outcome(start, service)))

    def outcome(self, start: Start[str], service: Service) -> Any:
        service.busy -= 1
        if self.chance.random() < service.trouble:
            wrong: list[Any] = [
                failed(InternalServerError, 500),
                failed(BadRequestError, 400),
                ValueError("foreign"),
                KeyError("cancelled"),
            ]
            return self.chance.choice(wrong)
        return completed(start.position)

    def came(self, start: Start[str], lane: int, tried: int, outcome: Any) -> None:
        error = outcome if isinstance(outcome, Exception) else None
        start.answered(lane, {}, error)
        asked = getattr(error, "retry_after", None)
        if asked is not None:
            self.told_until[lane] = max(self.told_until[lane], self.time.seconds + asked)
        if error is None:
            self.answered.add(start.position)
        if error is not None and is_retryable(error):
            if lane + 1 < len(self.services):
                self.attempt(start, lane + 1, 0)
                return
            if tried < 3:
                wait_s = max(asked or 0.0, 0.5 * 2**tried * self.chance.random())
                start.waits(lane, wait_s)
                self.at(wait_s, lambda: self.attempt(start, lane, tried + 1))
                return
        self.work.keep(start, outcome)
        self.at(0, lambda: self.ended.extend(self.work.finish(start, outcome)))

    def at(self, seconds: float, then: Any) -> None:
        heapq.heappush(self.events, (self.time.seconds + seconds, next(self.order), then))

    def run(self) -> list[MapItem[str]]:
        self.order = iter(range(10**9))
        self.ended: list[MapItem[str]] = list(self.work.restored())
        out: Counter[int] = Counter()
        while (step := self.work.next()) is not None:
            if isinstance(step, Start):
                lane = step.first_lane
                pacer = self.work.lanes.pacers[lane]
                assert self.time.seconds >= self.told_until[lane] - 1e-6, (
                    "asked while it wanted to be left alone"
                )
                assert pacer.running <= max(pacer.concurrency, 1)
                out[step.position] += 1
                self.attempt(step, lane, 0)
                continue
            at = self.events[0][0] if self.events else math.inf
            assert min(at, self.time.seconds + step) < math.inf, "nothing would ever happen"
            if at <= self.time.seconds + step:
                self.time.seconds = at
                heapq.heappop(self.events)[2]()
            else:
                self.time.seconds += step
            running = sum(pacer.running for pacer in self.work.lanes.pacers)
            assert running <= self.concurrency
            assert self.time.seconds < 1000 + 40_000
        assert sum(pacer.running for pacer in self.work.lanes.pacers) == 0
        self.work.sync()
        self.work.close()
        return self.ended


@pytest.mark.timeout(100)
@pytest.mark.parametrize("block", range(8))
def test_whatever_services_do_each_item_ends_once_and_is_kept(
    block: int, fake_time: FakeTime, tmp_path: Path
) -> None:
    for seed in range(block * 25, block * 25 + 25):
        fake_time.seconds = 1000.0
        world = World(seed, fake_time, tmp_path / f"{seed}.jsonl")
        items = world.run()
        assert sorted(item.position for item in items) == list(range(world.count)), seed
        done = {item.position for item in items if item.completion is not None}
        assert done == world.answered
        lines = [json.loads(line) for line in world.path.read_text().splitlines()[1:]]
        assert {line["position"] for line in lines if "completion" in line} == done
        assert Counter(line["position"] for line in lines) == Counter(range(world.count))
        for item in items:
            foreign = isinstance(item.error, UnexpectedError)
            assert foreign == isinstance(getattr(item.error, "cause", None), ValueError | KeyError)
        # Each item could have gone through the slowest endpoint alone, one after another, with a wait for each.
        slowest = max(one.takes_s + (one.wait_s or 30.0) for one in world.services)
        assert fake_time.seconds - 1000 <= world.count * slowest * 4
