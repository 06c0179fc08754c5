"""Being told when an event loop ends, so that nothing of it is left behind.

It must not know what is left. A loop that is run to its end, as by `asyncio.run`, first closes each async generator
that was begun on it: so one that only waits for that is a hook, and one that all asyncio loops have. A loop that is
closed without this is noticed when the next one comes.
"""

import asyncio
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final, Protocol

__all__ = ["forget_closed_loops", "tell_of_the_end"]


class Leaver(Protocol):
    """Who has something that belongs to a loop."""

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close it, without the loop."""
        ...


class _Guard:
    """One loop's generator, and who is to be told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.leavers: weakref.WeakValueDictionary[int, Leaver] = weakref.WeakValueDictionary()
        self._generator = _until_the_end(loop)
        # It is begun without waiting: there is nothing that could be cancelled.
        with suppress(StopIteration):
            self._generator.__anext__().send(None)

    def tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell all."""
        for reference in self.leavers.valuerefs():
            leaver = reference()
            if leaver is not None:
                leaver.leave(loop)


_guards: Final[dict[asyncio.AbstractEventLoop, _Guard]] = {}


def tell_of_the_end(leaver: Leaver) -> None:
    """Have `leaver.leave()` called when the running loop ends, at the latest when another loop asks for the same."""
    forget_closed_loops()
    loop = asyncio.get_running_loop()
    guard = _guards.get(loop)
    if guard is None:
        guard = _guards[loop] = _Guard(loop)
    guard.leavers[id(leaver)] = leaver


def forget_closed_loops() -> None:
    """Leave the loops that were closed without a word."""
    for loop in list(_guards):
        if loop.is_closed():
            _leave(loop)


async def _until_the_end(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        _leave(loop)


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    guard = _guards.pop(loop, None)
    if guard is not None:
        guard.tell(loop)
