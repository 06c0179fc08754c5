"""A `map` carried by tasks: the async shell. Its twin is `in_threads.py`, with threads.

It must not decide anything: what goes next, and what came of it, is the work's.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from phi_client._call.completion import Completion
from phi_client._map.checkpoint import SYNC_S
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
_Outcome = Completion | BaseException
_Ended = tuple[Start[Any], _Outcome]

_LAST_WAIT_S: Final = 1.0


class _Tasks:
    """What carries the items, one task each, and what has ended."""

    def __init__(self, work: MapWork[Any], ask: Callable[[Start[Any]], Awaitable[Completion]]) -> None:
        self._work = work
        self._ask = ask
        self._ended: asyncio.Queue[_Ended] = asyncio.Queue()
        self._tasks: dict[int, asyncio.Task[_Outcome]] = {}
        self._syncing: asyncio.Task[None] | None = None
        self._is_left = False

    def begin(self, start: Start[Any]) -> None:
        """Carry an item."""
        task = asyncio.create_task(self._carry(start), name="phi-client-map")
        self._tasks[start.position] = task
        # However a task ends, and be it before it began, somebody waits for it.
        task.add_done_callback(partial(self._note, start))

    async def ended(self, wait_s: float) -> list[_Ended]:
        """All that have ended; when none has, what ends within `wait_s`."""
        found: list[_Ended] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                found.append(await self._ended.get())
        return found + [self._ended.get_nowait() for _ in range(self._ended.qsize())]

    async def leave(self) -> None:
        """End what runs. A task that can't be cancelled is left to itself."""
        self._is_left = True
        running: list[asyncio.Task[Any]] = [*self._tasks.values()]
        running += [self._syncing] if self._syncing is not None else []
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_LAST_WAIT_S)

    async def _carry(self, start: Start[Any]) -> _Outcome:
        try:
            return await self._ask(start)
        except (KeyboardInterrupt, SystemExit) as error:
            # Out of a task these would end the loop, over the heads of all others.
            return error

    def _note(self, start: Start[Any], task: asyncio.Task[_Outcome]) -> None:
        del self._tasks[start.position]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        outcome = task.result() if error is None else error
        self._ended.put_nowait((start, outcome))
        # Whoever leaves forces the rest to the disk.
        if self._work.keep(start, outcome) and not self._is_left:
            self._syncing = asyncio.create_task(self._sync_in_time(), name="phi-client-map-disk")

    async def _sync_in_time(self) -> None:
        await asyncio.sleep(SYNC_S)
        await _sync(self._work)


async def run(
    work: MapWork[_T],
    ask: Callable[[Start[_T]], Awaitable[Completion]],
    *,
    cut: Callable[[], Awaitable[None]],
    clock: Clock,
) -> AsyncGenerator[MapItem[_T]]:
    """The items as they end. When the generator is closed, what still runs is cancelled, and then `cut`."""
    tasks = _Tasks(work, ask)
    try:
        try:
            async with aclosing(_items(work, tasks, clock)) as items:
                async for item in items:
                    yield item
        finally:
            work.stop()
            await tasks.leave()
            await cut()
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        work.note_interruption(error)
        raise
    finally:
        work.close()


async def _items(work: MapWork[_T], tasks: _Tasks, clock: Clock) -> AsyncGenerator[MapItem[_T]]:
    ready: deque[MapItem[_T]] = deque()
    for item in work.restored():
        yield item
    while True:
        step = work.next()
        if isinstance(step, Start):
            tasks.begin(step)
        elif ready:
            # All of them before others are looked at: whoever takes them slowly is not run away from.
            yield ready.popleft()
        elif step is None:
            break
        elif work.is_idle:
            await clock.sleep_async(step)
        else:
            for ended in await tasks.ended(step):
                ready += work.finish(*ended)
    await _sync(work)
    work.conclude()


async def gathered(items: AsyncGenerator[MapItem[_T]]) -> list[MapItem[_T]]:
    """All items; an error that ends them carries those before it."""
    found: list[MapItem[_T]] = []
    with telling_of(found):
        async with aclosing(items):
            async for item in items:
                found.append(item)  # noqa: PERF401  # those before an error count
    return found


async def apart(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """What `function` gives; it may take a while, and the loop has others to serve."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def _sync(work: MapWork[Any]) -> None:
    """Force the checkpoint to the disk, without holding up the loop."""
    if not work.is_kept:
        return
    try:
        await apart(work.sync)
    except RuntimeError:
        # No thread can be had, as when the interpreter ends.
        work.sync()
