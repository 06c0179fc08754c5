"""A `map` carried by tasks: the async shell. Its twin is `_map_threads.py`, with threads.

It must not decide anything: what goes next, and what came of it, is the work's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from phi_client._call.completion import Completion
from phi_client._map.result import MapItem
from phi_client._map.work import MapWork, Start

if TYPE_CHECKING:
    from phi_client._call.request_types import Message

__all__ = ["run_in_tasks"]

_T = TypeVar("_T", bound="str | Sequence[Message]")
_Ended = tuple[Start[Any], Completion | BaseException]


async def run_in_tasks(
    work: MapWork[_T],
    ask: Callable[[Start[_T]], Awaitable[Completion]],
    *,
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncGenerator[MapItem[_T]]:
    """The items as they end. When the generator is closed, what still runs is cancelled."""
    ended: asyncio.Queue[_Ended] = asyncio.Queue()
    tasks: dict[int, asyncio.Task[None]] = {}

    try:
        for item in work.restored():
            yield item
        while (step := work.next()) is not None:
            if isinstance(step, Start):
                tasks[step.position] = asyncio.create_task(_carry(step, ask, ended), name="phi-client-map")
            elif work.is_idle:
                await sleep(step)
            elif (found := await _next(ended, step)) is not None:
                await tasks.pop(found[0].position)
                for item in work.finish(*found):
                    yield item
            if work.is_disk_due:
                # It may take a while, and the loop has others to serve.
                await asyncio.to_thread(work.sync_checkpoint)
    except asyncio.CancelledError:
        work.say_how_to_resume()
        raise
    finally:
        work.stop()
        await _cancel(tasks.values())
        work.close()


async def _carry(
    start: Start[_T], ask: Callable[[Start[_T]], Awaitable[Completion]], ended: asyncio.Queue[_Ended]
) -> None:
    outcome: Completion | BaseException
    try:
        outcome = await ask(start)
    except Exception as error:  # noqa: BLE001  # it belongs to the task that runs the whole
        outcome = error
    ended.put_nowait((start, outcome))


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    listed = list(tasks)
    for task in listed:
        task.cancel()
    await asyncio.gather(*listed, return_exceptions=True)


async def _next(ended: asyncio.Queue[_Ended], wait_s: float) -> _Ended | None:
    try:
        async with asyncio.timeout(None if wait_s == math.inf else wait_s):
            return await ended.get()
    except TimeoutError:
        return None
