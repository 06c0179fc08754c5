"""How long a day takes in virtual time: `python -m benchmarks.virtual_time`.

Each scenario is a client and an emulator on one `VirtualClock`, over real sockets, with a script in the place of the
model. What is printed is the real time of its calls; starting the emulator and what is loaded once are left out. The
processor's time is printed too, which other work on the machine changes less.
"""

# ruff: noqa: INP001  # commands beside one another, no package

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import httpx
from azure.core.credentials import AccessToken
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

from phi_client import PhiClient, RateLimitError, StreamInterruptedError, Timeout
from phi_client.testing import VirtualClock, with_clock

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR


def refused_by_the_hour(emulator: Emulator, clock: VirtualClock) -> int:
    """A 429 each hour, which the caller waits for."""
    emulator.faults.add("retry_after", seconds=_HOUR)
    return _refused(emulator, clock, max_retries=0)


def refused_all_the_time(emulator: Emulator, clock: VirtualClock) -> int:
    """A 429 every five minutes, the longest that the client itself waits for."""
    emulator.faults.add("retry_after", seconds=300)
    return _refused(emulator, clock, max_retries=11)


def _refused(emulator: Emulator, clock: VirtualClock, *, max_retries: int) -> int:
    while clock.now() < _DAY:
        # A client's budget of retries is for a hundred that fail in a row.
        with with_clock(PhiClient(emulator.endpoint, emulator.key, max_retries=max_retries), clock) as client:
            try:
                client.complete("x")
            except RateLimitError as error:
                clock.sleep(error.retry_after or 0)
    return emulator.faults.counts()[0].faults


def with_tokens(emulator: Emulator, clock: VirtualClock) -> int:
    """An ask each quarter of an hour, with tokens that are good for one."""
    asked = 0
    # One for all, as a credential of azure-identity has it: making one ready for TLS takes long.
    http = httpx.Client(verify=False, trust_env=False)  # noqa: S501 - it is no TLS

    class Credential:
        def get_token(self, *scopes: str, **_: object) -> AccessToken:
            nonlocal asked
            asked += 1
            form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "any"}
            url = f"{emulator.entra_url}/{emulator.config.tenant}/oauth2/v2.0/token"
            answer = http.post(url, data=form | {"scope": scopes[0]}).json()
            return AccessToken(answer["access_token"], int(clock.unix()) + int(answer["expires_in"]))

    with http, with_clock(PhiClient(emulator.endpoint, credential=Credential()), clock) as client:
        while clock.now() < _DAY:
            client.complete("x")
            clock.sleep(_HOUR / 4)
    return asked


def in_windows(emulator: Emulator, clock: VirtualClock) -> int:
    """Sixty requests, one a minute, each of which is refused once."""
    with with_clock(PhiClient(emulator.endpoint, emulator.key), clock) as client:
        for _ in range(60):
            client.complete("x")
    return 60


def silent(emulator: Emulator, clock: VirtualClock) -> int:
    """Streams that go silent for longer than the hour that is waited for."""
    emulator.faults.add("stall", tokens=3, seconds=2 * _HOUR)
    streams = 0
    with with_clock(PhiClient(emulator.endpoint, emulator.key, timeout=Timeout(read=_HOUR)), clock) as client:
        while clock.now() < _DAY:
            streams += 1
            try:
                with client.stream("x") as stream:
                    stream.until_done()
            except StreamInterruptedError:
                pass
    return streams


_SCENARIOS: Final[list[tuple[str, Callable[[Emulator, VirtualClock], int], dict[str, int]]]] = [
    ("429s, one an hour", refused_by_the_hour, {}),
    ("429s, one every five minutes", refused_all_the_time, {}),
    ("tokens that expire", with_tokens, {}),
    ("windows of a rate limit", in_windows, {"requests_per_minute": 1}),
    ("streams that go silent", silent, {}),
]


def main() -> None:
    """Play each, and print a table."""
    print(f"{'':32}{'virtual h':>10}{'times':>8}{'real s':>9}{'CPU s':>8}{'faster by':>12}")
    for name, play, config in _SCENARIOS:
        for is_first in (True, False):  # the first loads what is loaded once
            clock = VirtualClock()
            make = lambda: ScriptedEngine(lambda _: "<think>six by seven</think>It is 42 as far as I know.")  # noqa: E731
            with Emulator(EmulatorConfig(port=0, **config), make_engine=make, clock=clock) as emulator:  # type: ignore[arg-type]
                began, spent = time.perf_counter(), time.process_time()
                times = play(emulator, clock)
                took, spent = time.perf_counter() - began, time.process_time() - spent
            if not is_first:
                print(
                    f"{name:32}{clock.now() / _HOUR:10.1f}{times:8}{took:9.2f}{spent:8.2f}{clock.now() / took:12,.0f}"
                )


if __name__ == "__main__":
    main()
