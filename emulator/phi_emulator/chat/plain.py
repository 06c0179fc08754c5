"""A talk in plain lines, for terminals that can't move their cursor and for output that goes elsewhere.

It must not write any escape sequence.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

from phi_emulator.chat.one_shot import PipeFace
from phi_emulator.chat.saving import status_line
from phi_emulator.chat.words import is_open
from phi_emulator.models.printable import printable, without_controls

if TYPE_CHECKING:
    from phi_emulator.chat.conversation import Turn

__all__ = ["PlainFace"]

_PROMPT: Final = ">>> "
_MORE: Final = "... "
_LEAVE: Final = "Ctrl-D or /quit leaves"


class PlainFace(PipeFace):
    """Reads lines from `source`. Thoughts are shown where `out` is a terminal, between labels."""

    def __init__(self, source: TextIO, out: TextIO, err: TextIO) -> None:
        super().__init__(out, err)
        self._source = source
        self._is_terminal = out.isatty()
        self._tells = False  # the lines that are typed are on the same terminal
        self._prompts = out if self._is_terminal else err
        self.folds = not self._is_terminal
        self._part = ""
        self._is_reading = False
        self._is_dropped = False
        self.interrupt: Callable[[], bool] = lambda: False
        self.about: Callable[[], list[str]] = list

    async def read(self) -> str | None:
        """A line, or several between fences."""
        self._is_dropped = False
        text = await self._line(_PROMPT)
        while text is not None and is_open(text):
            more = await self._line(_MORE)
            if more is None:
                return None
            # Ctrl-C has thrown away what was begun.
            text = more if self._is_dropped else f"{text}\n{more}"
            self._is_dropped = False
        return text

    def stop(self) -> None:
        """Stop the answer, or say how to leave."""
        if not self.interrupt() and self._is_reading:
            self._is_dropped = True
            print(f"\n{_LEAVE}\n{_PROMPT}", end="", file=self._prompts, flush=True)

    async def _line(self, prompt: str) -> str | None:
        print(prompt, end="", file=self._prompts, flush=True)
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str] = loop.create_future()

        def read() -> None:
            # A thread that waits for a line can't be stopped, so nobody may have to wait for it.
            loop.call_soon_threadsafe(take, self._source.readline())

        def take(text: str) -> None:
            if not line.done():
                line.set_result(text)

        threading.Thread(target=read, daemon=True).start()
        self._is_reading = True
        try:
            text = await line
        finally:
            self._is_reading = False
        if not text:
            print(file=self._prompts)
            return None
        return text.removesuffix("\n")

    async def say(self, *lines: str) -> None:
        """Say lines of ours where the prompt is."""
        for line in lines:
            print(printable(line), file=self._prompts, flush=True)

    async def begin(self, turn: Turn) -> None:
        """Nothing has come yet."""
        del turn
        self._part = ""

    async def hear(self, turn: Turn, reasoning: str, content: str) -> None:
        """Write what came, each part under its label."""
        if not self._is_terminal:
            await super().hear(turn, reasoning, content)
            return
        for part, piece in (("thoughts", "" if self.folds else reasoning), ("answer", content)):
            text = without_controls(piece if self._part == part else piece.lstrip())
            if not text:
                continue
            if self._part != part:
                self._label(part)
            self._out.write(text)
            self._out.flush()
            self._ends_line = text.endswith("\n")

    def _label(self, part: str) -> None:
        self._part = part
        self._out.write(("" if self._ends_line else "\n") + f"[{part}]\n")
        self._ends_line = True

    async def end(self, turn: Turn) -> None:
        """The result, and figures."""
        await super().end(turn)
        self._ends_line = True
        result = [f"result: {turn.boxed}"] if turn.boxed else []
        await self.say(*result, ", ".join(status_line(turn)))

    async def show_thoughts(self, turn: Turn) -> None:
        """All of them, where the prompt is."""
        print(without_controls(turn.reasoning), file=self._prompts, flush=True)
