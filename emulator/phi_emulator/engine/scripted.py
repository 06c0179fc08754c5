"""A deterministic stand-in for a model: it answers what a function says, a piece at a time.

For tests, where the text must be known in advance. It never claims to be a model: its name is `scripted`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from phi_emulator.engine.errors import GuidanceError
from phi_emulator.engine.protocol import EndReason, EngineInfo, Marks, Message, Sampling, Step

__all__ = ["ScriptedEngine"]

_PIECES = re.compile(r"\w+|\W", re.ASCII)


class ScriptedEngine:
    """Answers with `reply(messages)`, one word or sign for each step.

    A prompt is one token for each piece of the messages' text, so its length can be foretold. `before_step` is called
    before each step; a test uses it to hold the engine still. With `marks` it takes any grammar, and answers as ever.
    """

    def __init__(
        self,
        reply: Callable[[Sequence[Message]], str],
        *,
        context_length: int = 4096,
        max_running: int = 4,
        before_step: Callable[[], None] = lambda: None,
        marks: Marks | None = None,
    ) -> None:
        self._reply = reply
        self._before_step = before_step
        self._vocabulary: list[str] = []
        self._ids: dict[str, int] = {}
        self._replies: dict[tuple[int, ...], str] = {}
        self._open: dict[int, _Script] = {}
        self._info = EngineInfo(
            model="scripted",
            source="a function of the program that started it",
            execution_provider="none",
            context_length=context_length,
            max_running=max_running,
            block_size=16,
            num_blocks=-(-context_length // 16) * max_running,
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
        prompt = [
            self._id(piece)
            for m in messages
            for piece in (f"<{m.role}>", *_PIECES.findall(m.content + m.calls + m.tools))
        ]
        self._replies[tuple(prompt)] = self._reply(messages)
        return prompt

    def prepare_guidance(self, grammar: str) -> None:
        self.check_guidance(grammar)

    def check_guidance(self, grammar: str) -> None:  # noqa: ARG002 - it is not looked at
        if self._info.marks is None:
            raise GuidanceError("the scripted engine follows no grammar")

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        self._open[sequence] = _Script(_PIECES.findall(self._replies[tuple(prompt)]), sampling.max_tokens)

    def step(self) -> Iterable[Step]:
        self._before_step()
        self.steps += 1
        return [
            self._advance(sequence, script) for sequence, script in self._open.items() if not script.ended
        ]

    def release(self, sequence: int) -> int:
        if self._open.pop(sequence, None) is not None:
            self.released.append(sequence)
        return 0

    def close(self) -> None:
        self._open.clear()

    def _advance(self, sequence: int, script: _Script) -> Step:
        if script.done == len(script.pieces):
            script.ended = True
            return Step(sequence, None, "", EndReason.STOP)
        piece = script.pieces[script.done]
        script.done += 1
        script.ended = script.done == script.max_tokens
        return Step(sequence, self._id(piece), piece, EndReason.LENGTH if script.ended else None)

    def _id(self, piece: str) -> int:
        if piece not in self._ids:
            self._ids[piece] = len(self._vocabulary)
            self._vocabulary.append(piece)
        return self._ids[piece]


class _Script:
    __slots__ = ("done", "ended", "max_tokens", "pieces")

    def __init__(self, pieces: list[str], max_tokens: int) -> None:
        self.pieces = pieces
        self.max_tokens = max_tokens
        self.done = 0
        self.ended = False
