"""One question from the command line, and its answer for whoever reads it: a pipe, a file or a program.

The answer alone goes to `out`. What is said of it goes to `err`, and a line that tells how far it is where that is a
terminal. It must not know where the question is from.

    0  a whole answer            3  cut off by the limit of tokens
    1  no answer                 4  held back by the content filter
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

from phi_client import errors
from phi_client.contract.answers import CUT_REASONS
from phi_emulator.chat.asking import Asking
from phi_emulator.chat.conversation import Conversation, Turn
from phi_emulator.chat.saving import status_line, turn_object
from phi_emulator.models.printable import without_controls

if TYPE_CHECKING:
    from phi_client import AsyncPhiClient

__all__ = [
    "CUT_OFF",
    "FILTERED",
    "INTERRUPTED",
    "NO_ANSWER",
    "PipeFace",
    "answer_as_json",
    "complaint",
    "exit_status",
]

NO_ANSWER: Final = 1
CUT_OFF: Final = 3
FILTERED: Final = 4
INTERRUPTED: Final = 130
_TELL_EVERY_S: Final = 0.2


def exit_status(turn: Turn) -> int:
    """The status that tells a shell what came."""
    if turn.is_stopped:
        return INTERRUPTED
    if turn.finish_reason == "content_filter" or isinstance(turn.error, errors.ContentFilterError):
        return FILTERED
    if turn.error is not None:
        return NO_ANSWER
    return CUT_OFF if turn.finish_reason in CUT_REASONS else 0


def complaint(turn: Turn) -> str:
    """Why the answer isn't whole, in a line; nothing where it is."""
    if turn.is_stopped:
        return "stopped"
    if turn.problem:
        return turn.problem
    if turn.finish_reason == "content_filter":
        return "the content filter cut the answer off"
    if turn.finish_reason in CUT_REASONS:
        where = "before there was an answer" if not turn.content.strip() else "within the answer"
        return f"the limit of tokens ended it {where}: raise max_tokens"
    if not turn.content.strip():
        return (
            "the model said nothing" if not turn.reasoning.strip() else "the model thought, and said nothing"
        )
    return ""


class PipeFace:
    """Writes the answer as it comes, and nothing else to `out`. `clock` tells seconds."""

    folds = True

    def __init__(self, out: TextIO, err: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._err = err
        self._clock = clock
        self._tells = err.isatty()
        self._told = 0.0
        self._width = 0
        self._ends_line = True

    async def read(self) -> str | None:
        """Nothing: the question was on the command line."""
        return None

    async def say(self, *lines: str) -> None:
        """Tell beside the answer."""
        self._tell("")
        for line in lines:
            print(f"phi-emulator: {line}", file=self._err, flush=True)

    async def begin(self, turn: Turn) -> None:
        """Nothing has come yet."""
        self._tell("waiting …" if turn else "")

    async def hear(self, turn: Turn, reasoning: str, content: str) -> None:
        """Write what is answer."""
        now = self._clock()
        if self._tells and now - self._told > _TELL_EVERY_S:
            self._told = now
            self._tell(("thinking: " if reasoning else "") + ", ".join(status_line(turn, now)))
        text = without_controls(content)
        if text:
            self._out.write(text)
            self._out.flush()
            self._ends_line = text.endswith("\n")

    async def end(self, turn: Turn) -> None:
        """End the line, and say what is missing."""
        if not self._ends_line:
            self._out.write("\n")
            self._out.flush()
        self._tell("")
        why = complaint(turn)
        if why:
            await self.say(why)

    async def show_thoughts(self, turn: Turn) -> None:
        """Nobody asks for them here."""

    def notice(self, text: str) -> None:
        """It is tried again, or the like."""
        if self._tells:
            self._tell(text)
        else:
            print(f"phi-emulator: {text}", file=self._err, flush=True)

    def _tell(self, line: str) -> None:
        """A line that is written over by the next one."""
        if self._tells and (line or self._width):
            self._err.write("\r" + line.ljust(self._width) + ("" if line else "\r"))
            self._err.flush()
            self._width = len(line)


async def answer_as_json(
    client: AsyncPhiClient, conversation: Conversation, question: str, out: TextIO, endpoint: str
) -> Turn:
    """Ask, and write one JSON object in ASCII, also of an answer that was stopped or didn't come."""
    asking = Asking(client, conversation, question)
    try:
        await asking.run(_deaf)
    finally:
        found = turn_object(asking.turn) | {"endpoint": endpoint}
        found["error"] = complaint(asking.turn) or None
        out.write(json.dumps(found, ensure_ascii=True) + "\n")
        out.flush()
    return asking.turn


async def _deaf(turn: Turn, reasoning: str, content: str) -> None:
    """For whom the whole is enough."""
