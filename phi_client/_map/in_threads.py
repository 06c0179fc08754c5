"""A `map` carried by threads: the sync shell. Its twin is `in_tasks.py`, with tasks.

It must not decide anything: what goes next, and what came of it, is the work's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from phi_client._call.completion import Completion
from phi_client._map.result import MapItem, telling_of
from phi_client._map.start import Start
from phi_client._map.work import MapWork
from phi_client.contract.clock.base import Clock

if TYPE_CHECKING:
    from phi_client._call.request_types import Message

__all__ = ["apart", "gathered", "run"]

_T = TypeVar("_T", bound="str | Sequence[Message]")
_R = TypeVar("_R")
_P = ParamSpec("_P")
_Ended = tuple[Start[Any], Completion | BaseException]

# Without a limit a wait could not be interrupted on Windows.
_LONGEST_WAIT_S: Final = 0.5
_LAST_WAIT_S: Final = 1.0


class _Threads:
    """What carries the items, one thread each, and what has ended."""

    def __init__(self, work: MapWork[Any], ask: Callable[[Start[Any]], Completion]) -> None:
        self._work = work
        self._ask = ask
        self._ended: SimpleQueue[_Ended] = SimpleQueue()
        self._threads: dict[int, threading.Thread] = {}
        self._leaving: list[threading.Thread] = []

    def begin(self, start: Start[Any]) -> bool:
        """Carry an item, if a thread can be had."""
        # A daemon: a call that can't be cut must not keep the process.
        thread = threading.Thread(target=self._carry, args=[start], name="phi-client-map", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            return False
        self._threads[start.position] = thread
        return True

    def carry_here(self, start: Start[Any]) -> None:
        """Carry an item in the thread that calls this."""
        outcome = self._outcome_of(start)
        self._work.keep(start, outcome)
        self._work.sync()
        self._ended.put((start, outcome))

    def ended(self, wait_s: float) -> list[_Ended]:
        """All that have ended; when none has, what ends within `wait_s`."""
        found: list[_Ended] = []
        with suppress(Empty):
            found.append(self._ended.get(timeout=min(wait_s, _LONGEST_WAIT_S)))
            while True:
                found.append(self._ended.get_nowait())
        if found:
            self._leaving = [thread for thread in self._leaving if thread.is_alive()]
            popped = (self._threads.pop(start.position, None) for start, _ in found)
            self._leaving += [thread for thread in popped if thread is not None]
        return found

    def leave(self, cut: Callable[[], None]) -> None:
        """End what runs. Threads that can't be cut are left to themselves."""
        cut()
        end = time.monotonic() + _LAST_WAIT_S
        for thread in [*self._leaving, *self._threads.values()]:
            thread.join(max(0.0, end - time.monotonic()))

    def _carry(self, start: Start[Any]) -> None:
        outcome = self._outcome_of(start)
        try:
            has_to_sync = self._work.keep(start, outcome)
        finally:
            self._ended.put((start, outcome))
        if has_to_sync:
            self._work.sync_in_time()

    def _outcome_of(self, start: Start[Any]) -> Completion | BaseException:
        try:
            return self._ask(start)
        except BaseException as error:  # noqa: BLE001  # what it means is the work's to say
            return error


def run(
    work: MapWork[_T], ask: Callable[[Start[_T]], Completion], *, cut: Callable[[], None], clock: Clock
) -> Generator[MapItem[_T]]:
    """The items as they end. When the generator is left, `cut` ends what still runs."""
    threads = _Threads(work, ask)
    try:
        try:
            yield from _items(work, threads, clock)
        finally:
            work.stop()
            threads.leave(cut)
    except KeyboardInterrupt as error:
        work.note_interruption(error)
        raise
    finally:
        work.close()


def _items(work: MapWork[_T], threads: _Threads, clock: Clock) -> Generator[MapItem[_T]]:
    ready: deque[MapItem[_T]] = deque()
    yield from work.restored()
    while True:
        step = work.next()
        if isinstance(step, Start):
            if not threads.begin(step) and not work.takes_back(step):
                # Nothing else goes on while this thread carries it.
                while ready:
                    yield ready.popleft()
                threads.carry_here(step)
        elif ready:
            # All of them before others are looked at: whoever takes them slowly is not run away from.
            yield ready.popleft()
        elif step is None:
            break
        elif work.is_idle:
            clock.sleep(step)
        else:
            for ended in threads.ended(step):
                ready += work.finish(*ended)
    work.sync()
    work.conclude()


def gathered(items: Generator[MapItem[_T]]) -> list[MapItem[_T]]:
    """All items; an error that ends them carries those before it."""
    found: list[MapItem[_T]] = []
    with telling_of(found), closing(items):
        found.extend(items)
    return found


def apart(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """What `function` gives; it may take a while, and here nobody else has to be served."""
    return function(*args, **kwargs)
