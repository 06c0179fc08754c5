"""A talk: questions are asked, commands carried out, and what comes of both is shown by a face.

It must not know what a face is made of: a screen, or a plain stream of lines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from phi_emulator.chat.asking import Asking
from phi_emulator.chat.conversation import NUMBERS, Conversation, Turn, read_number
from phi_emulator.chat.saving import SaveError, save
from phi_emulator.chat.words import COMMANDS, FORCED, UnknownWordError, read_command, unfenced
from phi_emulator.models.printable import printable

if TYPE_CHECKING:
    from phi_client import AsyncPhiClient

__all__ = ["Face", "Session"]

_OFF = frozenset({"off", "none", "default"})
_WIDEST_NAME = max(len(f"/{one.name} {one.argument}") for one in COMMANDS.values()) + 2
_STOPPED = "stopped"


class Face(Protocol):
    """What shows a talk and takes its lines."""

    folds: bool
    """Whether thoughts are folded away once they are thought."""

    async def read(self) -> str | None:
        """The next question or command; `None` at the end."""
        ...

    async def say(self, *lines: str) -> None:
        """Show lines of ours."""
        ...

    async def begin(self, turn: Turn) -> None:
        """An answer begins to be waited for."""
        ...

    async def hear(self, turn: Turn, reasoning: str, content: str) -> None:
        """Pieces of an answer came."""
        ...

    async def end(self, turn: Turn) -> None:
        """An answer has ended, whole or not."""
        ...

    async def show_thoughts(self, turn: Turn) -> None:
        """Show the thoughts of a turn in full."""
        ...

    def notice(self, text: str) -> None:
        """Tell what is being waited for."""
        ...


class Session:
    """A talk with a model. `facts` say who is asked. `clock` tells seconds."""

    def __init__(
        self,
        client: AsyncPhiClient,
        face: Face,
        conversation: Conversation,
        *,
        facts: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.conversation = conversation
        self.facts = dict(facts)
        self._client = client
        self._face = face
        self._clock = clock
        self._asking: asyncio.Task[Turn] | None = None
        self._is_left = False

    async def run(self) -> None:
        """Talk until the end of the input, or until `/quit`."""
        while not self._is_left and (line := await self._face.read()) is not None:
            await self.take(line)

    async def take(self, line: str) -> None:
        """Carry out one line."""
        try:
            command = read_command(line)
        except UnknownWordError as error:
            await self._face.say(str(error))
            return
        if command is None:
            question = unfenced(line)
            if question.strip():
                await self.ask(question)
            return
        name, rest = command
        if name in NUMBERS:
            await self._number(name, rest)
        elif name.startswith("save"):
            await self._save(rest, overwrite=name.endswith(FORCED))
        else:
            await getattr(self, f"_{name}")(rest)

    async def ask(self, question: str) -> Turn:
        """Ask, and show what comes; `interrupt` stops it."""
        asking = Asking(self._client, self.conversation, question, self._clock)
        await self._face.begin(asking.turn)
        self._asking = asyncio.create_task(asking.run(self._face.hear))
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._asking)
            if not self._asking.done():  # the whole talk is being cancelled
                self._asking.cancel()
                with suppress(asyncio.CancelledError):
                    await self._asking
                raise asyncio.CancelledError
        finally:
            self._asking = None
            turn = asking.turn
            self.conversation.turns.append(turn)
            if turn.model:
                self.facts["model"] = printable(turn.model, 80)
            await self._face.end(turn)
        return turn

    def interrupt(self) -> bool:
        """Stop the answer that is coming, if there is one."""
        if self._asking is None or self._asking.done():
            return False
        return self._asking.cancel()

    @property
    def is_asking(self) -> bool:
        """Whether an answer is being waited for."""
        return self._asking is not None

    async def _help(self, _rest: str) -> None:
        rows = [f"{f'/{one.name} {one.argument}':{_WIDEST_NAME}}{one.text}" for one in COMMANDS.values()]
        keys = (
            'Keys: Ctrl-C stops the answer, Ctrl-T folds the thoughts, Alt-Enter begins another line, as """ at the '
            'beginning does until """ at the end. Ctrl-D leaves.'
        )
        await self._face.say(*rows, keys)

    async def _quit(self, _rest: str) -> None:
        self._is_left = True

    async def _retry(self, _rest: str) -> None:
        if not self.conversation.turns:
            await self._face.say("nothing was asked yet")
            return
        last = self.conversation.turns.pop()
        await self.ask(last.question)

    async def _clear(self, _rest: str) -> None:
        self.conversation.turns.clear()
        await self._face.say("a new talk: the model knows nothing of what was said before")

    async def _undo(self, _rest: str) -> None:
        if not self.conversation.turns:
            await self._face.say("nothing was asked yet")
            return
        taken = self.conversation.turns.pop()
        await self._face.say(f"taken back: {printable(taken.question, 60)}")

    async def _thoughts(self, rest: str) -> None:
        if rest in {"show", "fold"}:
            self._face.folds = rest == "fold"
            await self._face.say(
                "thoughts are folded from now on" if self._face.folds else "thoughts are shown from now on"
            )
        elif rest:
            await self._face.say("write /thoughts, /thoughts show or /thoughts fold")
        elif not self.conversation.turns or not self.conversation.turns[-1].reasoning.strip():
            await self._face.say("there are no thoughts to show")
        else:
            await self._face.show_thoughts(self.conversation.turns[-1])

    async def _system(self, rest: str) -> None:
        if rest:
            self.conversation.system = "" if rest.lower() in _OFF else unfenced(rest)
        await self._face.say(f"system: {printable(self.conversation.system, 400) or '(none)'}")

    async def _number(self, name: str, rest: str) -> None:
        options = self.conversation.options
        if rest.lower() in _OFF:
            options.pop(name, None)
        elif rest:
            try:
                options[name] = read_number(name, rest)
            except ValueError as error:
                await self._face.say(f"{error}: /{name} {COMMANDS[name].argument}")
                return
        await self._face.say(f"{name}: {options.get(name, '(default)')}")

    async def _save(self, rest: str, *, overwrite: bool) -> None:
        if not rest:
            await self._face.say("write /save FILE.md or /save FILE.json")
            return
        if not self.conversation.turns:
            await self._face.say("nothing was asked yet")
            return
        try:
            path = save(self.conversation, rest, overwrite=overwrite, facts=self.facts)
        except SaveError as error:
            await self._face.say(f"not saved: {error}")
            return
        await self._face.say(f"saved: {printable(str(path), 400)}")

    async def _info(self, _rest: str) -> None:
        conversation = self.conversation
        options = ", ".join(f"{name} {value}" for name, value in conversation.options.items())
        count = len(conversation.turns)
        await self._face.say(
            *(f"{name}: {printable(value, 200)}" for name, value in self.facts.items()),
            f"set: {options or 'nothing, so the defaults hold'}",
            f"system: {printable(conversation.system, 200) or '(none)'}",
            f"so far: {count} question{'' if count == 1 else 's'}, {conversation.tokens:,} tokens of answers",
        )
