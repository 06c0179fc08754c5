"""A talk on a terminal: what is finished goes above, as lines that stay; below are what is coming, input and status.

Attributes alone, no colours: dim, bold, reverse. It must not know whom a question is asked. `prompt_toolkit` reads
keys, follows the terminal's size, and lets no escape sequence through.

Thoughts that are folded leave the screen, as far as they are on it still; what has been scrolled out of it no program
can take back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from phi_emulator.chat.keys import bindings, expanded
from phi_emulator.chat.look import Look, Rows
from phi_emulator.chat.one_shot import complaint
from phi_emulator.chat.saving import status_line

if TYPE_CHECKING:
    from types import TracebackType

    from prompt_toolkit.history import History
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from phi_emulator.chat.conversation import Turn

__all__ = ["Screen"]

_PROMPT: Final = ">>> "
_MORE: Final = "... "
_STYLE: Final = Style.from_dict(
    {"thoughts": "dim", "note": "dim", "prompt": "bold", "box": "bold", "status": "reverse"}
)
_FRAME_S: Final = 0.06
"""How often what is coming is drawn anew."""
_BELOW: Final = 3
"""Rows that are left for the input and the status line."""
LEAVE: Final = "Ctrl-D or /quit leaves"


class Screen:
    """Shows a talk, and reads its lines where `has_input`.

    `interrupt` stops the answer that is coming and tells whether there was one; `about` gives what the status line says
    while nothing comes, the most wanted first. `clock` tells seconds.
    """

    def __init__(
        self,
        source: Input,
        output: Output,
        *,
        has_input: bool = True,
        folds: bool = False,
        history: History | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folds = folds
        self.interrupt: Callable[[], bool] = lambda: False
        self.about: Callable[[], list[str]] = list
        self._output = output
        self._clock = clock
        self._has_input = has_input
        self._look = Look(output.encoding())
        self._lines: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        """What was entered: as it was shown, and with long pastes in it."""
        self._turn: Turn | None = None
        self._notice = ""
        self._thoughts = self._look.flow()
        self._thought: list[str] = []
        """Lines of the thoughts of this turn, whole."""
        self._rows_above = 0
        """Rows of thoughts that stand directly above what is coming."""
        self._answer = self._look.flow()
        self._is_answering = False
        self._buffer = Buffer(history=history, multiline=True, accept_handler=self._accept)
        self._app: Application[None] = self._application(source)
        self._running: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None

    def _application(self, source: Input) -> Application[None]:
        coming = Window(FormattedTextControl(self._coming), dont_extend_height=True, always_hide_cursor=True)
        control = BufferControl(self._buffer)
        typed = Window(
            control,
            height=Dimension(min=1, max=12),
            dont_extend_height=True,
            wrap_lines=True,
            get_line_prefix=lambda number, wraps: [
                ("class:prompt", _PROMPT if number == wraps == 0 else _MORE)
            ],
        )
        status = Window(
            FormattedTextControl(self._status), height=1, style="class:status", always_hide_cursor=True
        )
        has_input, is_busy = Condition(lambda: self._has_input), Condition(lambda: self._turn is not None)
        body = HSplit(
            [
                ConditionalContainer(coming, is_busy),
                ConditionalContainer(typed, has_input),
                ConditionalContainer(status, has_input | is_busy),
                Window(),
            ]
        )
        return Application(
            Layout(body, focused_element=typed if self._has_input else None),
            style=_STYLE,
            include_default_pygments_style=False,
            key_bindings=bindings(self),
            input=source,
            output=self._output,
            erase_when_done=True,
        )

    async def __aenter__(self) -> Self:
        """Take the terminal."""
        drawn = asyncio.Event()
        self._running = asyncio.create_task(
            self._app.run_async(pre_run=drawn.set, handle_sigint=False, set_exception_handler=False)
        )

        def ended(_task: asyncio.Task[None]) -> None:
            drawn.set()
            self._lines.put_nowait(None)

        self._running.add_done_callback(ended)
        await drawn.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back as it was."""
        if self._ticking is not None:
            self._ticking.cancel()
        if self._app.is_running and not self._app.is_done:
            self._app.exit()
        if self._running is not None:
            with suppress(EOFError):  # the terminal went away
                await self._running

    async def read(self) -> str | None:
        """The next line that was entered, also while the last one was being answered."""
        entered = await self._lines.get()
        if entered is None:
            return None
        shown, line = entered
        first, *more = shown.split("\n")
        self._print(
            [("", ""), *self._rows("class:prompt", _PROMPT + first, *(_MORE + text for text in more))]
        )
        return line

    async def say(self, *lines: str) -> None:
        """Lines of ours, which look like none of the model's."""
        self._print(self._rows("class:note", *lines))

    async def begin(self, turn: Turn) -> None:
        """An answer begins to be waited for."""
        self._turn, self._notice = turn, ""
        self._thoughts, self._answer = self._look.flow(), self._look.flow()
        self._thought, self._rows_above, self._is_answering = [], 0, False
        self._ticking = asyncio.create_task(self._tick())

    async def hear(self, turn: Turn, reasoning: str, content: str) -> None:
        """Pieces came: what is complete of them goes above."""
        self._notice = ""
        if reasoning:
            self._think(self._thoughts.feed(reasoning))
        if content:
            if not self._is_answering:
                content = content.lstrip()
                if not content:
                    return
                self._end_thoughts(turn)
            self._print(self._rows("", *self._answer.feed(content)))

    async def end(self, turn: Turn) -> None:
        """The rest of the answer, its result, why it isn't whole, and figures."""
        if self._ticking is not None:
            self._ticking.cancel()
        if not self._is_answering:
            self._end_thoughts(turn)
        self._turn = None
        rows = [*self._rows("", *self._answer.finish())]
        if turn.boxed:
            rows += self._look.result(turn.boxed, self._size.columns)
        why = complaint(turn)
        if why:
            rows += self._rows("", f"{why}; {turn.hint}" if turn.hint else why)
        self._print([*rows, *self._rows("class:note", self._look.dot.join(status_line(turn)))])

    async def show_thoughts(self, turn: Turn) -> None:
        """All of them, dimmed."""
        flow = self._look.flow()
        self._print(self._thought_rows([*flow.feed(turn.reasoning.strip()), *flow.finish()]))

    def notice(self, text: str) -> None:
        """What is said in the status line until something comes, such as that it is tried again."""
        self._notice = text

    # What the keys do.

    @property
    def buffer(self) -> Buffer:
        """What is being typed."""
        return self._buffer

    def leave(self) -> None:
        """End the talk, once what was entered is answered."""
        self._lines.put_nowait(None)
        if self._turn is not None:
            self._notice = "leaves once this is answered; Ctrl-C stops it"

    def stop(self) -> None:
        """Stop the answer and what was entered behind it; else empty the input; else say how to leave."""
        if self.interrupt():
            while not self._lines.empty():
                self._lines.get_nowait()
        elif self._buffer.text:
            self._buffer.reset()
        else:
            self._print([("class:note", LEAVE)])

    def toggle_thoughts(self) -> None:
        """Fold the thoughts away, or show them; those of the next answers too."""
        self.folds = not self.folds
        if self._turn is None or self._is_answering:
            self._print(
                [
                    (
                        "class:note",
                        "thoughts are folded from now on" if self.folds else "thoughts are shown from now on",
                    )
                ]
            )
        elif not self.folds:
            rows = self._thought_rows(self._thought)
            self._print(rows)
            self._rows_above = len(rows)
        elif self._rows_above:
            self._app.renderer.erase()
            # Up to the top of the screen at most, and all rows up to there are thoughts.
            self._output.cursor_up(self._rows_above)
            self._output.erase_down()
            self._output.flush()
            self._rows_above = 0
        self._app.invalidate()

    def _accept(self, buffer: Buffer) -> bool:
        text = expanded(buffer)
        if text.strip():
            self._lines.put_nowait((buffer.text, text))
        return False

    # What is shown.

    def _think(self, lines: list[str]) -> None:
        self._thought += lines
        if not self.folds and lines:
            rows = self._thought_rows(lines)
            self._print(rows)
            self._rows_above += len(rows)

    def _end_thoughts(self, turn: Turn) -> None:
        self._is_answering = True
        self._think(self._thoughts.finish())
        if not turn.reasoning.strip():
            return
        if self.folds:
            self._print(
                self._rows("class:note", f"{self._look.arrow}{self._thinking(turn)}: /thoughts shows it")
            )
        self._print([("", "")])

    def _thinking(self, turn: Turn) -> str:
        """What stands in the place of thoughts."""
        times = turn.times
        until = times.answer or times.ended or self._clock()
        return f"thought for {until - (times.first or until):.1f} s, {len(turn.reasoning):,} letters"

    def _coming(self) -> StyleAndTextTuples:
        """What has come of a line that isn't complete: as many of its last rows as fit."""
        turn = self._turn
        if turn is None:
            return []
        rows: list[tuple[str, str]]
        if self._is_answering:
            rows = [*self._rows("", *self._answer.pending)]
        elif self.folds:
            rows = [("class:note", f"{self._look.arrow}thinking")] if turn.reasoning else []
        else:
            rows = list(self._thought_rows(self._thoughts.pending))
        room = max(self._size.rows - _BELOW - self._buffer.document.line_count, 1)
        shown: StyleAndTextTuples = []
        for style, text in rows[-room:]:
            shown += [(style, text), ("", "\n")]
        return shown[:-1]

    def _status(self) -> StyleAndTextTuples:
        turn = self._turn
        if turn is None:
            parts = self.about()
        else:
            now = self._clock()
            phase = "answering" if self._is_answering else "thinking" if turn.times.first else "waiting"
            parts = (
                [phase, *status_line(turn, now)]
                if turn.times.first
                else [phase, f"{now - turn.times.asked:.0f} s"]
            )
            parts = [self._notice] if self._notice else parts
            parts += [
                "Ctrl-C stops",
                *([] if self._is_answering or not self._has_input else ["Ctrl-T folds"]),
            ]
        return [("", self._look.status(parts, self._size.columns))]

    async def _tick(self) -> None:
        while True:
            self._app.invalidate()
            await asyncio.sleep(_FRAME_S)

    @property
    def _size(self) -> Size:
        return self._output.get_size()

    def _rows(self, style: str, *lines: str) -> Rows:
        return self._look.plain(style, lines, self._size.columns)

    def _thought_rows(self, lines: Sequence[str]) -> Rows:
        return self._look.thoughts(lines, self._size.columns)

    def _print(self, rows: Rows) -> None:
        """Put rows above what is coming, where they stay."""
        if not rows:
            return
        self._rows_above = 0 if rows[0][0] != "class:thoughts" else self._rows_above
        fragments = FormattedText([part for style, text in rows for part in ((style, text), ("", "\n"))])
        self._app.renderer.erase()
        print_formatted_text(self._output, fragments, _STYLE)
        self._app.invalidate()
