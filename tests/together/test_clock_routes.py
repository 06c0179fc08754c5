"""An emulator's time, told and moved from outside, as another process does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

from phi_client.testing import VirtualClock

BODY = {"messages": [{"role": "user", "content": "x"}]}
Eventually = Callable[[Callable[[], object]], None]


def start(**options: Any) -> Emulator:
    config = EmulatorConfig(port=0, **options.pop("config", {}))
    return Emulator(config, make_engine=lambda: ScriptedEngine(lambda _: "42"), **options)


CallerOf = Callable[[Emulator], "Caller"]


class Caller:
    """A client that knows no clock."""

    def __init__(self, emulator: Emulator) -> None:
        headers = {"Authorization": f"Bearer {emulator.key}"}
        self.http = httpx.Client(base_url=emulator.root, headers=headers, timeout=20, trust_env=False)

    def clock(self) -> dict[str, Any]:
        return dict(self.http.get("/_emulator/clock").json())

    def advance(self, seconds: object) -> httpx.Response:
        return self.http.post("/_emulator/clock", json={"advance": seconds})

    def ask(self, **headers: str) -> httpx.Response:
        return self.http.post("/chat/completions", json=BODY, headers=headers)


@pytest.fixture
def caller_of() -> Iterator[CallerOf]:
    """Callers whose connections are closed in the end."""
    made: list[Caller] = []

    def make(emulator: Emulator) -> Caller:
        made.append(Caller(emulator))
        return made[-1]

    yield make
    for caller in made:
        caller.http.close()


@pytest.fixture(params=["setting", "clock"])
def emulator(request: pytest.FixtureRequest) -> Any:
    made = {"config": {"virtual_time": True}} if request.param == "setting" else {"clock": VirtualClock()}
    with start(**made) as running:
        yield running


def test_time_passes_when_it_is_told_to(emulator: Emulator, caller_of: CallerOf) -> None:
    caller = caller_of(emulator)
    before = caller.clock()
    assert before == {"virtual": True, "now": 0.0, "unix": before["unix"], "waiting": 0, "next": None}
    after = caller.advance(90.5).json()
    assert (after["now"], after["unix"]) == (90.5, before["unix"] + 90.5)
    assert caller.clock() == after


def test_a_wait_ends_when_its_time_has_passed(
    emulator: Emulator, eventually: Eventually, caller_of: CallerOf
) -> None:
    caller, answers = caller_of(emulator), list[int]()
    asking = threading.Thread(
        target=lambda: answers.append(caller.ask(**{"x-phi-fault": "wait seconds=3600"}).status_code)
    )
    asking.start()
    eventually(lambda: caller.clock()["next"] == 3600)
    assert caller.advance(3599).json()["next"] == 1
    assert answers == []
    assert caller.advance(1).json()["next"] is None
    asking.join()
    assert answers == [200]


def test_the_window_of_a_limit_passes(caller_of: CallerOf) -> None:
    with start(config={"virtual_time": True, "requests_per_minute": 1}) as emulator:
        caller = caller_of(emulator)
        assert caller.ask().status_code == 200
        assert caller.ask().headers["retry-after"] == "60"
        caller.advance(59)
        assert caller.ask().headers["retry-after"] == "1"
        caller.advance(1)
        assert caller.ask().status_code == 200


def test_a_body_that_does_not_come_is_given_up_when_its_time_has_passed(
    eventually: Eventually, caller_of: CallerOf
) -> None:
    with start(config={"virtual_time": True}) as emulator:
        caller, answers, is_told = caller_of(emulator), list[int](), threading.Event()

        def slowly() -> Any:
            yield b'{"messages": '
            is_told.wait(20)

        def ask() -> None:
            answer = caller.http.post(
                "/chat/completions", content=slowly(), headers={"content-type": "application/json"}
            )
            answers.append(answer.status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        eventually(lambda: caller.clock()["next"] == 60)
        caller.advance(60)
        is_told.set()
        asking.join()
        assert answers == [408]


def test_real_time_is_told_and_not_moved(caller_of: CallerOf) -> None:
    with start() as emulator:
        caller = caller_of(emulator)
        assert caller.clock()["virtual"] is False
        refused = caller.advance(1)
        assert refused.status_code == 409
        assert "--virtual-time" in refused.text


@pytest.mark.parametrize(
    "body", [{}, {"advance": -1}, {"advance": "1"}, {"advance": True}, {"advance": None}, [], {"to": 5}, 5]
)
def test_what_is_no_number_of_seconds_is_refused(
    emulator: Emulator, body: object, caller_of: CallerOf
) -> None:
    answer = caller_of(emulator).http.post("/_emulator/clock", json=body)
    assert answer.status_code == 400
    assert "advance" in answer.text


@pytest.mark.parametrize("seconds", [1e300, 10**400, 4e9])
def test_no_clock_goes_beyond_the_years_that_can_be_written(
    emulator: Emulator, seconds: float, caller_of: CallerOf
) -> None:
    caller = caller_of(emulator)
    answer = caller.advance(seconds)
    assert answer.status_code == 409
    assert "hundred years" in answer.text
    assert caller.clock()["now"] == 0


def test_moving_it_needs_the_key(emulator: Emulator, caller_of: CallerOf) -> None:
    answer = httpx.post(f"{emulator.root}/_emulator/clock", json={"advance": 1}, trust_env=False)
    assert 400 <= answer.status_code < 500
    assert caller_of(emulator).clock()["now"] == 0
