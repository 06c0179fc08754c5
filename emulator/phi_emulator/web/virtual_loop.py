"""An event loop that tells a virtual clock when it has nothing to do. It must not know what it serves.

A loop asks its selector to wait once nothing is left that could run: that is the one place where this can be known.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from phi_client.contract.clock.base import Clock

if TYPE_CHECKING:
    from phi_client.contract.clock.loops import LoopPart
    from phi_client.contract.clock.virtual_time import VirtualTime

__all__ = ["run_by"]


def run_by(clock: Clock, serving: Any) -> None:
    """As `asyncio.run`, in a loop that goes by `clock`."""
    virtual = clock.virtual
    if virtual is None:
        asyncio.run(serving)
        return
    with asyncio.Runner(loop_factory=lambda: _loop(virtual)) as runner:
        loop = runner.get_loop()
        try:
            runner.run(serving)
        finally:
            virtual.forget(loop)


def _loop(virtual: VirtualTime) -> asyncio.AbstractEventLoop:
    selector = _TellingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    selector.part = virtual.watch(loop)
    return loop


class _TellingSelector(selectors.BaseSelector):
    """The system's selector, whose waits are told."""

    part: LoopPart | None = None

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for what is ready."""
        if self.part is None or (timeout is not None and timeout <= 0):
            return self._inner.select(timeout)
        ready = self._inner.select(0)
        if ready:
            return ready
        with self.part.idle():
            return self._inner.select(timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the system's."""
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As the system's."""
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the system's."""
        return self._inner.modify(fileobj, events, data)

    def close(self) -> None:
        """As the system's."""
        self._inner.close()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """As the system's."""
        return self._inner.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """As the system's."""
        return self._inner.get_map()
