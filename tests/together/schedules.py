"""Schedules of calls that wait, stall and are refused, played by virtual time and by real time.

A schedule says in units of time what each of its actors does, one thing after the other, and so when each thing must
happen: `expected` works that out by adding, without any clock. It must not know which clock it is played by.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

from phi_client import APITimeoutError, AsyncPhiClient, PhiClient, RetryEvent, StreamInterruptedError, Timeout
from phi_client.testing import Clock, VirtualClock, with_clock

__all__ = ["Actor", "Events", "Step", "expected", "play", "real_clock", "schedule", "warm"]

ANSWER = "<think>six by seven</think>It is \\boxed{42} as far as anybody knows."

Event = tuple[str, str]
"""Whose, and what."""


@dataclass(frozen=True)
class Step:
    """One thing that an actor does: it pauses, or asks and meets a fault that takes so many units.

    `limit` is the limit of reading, in units; a fault that takes longer ends at it.
    """

    kind: str
    units: int
    limit: int = 1000
    times: int = 1

    @property
    def takes(self) -> int:
        """How long it takes, in units."""
        return min(self.units, self.limit) if self.kind in ("wait", "stall") else self.units * self.times

    @property
    def fails(self) -> bool:
        """Whether it ends with an error."""
        return self.kind in ("wait", "stall") and self.units > self.limit

    @property
    def events(self) -> list[tuple[int, str]]:
        """What is seen of it, and how many units after its beginning."""
        if self.kind == "retry":
            retries = [(self.units * number, f"retry {number + 1}") for number in range(self.times)]
            return [*retries, (self.takes, "answered")]
        if self.kind == "pause":
            return [(self.takes, "paused")]
        return [(self.takes, f"{self.kind} failed" if self.fails else "answered")]


@dataclass(frozen=True)
class Actor:
    """Who does what, in order."""

    name: str
    steps: Sequence[Step]


@dataclass
class Events:
    """What happened, in its order, with the time by the clock that it was played by."""

    clock: Clock
    unit: float
    found: list[tuple[float, Event]] = field(default_factory=list)

    def see(self, name: str, what: str) -> None:
        """Note one."""
        self.found.append((self.clock.now(), (name, what)))

    @property
    def order(self) -> list[Event]:
        """Without their times."""
        return [event for _, event in self.found]

    def units(self, began: float) -> list[tuple[float, Event]]:
        """With their times since `began`, in units."""
        return [((at - began) / self.unit, event) for at, event in self.found]


def expected(actors: Sequence[Actor]) -> list[tuple[int, Event]]:
    """What must happen when, in units, worked out without a clock."""
    found: list[tuple[int, Event]] = []
    for actor in actors:
        at = 0
        for step in actor.steps:
            found += [(at + after, (actor.name, what)) for after, what in step.events]
            at += step.takes
    return sorted(found, key=lambda one: one[0])


def schedule(seed: int, *, actors: int, longest: int, apart: int = 1) -> list[Actor]:
    """A random schedule, in which what two actors are seen to do is so many units apart."""
    rng = random.Random(seed)
    while True:
        made = [
            Actor(f"actor {number}", [_step(rng, longest) for _ in range(rng.randint(1, 3))])
            for number in range(actors)
        ]
        times = [(at, event[0]) for at, event in expected(made)]
        if all(name == other or abs(at - then) >= apart for at, name in times for then, other in times):
            return made


def _step(rng: random.Random, longest: int) -> Step:
    kind = rng.choice(("pause", "wait", "stall", "retry"))
    units = rng.randint(1, longest)
    if kind == "retry":
        return Step(kind, max(1, units // 2), times=rng.randint(1, 2))
    limits = [one for one in range(1, longest + 1) if one != units]
    return Step(kind, units, limit=rng.choice(limits) if kind in ("wait", "stall") and limits else 1000)


def play(actors: Sequence[Actor], clock: Clock, *, unit: float, is_async: bool) -> tuple[float, Events]:
    """When it began, and what happened."""
    with Emulator(
        EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: ANSWER), clock=clock
    ) as emulator:
        events = Events(clock, unit)
        warm(emulator)
        began = clock.now()
        if is_async:
            asyncio.run(_play_async(actors, emulator, clock, events))
        else:
            _play_sync(actors, emulator, clock, events)
        return began, events


def warm(emulator: Emulator) -> None:
    """What is imported and made for a first call takes real time, which is no part of any schedule."""
    emulator.faults.add("retry_after", seconds=0.001, form="ms", times=1, when={"scope": "warm"})
    # Of other deployments than are asked later, whose limits are their own.
    with PhiClient(emulator.endpoint_of("openai_v1"), emulator.key, max_retries=1) as client:
        client.complete("x", model="first", headers={"x-phi-fault": "wait seconds=0"})
        client.complete("x", model="second", headers={"x-phi-scope": "warm"})
    emulator.faults.reset()


def _play_sync(actors: Sequence[Actor], emulator: Emulator, clock: Clock, events: Events) -> None:
    def act(actor: Actor) -> None:
        made = PhiClient(emulator.endpoint, emulator.key, max_retries=3, on_retry=_noting(events, actor))
        with with_clock(made, clock) as client:
            for number, step in enumerate(actor.steps):
                if step.kind == "pause":
                    clock.sleep(step.units * events.unit)
                    events.see(actor.name, "paused")
                    continue
                options = _options(step, events, emulator, f"{actor.name}, {number}")
                with _told(step, actor, events):
                    if step.kind == "stall":
                        with client.stream("x", **options) as stream:
                            stream.until_done()
                    else:
                        client.complete("x", **options)

    works: list[Callable[[], None]] = [lambda actor=actor: act(actor) for actor in actors]  # type: ignore[misc]
    if isinstance(clock, VirtualClock):
        clock.run(*works)
        return
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _play_async(actors: Sequence[Actor], emulator: Emulator, clock: Clock, events: Events) -> None:
    async def act(actor: Actor) -> None:
        made = AsyncPhiClient(emulator.endpoint, emulator.key, max_retries=3, on_retry=_noting(events, actor))
        async with with_clock(made, clock) as client:
            for number, step in enumerate(actor.steps):
                if step.kind == "pause":
                    await clock.sleep_async(step.units * events.unit)
                    events.see(actor.name, "paused")
                    continue
                options = _options(step, events, emulator, f"{actor.name}, {number}")
                with _told(step, actor, events):
                    if step.kind == "stall":
                        async with client.stream("x", **options) as stream:
                            await stream.until_done()
                    else:
                        await client.complete("x", **options)

    works: list[Awaitable[None]] = [act(actor) for actor in actors]
    await (clock.gather(*works) if isinstance(clock, VirtualClock) else asyncio.gather(*works))


def _noting(events: Events, actor: Actor) -> Callable[[RetryEvent], None]:
    return lambda event: events.see(actor.name, f"retry {event.attempt}")


def _options(step: Step, events: Events, emulator: Emulator, scope: str) -> Any:
    """What makes a call take the time of its step."""
    seconds = step.units * events.unit
    if step.kind == "retry":
        emulator.faults.add(
            "retry_after", seconds=seconds, form="ms", times=step.times, when={"scope": scope}
        )
        headers = {"x-phi-scope": scope}
    else:
        tokens = " tokens=6" if step.kind == "stall" else ""
        headers = {"x-phi-fault": f"{step.kind} seconds={seconds!r}{tokens}"}
    return {"headers": headers, "timeout": Timeout(read=step.limit * events.unit)}


@contextmanager
def _told(step: Step, actor: Actor, events: Events) -> Iterator[None]:
    try:
        yield
    except (APITimeoutError, StreamInterruptedError):
        events.see(actor.name, f"{step.kind} failed")
    else:
        events.see(actor.name, "answered")


def real_clock() -> Clock:
    """Real time, with chance that adds nothing to the waits that are asked for."""
    return Clock(random=lambda: 0.0)
