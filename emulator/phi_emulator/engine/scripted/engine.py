"""A deterministic stand-in for a model: it answers what a function says, a token at a time.

For tests, where the text must be known in advance. It never claims to be a model: its name is `scripted`. Must not know
where its texts and tokens come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from phi_emulator.engine.errors import GuidanceError, SequenceError, UnscriptedError
from phi_emulator.engine.protocol import EndReason, EngineInfo, Marks, Message, Sampling, Step

__all__ = ["ScriptedEngine"]

_PIECES = re.compile(r"\w+|\W", re.ASCII)


class _Words:
    """A token for each word or sign, so that a prompt's length can be foretold."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [
            self._id(piece)
            for m in messages
            for piece in (f"<{m.role}>", *_PIECES.findall(m.content + m.calls + m.tools))
        ]

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:
        return [(self._id(piece), piece) for piece in _PIECES.findall(text)]

    def _id(self, piece: str) -> int:
        return self._ids.setdefault(piece, len(self._ids))


class _Prompt(list[int]):
    """A prompt that knows its conversation, so that it is known again when its turn comes."""

    def __init__(self, ids: Iterable[int], messages: Sequence[Message]) -> None:
        super().__init__(ids)
        self.messages = tuple(messages)


class ScriptedEngine:
    """Answers with `reply(messages)`, one token for each step.

    `reply` is asked when a sequence begins.
    `encode` gives a prompt's token ids, `pieces` the tokens of an answer, each with the text that it completes; without
    them a token is a word or a sign. `before_step` is called before each step; a test uses it to hold the engine still.
    With `marks` it takes any grammar, and answers as ever. `source` is where its answers are from, `why` is said with
    the execution provider, which is none.
    """

    def __init__(
        self,
        reply: Callable[[Sequence[Message]], str],
        *,
        encode: Callable[[Sequence[Message]], list[int]] | None = None,
        pieces: Callable[[str], Sequence[tuple[int, str]]] | None = None,
        context_length: int = 4096,
        max_running: int = 4,
        before_step: Callable[[], None] = lambda: None,
        marks: Marks | None = None,
        source: str = "a function of the program that started it",
        why: str = "",
    ) -> None:
        self._reply = reply
        self._before_step = before_step
        words = _Words()
        self._encode, self._pieces = encode or words.encode, pieces or words.pieces
        self._open: dict[int, _Running] = {}
        self._info = EngineInfo(
            model="scripted",
            source=source,
            execution_provider="none",
            context_length=context_length,
            max_running=max_running,
            block_size=16,
            num_blocks=-(-context_length // 16) * max_running,
            why=why,
            marks=marks,
        )
        self.released: list[int] = []
        """Sequences in the order of their first release."""
        self.steps = 0
        """Steps run so far."""

    @property
    def info(self) -> EngineInfo:
        return self._info

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return _Prompt(self._encode(messages), messages)

    def prepare_guidance(self, grammar: str) -> None:
        self.check_guidance(grammar)

    def check_guidance(self, grammar: str) -> None:  # noqa: ARG002 - it is not looked at
        if self._info.marks is None:
            raise GuidanceError("the scripted engine follows no grammar")

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:
        try:
            return self._pieces(text)
        except ValueError as error:
            raise UnscriptedError(str(error)) from error

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        if not isinstance(prompt, _Prompt):
            raise SequenceError("the scripted engine knows no prompt but those that it encoded")
        pieces = self._pieces(self._reply(prompt.messages))
        self._open[sequence] = _Running(pieces, sampling.max_tokens)

    def step(self) -> Iterable[Step]:
        self._before_step()
        self.steps += 1
        return [_advance(sequence, one) for sequence, one in self._open.items() if not one.ended]

    def release(self, sequence: int) -> int:
        if self._open.pop(sequence, None) is not None:
            self.released.append(sequence)
        return 0

    def close(self) -> None:
        self._open.clear()


class _Running:
    __slots__ = ("done", "ended", "max_tokens", "pieces")

    def __init__(self, pieces: Sequence[tuple[int, str]], max_tokens: int) -> None:
        self.pieces = pieces
        self.max_tokens = max_tokens
        self.done = 0
        self.ended = False


def _advance(sequence: int, running: _Running) -> Step:
    if running.done == len(running.pieces):
        running.ended = True
        return Step(sequence, None, "", EndReason.STOP)
    token, text = running.pieces[running.done]
    running.done += 1
    running.ended = running.done == running.max_tokens
    return Step(sequence, token, text, EndReason.LENGTH if running.ended else None)
