"""Turns at what is done one at a time and may take long: the newest has the next one, and nobody waits for ever.

Knows asyncio; must not know what is done. Whoever has waited long waits beside others that take long; whoever has just
come would wait for all of them in any other order, and so would everybody else.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from phi_emulator.engine.errors import QueueTimeoutError

__all__ = ["Turns"]

_RETRY_AFTER_S: Final = 1


class Turns:
    """A context for one at a time, of one event loop. Entering it waits for `patience_s` seconds at most.

    Raises:
        QueueTimeoutError: no turn came so long.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._is_taken = False
        self._waiting: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came just before
                self._pass_on()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise QueueTimeoutError(self._patience_s, _RETRY_AFTER_S) from None
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
