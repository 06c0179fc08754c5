"""Any engine, with the gift of reciting: where a sequence has a recital, that is said in the engine's place.

The others run as ever, and all take their steps together. A recital costs no model step: with nothing but recitals
open, the engine behind isn't asked. It must not know where recitals come from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from phi_emulator.engine.protocol import (
    EndReason,
    Engine,
    EngineInfo,
    Message,
    Recital,
    Sampling,
    Step,
)

__all__ = ["Reciting"]

_KEPT_TEXTS: Final = 64


class Reciting:
    """`engine`, and what it recites."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recited: dict[int, deque[list[Step]]] = {}
        self._modelled: set[int] = set()
        self._pieces = lru_cache(_KEPT_TEXTS)(engine.pieces)

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return self._engine.encode(messages)

    def prepare_guidance(self, grammar: str) -> None:
        self._engine.prepare_guidance(grammar)

    def check_guidance(self, grammar: str) -> None:
        self._engine.check_guidance(grammar)

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:
        return self._engine.pieces(text)

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        if sampling.recital is None:
            self._engine.open(sequence, prompt, sampling)
            self._modelled.add(sequence)
        else:
            pieces = self._pieces(sampling.recital.text)
            self._recited[sequence] = deque(_steps(sequence, sampling.recital, pieces, sampling.max_tokens))

    def step(self) -> Iterable[Step]:
        if self._recited:
            return self._step_together()
        return self._engine.step() if self._modelled else ()

    def _step_together(self) -> Iterator[Step]:
        for steps in list(self._recited.values()):  # one may be released meanwhile
            if steps:
                yield from steps.popleft()
        if self._modelled:
            yield from self._engine.step()

    def release(self, sequence: int) -> int:
        if self._recited.pop(sequence, None) is not None:
            return 0
        self._modelled.discard(sequence)
        return self._engine.release(sequence)

    def close(self) -> None:
        self._recited.clear()
        self._engine.close()


def _steps(
    sequence: int, recital: Recital, pieces: Sequence[tuple[int, str]], max_tokens: int
) -> Iterator[list[Step]]:
    """What each step gives: a token, and as many pieces as it completes."""
    is_whole = len(pieces) < max_tokens
    said = "".join(text for _, text in pieces[:max_tokens])
    ends = iter([] if recital.cuts is None else [end for end in recital.cuts if end < len(said)])
    end, shown, length = next(ends, len(said)), 0, 0
    for number, (token, text) in enumerate(pieces[:max_tokens], 1):
        length += len(text)
        is_last = number == max_tokens
        texts = [text] if recital.cuts is None else list[str]()
        while recital.cuts is not None and shown < length and end <= length:
            texts.append(said[shown:end])
            shown, end = end, next(ends, len(said))
        first, *others = texts or [""]
        steps = [Step(sequence, token, first), *(Step(sequence, None, other) for other in others)]
        if is_last:
            steps[-1] = steps[-1]._replace(end=EndReason.LENGTH)
        yield steps
    if is_whole:
        yield [Step(sequence, None, "", recital.end)]
