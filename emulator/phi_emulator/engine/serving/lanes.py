"""Threads for work that grows with a request, in lanes by its size: nobody waits behind what is much larger.

Knows threads; must not know what the work is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from phi_emulator.engine.errors import EngineStoppedError
from phi_emulator.engine.serving.turns import Turns

__all__ = ["SMALL", "Lanes"]

T = TypeVar("T")

SMALL: Final = 2048
"""A size of work that needs no lane: letters of a prompt that are read in 0.7 ms, whatever they are."""
_LANES: Final = ((16_384, 2), (262_144, 1), (None, 1))
"""The largest size in each lane, and its threads. Threads beyond these would only share one interpreter lock."""
_MOST_DONE: Final = 64
_PATIENCE_S: Final = 5.0
"""Seconds that work of no known time waits for its turn."""


class Lanes:
    """Pools that start their threads when they are first needed."""

    def __init__(self) -> None:
        self._lanes = [
            (most, ThreadPoolExecutor(threads, thread_name_prefix=f"phi-emulator-lane-{number}"))
            for number, (most, threads) in enumerate(_LANES)
        ]
        self._alone = ThreadPoolExecutor(1, thread_name_prefix="phi-emulator-lane-alone")
        self._turns = Turns(_PATIENCE_S)
        self._done: OrderedDict[str, None] = OrderedDict()

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """The result of `work`, in the lane of its size. Work that nobody waits for any more is not begun.

        Raises:
            EngineStoppedError: no more is taken.
        """
        pool = next(pool for most, pool in self._lanes if most is None or size <= most)
        return await _run(pool, work)

    async def run_once(self, key: str, work: Callable[[], object]) -> None:
        """Do `work` whose size says nothing of its time, in a lane of its kind, the newest first.

        What ended well under `key` lately is not done again, and waits for nobody. Call it from one event loop.

        Raises:
            EngineStoppedError: no more is taken.
            QueueTimeoutError: others took too long.
        """
        if key not in self._done:
            async with self._turns:
                await _run(self._alone, work)
        self._done[key] = None
        self._done.move_to_end(key)
        if len(self._done) > _MOST_DONE:
            self._done.popitem(last=False)

    def close(self) -> None:
        """Take no more; what is waiting still has its turn."""
        for pool in (self._alone, *(pool for _, pool in self._lanes)):
            pool.shutdown(wait=False)


async def _run(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    try:
        result = pool.submit(work)
    except RuntimeError as error:  # so it says that it is closed
        raise EngineStoppedError("the engine is stopping") from error
    return await asyncio.wrap_future(result)
