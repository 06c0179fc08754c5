"""Our clients do what a good client does with each fault of the emulator, by the catalogue's own word for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.faults.catalogue import EFFECTS, ERRORS
from phi_emulator.faults.duties import Duty
from phi_emulator.faults.reading import read_line

from phi_client import (
    APIStatusError,
    AsyncPhiClient,
    Completion,
    ContentFilterError,
    PhiClient,
    PhiError,
    StreamInterruptedError,
)
from phi_client.contract.service import SURFACES
from phi_client.testing import Clock, with_clock
from tests.conftest import FakeTime
from tests.together.conftest import REASONED

CONTENT = "The answer is \\boxed{42}."
SMALL = {"seconds": 0.01, "every": 0.01}
SHORT = {"cut_body": 900, "oversized_event": 5 * 1024 * 1024}
BY_RULES = {"error", "retry_after", "expired_token"}
LINES = [
    f"{name} "
    + " ".join(
        f"{one.name}={word if one is choosing else SMALL.get(one.name, SHORT.get(name, one.default))}"
        for one in effect.parameters
        if one is choosing or one.name in (*SMALL, "bytes")
    )
    for name, effect in EFFECTS.items()
    if name not in BY_RULES
    for choosing in [next((one for one in effect.parameters if one.choices), None)]
    for word in (choosing.choices if choosing else [""])
]


def on_streams(line: str) -> bool:
    return read_line(line).effect.on_streams


@dataclass
class Outcome:
    """What came of one call."""

    completion: Completion | None = None
    error: Exception | None = None


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: REASONED)) as emulator:
        yield emulator


Ask = Callable[..., Outcome]


def ask_sync(emulator: Emulator, *, streams: bool, endpoint: str = "", **options: Any) -> Outcome:
    clock = options.pop("clock", None) or FakeTime().clock()
    with PhiClient(endpoint or emulator.endpoint, emulator.key, **options) as client:
        with_clock(client, clock)
        try:
            if not streams:
                return Outcome(client.complete("What is 6 * 7?"))
            with client.stream("What is 6 * 7?") as stream:
                return Outcome(stream.until_done())
        except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
            return Outcome(error=error)


def ask_async(emulator: Emulator, *, streams: bool, endpoint: str = "", **options: Any) -> Outcome:
    clock = options.pop("clock", None) or FakeTime().clock()

    async def ask() -> Outcome:
        async with AsyncPhiClient(endpoint or emulator.endpoint, emulator.key, **options) as client:
            with_clock(client, clock)
            try:
                if not streams:
                    return Outcome(await client.complete("What is 6 * 7?"))
                async with client.stream("What is 6 * 7?") as stream:
                    return Outcome(await stream.until_done())
            except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
                return Outcome(error=error)

    return asyncio.run(ask())


def is_same(outcome: Outcome) -> bool:
    done = outcome.completion
    return done is not None and (done.content, done.finish_reason) == (CONTENT, "stop")


def is_own(outcome: Outcome) -> bool:
    return isinstance(outcome.error, PhiError)


RIGHT: dict[Duty, Callable[[Outcome], bool]] = {
    Duty.SAME_ANSWER: is_same,
    Duty.NO_EMPTY_ANSWER: lambda outcome: is_same(outcome) or is_own(outcome),
    # Within their limits; what happens at them is a test of its own.
    Duty.IS_PATIENT: is_same,
    Duty.SEES_SILENCE: is_same,
    Duty.SURVIVES_CONNECTION: is_own,
    Duty.RAISES: is_own,
    Duty.KEEPS_TEXT: lambda outcome: (
        is_own(outcome)
        and (not isinstance(outcome.error, StreamInterruptedError) or bool(outcome.error.partial.reasoning))
    ),
    Duty.NAMES_CUT: lambda outcome: (
        is_own(outcome) if outcome.completion is None else outcome.completion.finish_reason != "stop"
    ),
}


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize(
    ("line", "streams"),
    [(line, streams) for line in LINES for streams in (False, True) if streams or not on_streams(line)],
)
def test_our_client_does_its_duty(line: str, streams: bool, ask: Ask, emulator: Emulator) -> None:
    fault = read_line(line)
    if streams:
        # A chunk is longer than its part of a whole answer.
        line = line.replace("bytes=900", "bytes=1400")
    outcome = ask(emulator, streams=streams, headers={"x-phi-fault": line}, max_retries=0)
    assert RIGHT[fault.duty](outcome), outcome


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize("line", ["stall", "comments_only every=0.01"])
def test_a_silence_ends_at_the_clients_own_limit(line: str, ask: Ask, emulator: Emulator) -> None:
    # Comments are no sign of life, which the client's own clock tells.
    options: dict[str, Any] = {"max_retries": 0, "timeout": 0.2, "clock": Clock()}
    outcome = ask(emulator, streams=True, headers={"x-phi-fault": line}, **options)
    assert isinstance(outcome.error, StreamInterruptedError)


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize("form", [*next(iter(EFFECTS["retry_after"].parameters)).choices])
def test_our_client_waits_as_it_is_asked(form: str, ask: Ask, emulator: Emulator) -> None:
    time, scope = FakeTime(), f"{form}-{ask.__name__}"
    emulator.faults.add("retry_after", form=form, seconds=7, times=1, when={"scope": scope})
    outcome = ask(emulator, streams=False, headers={"x-phi-scope": scope}, clock=time.clock())
    duty = read_line(f"retry_after form={form}").duty
    if duty is Duty.WAITS_NO_AGE:
        assert isinstance(outcome.error, APIStatusError)
        assert outcome.error.retry_after == 999999999
        assert time.waits == []
        return
    assert is_same(outcome)
    (wait,) = time.waits
    # A date has whole seconds; chance is always one half, so that the first back-off is a quarter of a second.
    asked_for = pytest.approx(7, abs=1.1)
    assert wait == (asked_for if duty is Duty.WAITS_AS_ASKED else 0.25)


def test_an_expired_token_is_renewed_once(emulator: Emulator) -> None:
    class Credential:
        asked = 0

        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            self.asked += 1
            form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "any"}
            url = f"{emulator.entra_url}/{emulator.config.tenant}/oauth2/v2.0/token"
            answer = httpx.post(url, data=form | {"scope": scopes[0]}, trust_env=False).json()
            return AccessToken(answer["access_token"], 2**31)

    for times, right in ((1, is_same), (2, is_own)):
        credential, scope = Credential(), f"expired-{times}"
        emulator.faults.add("expired_token", times=times, when={"scope": scope})
        with PhiClient(
            emulator.endpoint, credential=credential, headers={"x-phi-scope": scope}, max_retries=0
        ) as client:
            try:
                outcome = Outcome(client.complete("What is 6 * 7?"))
            except PhiError as error:
                outcome = Outcome(error=error)
        assert right(outcome)
        assert credential.asked == 2


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize(
    ("name", "surface"), [(name, surface) for name, row in ERRORS.items() for surface in row.surfaces]
)
def test_our_client_tries_again_what_may_succeed(
    name: str, surface: str, ask: Ask, emulator: Emulator
) -> None:
    duty = read_line(f"error error={name}").duty
    time, scope = FakeTime(), f"{name}-{surface}-{ask.__name__}"
    emulator.faults.add("error", error=name, times=1, when={"scope": scope})
    outcome = ask(
        emulator,
        streams=False,
        endpoint=emulator.endpoint_of(surface),
        headers={"x-phi-scope": scope},
        model="m",
        clock=time.clock(),
    )
    if duty in (Duty.BACKS_OFF, Duty.WAITS_AS_ASKED):
        assert is_same(outcome), outcome
        assert len(time.waits) == 1
        return
    assert isinstance(outcome.error, APIStatusError)
    assert time.waits == []
    status = ERRORS[name].refusal(SURFACES[surface]).status
    assert status in (outcome.error.status_code, getattr(outcome.error, "inner_status", None))
    if duty is Duty.NAMES_FILTER and surface != "managed_compute":
        assert isinstance(outcome.error, ContentFilterError)
