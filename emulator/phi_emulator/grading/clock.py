"""The clock of a trial, which the judged program and the emulator share: real time, and what was jumped over.

    program ── quiet ──► nothing is on its way: `quiet SERIAL`      program ── jump SERIAL DUE ──► `at OFFSET`

A program asks only while all its threads wait. The clock jumps to what is due first, in the program or in the
emulator, and only if nothing happened since the program was told that all is quiet. Everything here runs on the
emulator's event loop. It must not know faults, or what is asked.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from phi_client.contract.clock.base import Clock

__all__ = ["TrialClock"]

_TURNS: Final = 8
"""Of the event loop, in which it takes up whatever has already arrived."""
_RECENT_S: Final = 0.1
"""How old a process's last question may be, where several processes are judged together."""


class TrialClock:
    """Time in a trial. `real` tells seconds from any beginning."""

    def __init__(self, real: Callable[[], float] = time.monotonic) -> None:
        self.serial = 0
        """Counts all that happens, so that a decision can be seen to be too old."""
        self.active = 0
        """Exchanges that have begun and not ended."""
        self.token = secrets.token_hex(8)
        self.address = ("", 0)
        self.has_guests = False
        """Whether a program has come whose waits can be jumped over."""
        self._real = real
        self._offset = 0.0
        self._sleepers: dict[asyncio.Future[None], float] = {}
        self._asked: dict[asyncio.StreamWriter, float] = {}
        self._dues: dict[asyncio.StreamWriter, float | None] = {}
        self._server: asyncio.Server | None = None

    @property
    def shared(self) -> Clock:
        """This clock as the emulator takes it."""
        return Clock(now=self.now, sleep_async=self.sleep, unix=self.unix)

    @property
    def place(self) -> str:
        """Where a program finds the clock."""
        return f"{self.address[0]}:{self.address[1]}:{self.token}"

    @property
    def jumped(self) -> float:
        """How many seconds of the trial were jumped over: what was waited for, and not what took its time."""
        return self._offset

    def now(self) -> float:
        """Seconds, from any beginning."""
        return self._real() + self._offset

    def unix(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._offset

    def reset(self) -> None:
        """Begin a trial: nothing is jumped over yet, and those of the last one have nothing to say any more."""
        self._offset = 0.0
        self.has_guests = False
        self.token = secrets.token_hex(8)
        for line in [*self._asked]:
            line.close()
        self._asked.clear()
        self._dues.clear()

    async def sleep(self, seconds: float) -> None:
        """Wait so long by this clock."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        self._sleepers[woken] = self.now() + seconds
        self.serial += 1
        timer = loop.call_later(seconds, _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()
            del self._sleepers[woken]
            self.serial += 1

    async def listen(self) -> None:
        """Be there for programs."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Be there no more."""
        if self._server is not None:
            self._server.close()
        self.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.CancelledError):
            if (await reader.readline()).split() == [b"hello", self.token.encode()]:
                self.has_guests = True
                self._asked[writer] = 0.0
                _say(writer, f"at {self._offset!r}")
                while line := await reader.readline():
                    _say(writer, await self._answer(writer, line.decode().split()))
        self._asked.pop(writer, None)
        self._dues.pop(writer, None)
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, words: list[str]) -> str:
        if writer not in self._asked:
            return "busy"  # of an earlier trial
        if words[0] == "quiet":
            self._asked[writer] = self._real()
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            return f"quiet {self.serial}" if self._is_quiet() else "busy"
        serial, due = int(words[1]), words[2]
        self._dues[writer] = None if due == "None" else float(due)
        if serial == self.serial and self._is_quiet():
            self._jump()
        return f"at {self._offset!r}"

    def _is_quiet(self) -> bool:
        """Whether all exchanges wait for this clock, and all programs do."""
        recent = self._real() - _RECENT_S
        return self.active <= len(self._sleepers) and all(asked >= recent for asked in self._asked.values())

    def _jump(self) -> None:
        dues = [due for due in self._dues.values() if due is not None]
        dues += self._sleepers.values()
        if not dues:
            return  # nothing would ever happen
        now = self.now()
        self._offset += max(min(dues) - now, 0)
        self.serial += 1
        for woken, due in self._sleepers.items():
            if due <= self.now():
                _wake(woken)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _say(writer: asyncio.StreamWriter, line: str) -> None:
    writer.write(line.encode() + b"\n")
