"""Virtual time: client and emulator wait by one clock, and things happen in the order in which real time has them.

Each scenario is played by both clocks. Real time is a few hundred milliseconds of it, or a clock that is real but runs
faster, where the emulator's times are Azure's own and can't be shortened.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
from azure.core.credentials import AccessToken
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

from phi_client import (
    APITimeoutError,
    AsyncPhiClient,
    PhiClient,
    RateLimitError,
    StreamInterruptedError,
    Timeout,
)
from phi_client.testing import Clock, ClockError, VirtualClock, with_clock
from tests.together.schedules import ANSWER, Actor, Events, Step, expected, play, real_clock, schedule, warm

KINDS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
HOUR = 3600.0
AT_LEAST = 1000
"""How much faster than real time a day passes on any machine, and however much else it does."""


def start(clock: Clock, **config: Any) -> Emulator:
    engine = lambda: ScriptedEngine(lambda _: ANSWER)  # noqa: E731
    return Emulator(EmulatorConfig(port=0, **config), make_engine=engine, clock=clock)


def faster(times: float) -> Clock:
    """Real time that runs so many times as fast."""
    began = time.monotonic()

    def now() -> float:
        return (time.monotonic() - began) * times

    async def sleep_async(seconds: float) -> None:
        await asyncio.sleep(seconds / times)

    return Clock(
        now=now,
        sleep=lambda seconds: time.sleep(seconds / times),
        sleep_async=sleep_async,
        random=lambda: 0.0,
        unix=lambda: 1_767_225_600.0 + now(),
    )


@pytest.fixture
def soon() -> Iterator[None]:
    """Whoever uses it plays a day."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 24 * HOUR / AT_LEAST


@dataclass
class Asker:
    """One client of either kind, which notes what it sees."""

    emulator: Emulator
    clock: Clock
    is_async: bool
    events: Events

    def ask(self, *pauses_s: float, **options: Any) -> None:
        """Ask after each of these pauses."""

        def retried(event: Any) -> None:
            self.events.see("client", f"retry {event.attempt}")

        made: Any = {"on_retry": retried, "max_retries": 2} | options
        if "credential" not in made:
            made["api_key"] = self.emulator.key
        if self.is_async:
            asyncio.run(self._ask_async(pauses_s, made))
            return
        with with_clock(PhiClient(self.emulator.endpoint, **made), self.clock) as client:
            for pause_s in pauses_s:
                self.clock.sleep(pause_s)
                try:
                    client.complete("x")
                except RateLimitError as error:
                    self.events.see("client", f"gave up after {error.attempts}")
                else:
                    self.events.see("client", "answered")

    async def _ask_async(self, pauses_s: Sequence[float], made: Any) -> None:
        credential = made.get("credential")
        if credential is not None:
            made["credential"] = _AsyncCredential(credential)
        async with with_clock(AsyncPhiClient(self.emulator.endpoint, **made), self.clock) as client:
            for pause_s in pauses_s:
                await self.clock.sleep_async(pause_s)
                try:
                    await client.complete("x")
                except RateLimitError as error:
                    self.events.see("client", f"gave up after {error.attempts}")
                else:
                    self.events.see("client", "answered")


def token_for(emulator: Emulator, scope: str) -> dict[str, Any]:
    """What the emulator's Entra ID gives."""
    form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "any", "scope": scope}
    with httpx.Client(verify=False, trust_env=False) as http:  # making it ready for TLS takes long
        url = f"{emulator.entra_url}/{emulator.config.tenant}/oauth2/v2.0/token"
        return dict(http.post(url, data=form).json())


@dataclass
class _Credential:
    """Asks the emulator's Entra ID, and notes it."""

    emulator: Emulator
    events: Events

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.events.see("credential", "asked")
        answer = token_for(self.emulator, scopes[0])
        return AccessToken(answer["access_token"], int(self.events.clock.unix()) + int(answer["expires_in"]))


@dataclass
class _AsyncCredential:
    inner: _Credential

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return await asyncio.to_thread(self.inner.get_token, *scopes)


def seen(
    clock: Clock, is_async: bool, asks: Callable[[Asker], None], unit: float = 1.0, **config: Any
) -> Events:
    """What a client sees that `asks` an emulator, both by one clock."""
    with start(clock, **config) as emulator:
        # What is loaded and made for the first of each takes real time, which no clock is asked for.
        warm(emulator)
        token_for(emulator, "https://ml.azure.com/.default")
        events = Events(clock, unit)
        asks(Asker(emulator, clock, is_async, events))
        return events


@KINDS
@pytest.mark.usefixtures("soon")
def test_a_day_of_429s(is_async: bool) -> None:
    clock = VirtualClock()

    def refused(asker: Asker) -> None:
        asker.emulator.faults.add("retry_after", seconds=300)
        asker.ask(0, *[3000] * 23)

    day = seen(clock, is_async, refused)
    an_hour = [(0, "retry 1"), (300, "retry 2"), (600, "gave up after 3")]
    expected = [(hour * HOUR + at, ("client", what)) for hour in range(24) for at, what in an_hour]
    assert day.found == expected
    assert clock.now() == 23 * HOUR + 600


@KINDS
def test_429s_are_met_in_the_order_of_real_time(is_async: bool) -> None:
    def refused(asker: Asker) -> None:
        for form in ("ms", "seconds", "x_ms"):
            asker.emulator.faults.add("retry_after", form=form, seconds=asker.events.unit, times=4)
        asker.ask(0, 0, 0, max_retries=5)

    real = seen(real_clock(), is_async, refused, unit=0.02)
    virtual = seen(VirtualClock(), is_async, refused, unit=120.0)
    assert real.order == virtual.order
    assert len(real.order) == 13


@KINDS
def test_the_windows_of_rate_limits_pass_in_the_order_of_real_time(is_async: bool) -> None:
    def in_windows(asker: Asker) -> None:
        asker.ask(0, 0, 0, 0)

    real = seen(faster(200), is_async, in_windows, requests_per_minute=1)
    virtual = seen(VirtualClock(), is_async, in_windows, requests_per_minute=1)
    assert real.order == virtual.order
    assert [at for at, (_, what) in virtual.found if what == "answered"] == [0, 60, 120, 180]


@KINDS
def test_tokens_expire_in_the_order_of_real_time(is_async: bool) -> None:
    def with_tokens(asker: Asker) -> None:
        # Renewed at half of its life of a minute, which no ask comes near, however slow the machine is.
        asker.ask(0, 5, 40, 5, credential=_Credential(asker.emulator, asker.events))

    real = seen(faster(40), is_async, with_tokens, token_seconds=60)
    virtual = seen(VirtualClock(), is_async, with_tokens, token_seconds=60)
    assert real.order == virtual.order
    assert [at for at, event in virtual.found if event == ("credential", "asked")] == [0, 45]


@KINDS
@pytest.mark.usefixtures("soon")
def test_a_day_of_tokens(is_async: bool) -> None:
    def all_day(asker: Asker) -> None:
        asker.ask(0, *[HOUR / 4] * 95, credential=_Credential(asker.emulator, asker.events))

    day = seen(VirtualClock(), is_async, all_day)
    asked = [at for at, event in day.found if event == ("credential", "asked")]
    # A token lives an hour and is renewed five minutes before, by the first ask from then on.
    assert asked == [hour * HOUR for hour in range(24)]
    assert day.order.count(("client", "answered")) == 96


def stalls(unit: float, events: Events, emulator: Emulator) -> list[dict[str, Any]]:
    """Streams that stop in the middle, longer than is waited for and shorter."""
    return [
        {
            "headers": {"x-phi-fault": f"stall tokens=6 seconds={units * unit!r}"},
            "timeout": Timeout(read=4 * unit),
        }
        for units in (8, 1, 9)
    ]


def streamed(clock: Clock, is_async: bool, unit: float) -> Events:
    events = Events(clock, unit)
    with start(clock) as emulator:
        if is_async:

            async def read_all() -> None:
                client = with_clock(AsyncPhiClient(emulator.endpoint, emulator.key), clock)
                async with client:
                    for options in stalls(unit, events, emulator):
                        try:
                            async with client.stream("x", **options) as stream:
                                async for chunk in stream:
                                    events.see("client", chunk.reasoning or chunk.content)
                        except StreamInterruptedError as error:
                            events.see("client", f"interrupted after {error.partial.content!r}")

            asyncio.run(read_all())
        else:
            with with_clock(PhiClient(emulator.endpoint, emulator.key), clock) as client:
                for options in stalls(unit, events, emulator):
                    try:
                        with client.stream("x", **options) as stream:
                            for chunk in stream:
                                events.see("client", chunk.reasoning or chunk.content)
                    except StreamInterruptedError as error:
                        events.see("client", f"interrupted after {error.partial.content!r}")
    return events


@KINDS
@pytest.mark.usefixtures("soon")
def test_a_stalled_stream_meets_the_read_limit_in_the_order_of_real_time(is_async: bool) -> None:
    real = streamed(real_clock(), is_async, unit=0.1)
    virtual = streamed(VirtualClock(), is_async, unit=HOUR)
    assert real.order == virtual.order
    interrupted = [at for at, (_, what) in virtual.found if what.startswith("interrupted")]
    # Four hours of silence, then one that is waited for, then four.
    assert interrupted == [4 * HOUR, 9 * HOUR]


@KINDS
@pytest.mark.parametrize("seed", range(4))
def test_a_random_schedule_is_kept_to_the_second(seed: int, is_async: bool) -> None:
    actors = schedule(seed, actors=4, longest=40)
    clock = VirtualClock()
    began, events = play(actors, clock, unit=6.0, is_async=is_async)
    assert [(round(at, 6), event) for at, event in events.units(began)] == expected(actors)


@KINDS
@pytest.mark.parametrize("seed", [7])
def test_a_random_schedule_has_the_order_of_real_time(seed: int, is_async: bool) -> None:
    actors = schedule(seed, actors=2, longest=12, apart=4)
    _, real = play(actors, real_clock(), unit=0.05, is_async=is_async)
    _, virtual = play(actors, VirtualClock(), unit=60.0, is_async=is_async)
    assert real.order == virtual.order == [event for _, event in expected(actors)]


@KINDS
def test_a_deadline_ends_a_wait_that_is_longer(is_async: bool) -> None:
    clock = VirtualClock()
    with start(clock) as emulator:
        late: Any = {"headers": {"x-phi-fault": "wait seconds=500"}, "deadline": 200.0}

        async def ask_async() -> None:
            async with with_clock(AsyncPhiClient(emulator.endpoint, emulator.key), clock) as client:
                await client.complete("x", **late)

        def ask() -> None:
            with with_clock(PhiClient(emulator.endpoint, emulator.key), clock) as client:
                client.complete("x", **late)

        with pytest.raises(APITimeoutError, match="deadline of 200 s"):
            asyncio.run(ask_async()) if is_async else ask()
    assert clock.now() == 200


def test_many_threads_wait_side_by_side() -> None:
    clock, found = VirtualClock(), list[tuple[float, int]]()
    with start(clock) as emulator, with_clock(PhiClient(emulator.endpoint, emulator.key), clock) as client:

        def work(number: int) -> Callable[[], None]:
            def three_times() -> None:
                for _ in range(3):
                    client.complete("x", headers={"x-phi-fault": f"wait seconds={number}"})
                    found.append((clock.now(), number))

            return three_times

        clock.run(*map(work, range(1, 13)))
    assert sorted(found) == sorted(
        (float(number * time), number) for number in range(1, 13) for time in (1, 2, 3)
    )
    assert [at for at, _ in found] == sorted(at for at, _ in found)


def test_a_call_that_is_cancelled_is_waited_for_no_more() -> None:
    clock = VirtualClock()
    late: Any = {"headers": {"x-phi-fault": "wait seconds=3600"}, "timeout": Timeout(read=7200)}

    async def main(emulator: Emulator) -> None:
        async with with_clock(AsyncPhiClient(emulator.endpoint, emulator.key), clock) as client:
            with pytest.raises(TimeoutError):
                async with clock.timeout(50):
                    await client.complete("x", **late)
            assert clock.now() == 50
            task = asyncio.ensure_future(client.complete("x", **late))
            await clock.sleep_async(100)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.complete("x", headers={"x-phi-fault": "wait seconds=10"})
            assert clock.now() == 160

    with start(clock) as emulator:
        asyncio.run(main(emulator))
    assert clock.waiting == 0


@KINDS
def test_a_stream_that_nobody_reads_keeps_no_other_call_waiting(is_async: bool) -> None:
    clock = VirtualClock()
    engine = lambda: ScriptedEngine(lambda _: "<think>a</think>" + f"{'word' * 1000} " * 2000)  # noqa: E731
    with Emulator(EmulatorConfig(port=0), make_engine=engine, clock=clock) as emulator:

        def refuse() -> None:
            # More than the buffers of both ends take is on its way, and the emulator can't go on.
            emulator.faults.add("retry_after", seconds=300, times=2)

        async def read_async() -> int:
            made = AsyncPhiClient(emulator.endpoint, emulator.key)
            async with with_clock(made, clock) as client, client.stream("x") as stream:
                await anext(stream)
                refuse()
                await client.complete("y", max_tokens=10, on_truncation="return")
                return len((await stream.until_done()).content)

        def read() -> int:
            made = PhiClient(emulator.endpoint, emulator.key)
            with with_clock(made, clock) as client, client.stream("x") as stream:
                next(stream)
                refuse()
                client.complete("y", max_tokens=10, on_truncation="return")
                return len(stream.until_done().content)

        assert (asyncio.run(read_async()) if is_async else read()) > 4_000_000
    assert clock.now() == 600


@KINDS
def test_a_pace_is_kept_to_the_second_however_fast_the_model_is(is_async: bool) -> None:
    clock = VirtualClock()
    with start(clock, latency="first=800ms, rate=2/s") as emulator:

        async def read_async() -> list[float]:
            made = AsyncPhiClient(emulator.endpoint, emulator.key)
            async with with_clock(made, clock) as client, client.stream("x") as stream:
                return [round(clock.now(), 6) async for _ in stream]

        def read() -> list[float]:
            made = PhiClient(emulator.endpoint, emulator.key)
            with with_clock(made, clock) as client, client.stream("x") as stream:
                return [round(clock.now(), 6) for _ in stream]

        times = asyncio.run(read_async()) if is_async else read()
    # Some tokens are marks without a text of their own.
    assert {round((at - 0.8) * 2, 6) % 1 for at in times} == {0.0}
    assert times == sorted(times)
    assert len(set(times)) > 10


@KINDS
def test_map_waits_for_the_windows_of_a_limit(is_async: bool) -> None:
    clock = VirtualClock()
    with start(clock, requests_per_minute=5) as emulator:

        async def ask_async() -> int:
            async with with_clock(AsyncPhiClient(emulator.endpoint, emulator.key), clock) as client:
                return len((await client.map(["x"] * 12, concurrency=3, progress=False)).items)

        def ask() -> int:
            with with_clock(PhiClient(emulator.endpoint, emulator.key), clock) as client:
                return len(client.map(["x"] * 12, concurrency=3, progress=False).items)

        assert (asyncio.run(ask_async()) if is_async else ask()) == 12
    assert 120 <= clock.now() < 300


def test_an_answer_takes_as_long_as_it_may() -> None:
    clock = VirtualClock()
    with start(clock, request_timeout_ms=30_000, dialect="managed_compute") as emulator:
        client = with_clock(PhiClient(emulator.endpoint, emulator.key, max_retries=0), clock)
        began = clock.now()
        with pytest.raises(Exception, match="408"):
            client.complete("x", headers={"x-phi-fault": "wait seconds=3600"})
        assert clock.now() - began == 30


def test_answers_are_dated_by_the_clock() -> None:
    clock = VirtualClock()
    with start(clock) as emulator, with_clock(PhiClient(emulator.endpoint, emulator.key), clock) as client:
        clock.advance(HOUR)
        answer = client.complete("x")
        assert answer.headers["date"] == "Thu, 01 Jan 2026 01:00:00 GMT"
        assert answer.raw["created"] == clock.unix()


def test_time_stands_still_while_nobody_waits() -> None:
    clock = VirtualClock()
    with start(clock) as emulator, with_clock(PhiClient(emulator.endpoint, emulator.key), clock) as client:
        for _ in range(3):
            client.complete("x")
        assert clock.now() == 0
        clock.advance(90)
        assert clock.now() == 90


def test_a_client_of_another_kind_waits_until_the_clock_is_moved(
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    clock = VirtualClock()
    with start(clock) as emulator:
        foreign = openai.OpenAI(
            base_url=emulator.endpoint_of("openai_v1"),
            api_key=emulator.key,
            default_headers={"x-phi-fault": "wait seconds=3600"},
            max_retries=0,
            timeout=20,
        )

        said: list[str | None] = []

        def ask() -> None:
            answer = foreign.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
            said.append(answer.choices[0].message.content)

        thread = threading.Thread(target=ask)
        thread.start()
        # The exchange is under way, and its hour has begun: nobody but us can end it.
        eventually(lambda: clock.next_s == HOUR)
        assert clock.now() == 0
        clock.advance(HOUR)
        thread.join()
        assert "42" in str(said)
        assert clock.now() == HOUR


def test_one_that_works_keeps_the_clock_from_being_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phi_client.contract.clock.virtual_time._PATIENCE_S", 0.1)
    clock = VirtualClock()

    def move() -> None:
        with pytest.raises(ClockError, match="work 1 is at work"):
            clock.advance(1)
        assert clock.now() == 0
        is_over.append(True)

    is_over: list[bool] = []

    def work() -> None:
        while not is_over:
            time.sleep(0.01)

    clock.run(work, move)


def test_waits_end_in_the_order_of_their_times_and_of_their_beginnings() -> None:
    clock, seen = VirtualClock(), list[str]()

    def wait(name: str, *seconds: float) -> Callable[[], None]:
        def work() -> None:
            for one in seconds:
                clock.sleep(one)
                seen.append(f"{name} {clock.now():g}")

        return work

    clock.run(wait("a", 5, 5, 5), wait("b", 7, 7), wait("c", 1))
    assert seen == ["c 1", "a 5", "b 7", "a 10", "b 14", "a 15"]


def test_tasks_wait_in_the_same_order() -> None:
    clock, seen = VirtualClock(), list[str]()

    async def wait(name: str, *seconds: float) -> None:
        for one in seconds:
            await clock.sleep_async(one)
            seen.append(f"{name} {clock.now():g}")

    async def main() -> None:
        works: list[Awaitable[None]] = [wait("a", 5, 5, 5), wait("b", 7, 7), wait("c", 1)]
        await clock.gather(*works)

    asyncio.run(main())
    assert seen == ["c 1", "a 5", "b 7", "a 10", "b 14", "a 15"]


def test_a_limit_ends_a_wait_that_is_longer() -> None:
    clock = VirtualClock()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with clock.timeout(30):
                await clock.sleep_async(HOUR)
        assert clock.now() == 30
        async with clock.timeout(HOUR):
            await clock.sleep_async(30)
        assert clock.now() == 60

    asyncio.run(main())
    assert clock.next_s is None


def test_a_wait_that_is_given_up_is_waited_for_no_more() -> None:
    clock = VirtualClock(autojump=False)

    async def main() -> None:
        task = asyncio.ensure_future(clock.sleep_async(HOUR))
        await asyncio.sleep(0)
        assert clock.waiting == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert clock.waiting == 0
        await clock.advance_async(2 * HOUR)

    asyncio.run(main())
    assert clock.now() == 2 * HOUR


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_no_clock_moves_back_or_for_ever(seconds: float) -> None:
    with pytest.raises(ValueError, match="number of seconds"):
        VirtualClock().advance(seconds)


def test_a_thread_with_an_event_loop_is_told_how_to_move_the_clock() -> None:
    async def main() -> None:
        with pytest.raises(ClockError, match="advance_async"):
            VirtualClock().advance(1)

    asyncio.run(main())


def test_chance_is_the_same_for_the_same_seed() -> None:
    drawn = [[VirtualClock(seed=seed).random() for _ in range(3)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_schedule_knows_what_must_happen() -> None:
    actors = [
        Actor("a", [Step("retry", 10, times=2), Step("stall", 50, limit=7)]),
        Actor("b", [Step("pause", 15), Step("wait", 3)]),
    ]
    assert expected(actors) == [
        (0, ("a", "retry 1")),
        (10, ("a", "retry 2")),
        (15, ("b", "paused")),
        (18, ("b", "answered")),
        (20, ("a", "answered")),
        (27, ("a", "stall failed")),
    ]
    assert (
        len({str(schedule(seed, actors=3, longest=9)) for seed in itertools.chain(range(9), range(9))}) == 9
    )
