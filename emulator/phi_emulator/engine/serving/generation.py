"""One answer on its way from the engine's thread to the event loop that asked for it.

Knows asyncio; must not know engines, queues or HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from phi_emulator.engine.errors import EngineError
from phi_emulator.engine.protocol import EndReason

__all__ = ["Generation", "Outcome", "Times"]

logger = logging.getLogger("phi_emulator.engine")


class Times(NamedTuple):
    """When a request came to each place on its way, in seconds of the clock of the source that answered it."""

    received: float
    """Its first bytes were there; for who asks without HTTP, as `queued`."""
    queued: float
    """Its prompt was encoded, and it was taken in."""
    admitted: float
    """It had its place beside those that run."""
    first_token: float | None
    """None where the answer has none."""
    ended: float


class Outcome(NamedTuple):
    """How a generation ended, counted in real tokens, and when it came to what."""

    reason: EndReason
    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int
    times: Times


class Generation:
    """One answer in the making: iterate over its text, then read `outcome`.

    Belongs to the event loop that submitted it. Leaving the iteration early doesn't stop the model: call `cancel()`.
    """

    def __init__(self, sequence: int, cancel: Callable[[int], None]) -> None:
        self._sequence = sequence
        self._cancel = cancel
        self._loop = asyncio.get_running_loop()
        self._received: asyncio.Queue[str | Outcome | EngineError] = asyncio.Queue()
        self.outcome: Outcome | None = None
        """Set once the iteration is through."""

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the text as it comes.

        Raises:
            EngineFailedError: the engine broke down.
            EngineStoppedError: the engine was stopped meanwhile.
        """
        while self.outcome is None:
            received = await self._received.get()
            if isinstance(received, EngineError):
                raise received
            if isinstance(received, Outcome):
                self.outcome = received
            else:
                yield received

    def cancel(self) -> None:
        """Free the sequence's place before the next step. Does no harm after the end."""
        if self.outcome is None:
            self._cancel(self._sequence)

    def send(self, item: str | Outcome | EngineError) -> None:
        """Hand an item over, from the worker's thread."""
        try:
            self._loop.call_soon_threadsafe(self._received.put_nowait, item)
        except RuntimeError:  # the loop has closed: nobody is listening any more
            logger.debug("sequence %d: its event loop has closed", self._sequence)
