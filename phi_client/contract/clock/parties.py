"""Who goes by a virtual clock: threads, tasks, errands, and those of them that wait.

It must not know when time moves.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["Errand", "Part", "Time", "Turn", "Waiter", "is_gone", "name_of", "party", "runs_a_loop"]


class Part(Protocol):
    """What says itself whether something stirs in it."""

    def stirs(self, *, by_hand: bool) -> str:
        """What keeps time from moving, in words; nothing if all stands still. Called with the time's lock held.

        `by_hand` is whether somebody moves it, who does not wait for what the clock can't know.
        """
        ...


class Errand:
    """A party that is neither a thread nor a task, but whatever runs in its context: an exchange, a job."""

    def __init__(self, name: str, *, holds_hand: bool = True) -> None:
        self.name = name
        self.holds_hand = holds_hand
        """Whether somebody who moves the clock by hand waits for it too."""

    @contextmanager
    def running(self) -> Generator[None]:
        """While it is entered, what runs in this context, and what it starts, is the errand."""
        token = _errand.set(self)
        try:
            yield
        finally:
            _errand.reset(token)


_errand: ContextVar[Errand | None] = ContextVar("phi_client_clock_errand", default=None)


class Turn:
    """What an event loop will do in one of its next turns."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop


@dataclass(eq=False, slots=True)
class Waiter:
    """A party that waits. `wake` is called once, from any thread, when it is due or told to go on."""

    owner: object
    wake: Callable[[], None]
    moves: bool = True
    """Whether the clock may jump for its sake."""
    drives: bool = False
    """Whether it is somebody who moves the clock by hand."""
    loop: object = None
    """Where it waits, if that is an event loop."""
    depth: int = 0
    """How often over its owner was at work."""
    is_woken: bool = False
    is_due: bool = False
    """Whether its time has come."""
    is_over: bool = False

    @property
    def is_past(self) -> bool:
        """Whether it waits no more."""
        return self.is_woken or self.is_over

    def cancel(self) -> None:
        """Wait no more, for a timer. Does no harm afterwards."""
        self.is_over = True


class Time(Protocol):
    """What moves, as those know it who wait by it."""

    def park(self, waiter: Waiter, seconds: float | None) -> None:
        """Let a party be at work no more, for so long at most, or until it is told. `resume` must follow."""
        ...

    def resume(self, waiter: Waiter) -> None:
        """The waiter has gone on, for whatever reason: it is at work as it was before."""
        ...

    def settle(self) -> None:
        """Let go on who may."""
        ...

    def call_later(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        call: Callable[[], Any],
        *,
        moves: bool = False,
    ) -> Waiter:
        """Have `call` called in `loop` after so many seconds; `moves` is whether time jumps for its sake."""
        ...


def party() -> object:
    """Whoever runs here: an errand, a task, or a thread."""
    errand = _errand.get()
    if errand is not None:
        return errand
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        with suppress(RuntimeError):
            task = asyncio.current_task()
            if task is not None:
                return task
    return threading.current_thread()


def is_gone(one: object) -> bool:
    """Whether a party can't work any more."""
    if isinstance(one, threading.Thread):
        return not one.is_alive()
    if isinstance(one, Turn):
        return not one.loop.is_running()
    if isinstance(one, Errand):
        return False
    done = getattr(one, "done", None)
    return done is not None and bool(done())


def name_of(one: object) -> str:
    """A party, in words."""
    if isinstance(one, threading.Thread):
        return f"the thread {one.name!r}"
    if isinstance(one, Turn):
        return "an event loop"
    if isinstance(one, Errand):
        return one.name
    name = getattr(one, "get_name", None)
    return f"the task {name() if name is not None else '?'!r}"


def runs_a_loop() -> bool:
    """Whether this thread runs an event loop."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
