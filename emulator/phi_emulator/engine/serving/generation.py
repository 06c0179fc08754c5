"""One answer on its way from the engine's thread to the event loop that asked for it.

Knows asyncio; must not know engines, queues or HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NamedTuple

from phi_emulator.engine.errors import EngineError
from phi_emulator.engine.protocol import EndReason
from phi_emulator.engine.serving.delivery import Delivery

__all__ = ["Generation", "Outcome", "Piece", "Progress", "Times"]


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


@dataclass(slots=True)
class Progress:
    """How far a request has come: as `Times`, `None` for what has not come about, and the tokens so far.

    The worker's thread writes it, anybody may read it: also of a request that never came to its end.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    """Known in the end."""
    queued: float | None = None
    admitted: float | None = None
    first_token: float | None = None
    ended: float | None = None


class Outcome(NamedTuple):
    """How a generation ended, counted in real tokens, and when it came to what."""

    reason: EndReason
    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int
    times: Times


class Piece(NamedTuple):
    """A piece of an answer's text."""

    text: str
    tokens: int
    """The answer's tokens up to here. Some complete no text: the piece after them counts them too."""


class Generation:
    """One answer in the making: iterate over its text, then read `outcome`.

    Belongs to the event loop that submitted it, to which its `delivery` goes; without one it has its own. Leaving the
    iteration early doesn't stop the model: call `cancel()`.
    """

    def __init__(
        self, sequence: int, cancel: Callable[[int], None], delivery: Delivery | None = None
    ) -> None:
        self._sequence = sequence
        self._cancel = cancel
        self._delivery = delivery or Delivery(asyncio.get_running_loop())
        self._has_begun = False
        self._received: list[Piece | Outcome | EngineError] = []
        self._arrived = asyncio.Event()
        self.progress = Progress()
        self.outcome: Outcome | None = None
        """Set once the iteration is through."""

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the text as it comes; raises as `batches`."""
        async for pieces in self.batches(1):
            yield pieces[0].text

    async def batches(self, most: int | None = None) -> AsyncIterator[list[Piece]]:
        """Yield the text as it comes, all pieces that are there at a time, or `most`. What isn't taken stays.

        Raises:
            EngineFailedError: the engine broke down.
            EngineStoppedError: the engine was stopped meanwhile.
        """
        while self.outcome is None:
            await self._arrived.wait()
            received = self._received[:most]
            del self._received[:most]
            if not self._received:
                self._arrived.clear()
            pieces = [one for one in received if isinstance(one, Piece)]
            if pieces:
                yield pieces
            match received[-1]:  # nothing follows an end
                case EngineError() as error:
                    raise error
                case Outcome() as outcome:
                    self.outcome = outcome
                case _:
                    pass

    def cancel(self) -> None:
        """Free the sequence's place before the next step. Does no harm after the end."""
        if self.outcome is None:
            self._cancel(self._sequence)

    def send(self, item: Piece | Outcome | EngineError) -> None:
        """Hand an item over, from the worker's thread. The first text and the end don't wait for others."""
        self._delivery.post(self._receive, item, urgent=not (self._has_begun and isinstance(item, Piece)))
        self._has_begun = True

    def _receive(self, item: Piece | Outcome | EngineError) -> None:
        self._received.append(item)
        self._arrived.set()
