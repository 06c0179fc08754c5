"""How a turn of GenAI's Engine is begun: its options from a request's, and a turn that anybody might begin.

Takes the native package from `ort`, which alone imports it; knows nothing of what the turn gives.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from phi_emulator.engine.errors import EngineFailedError
from phi_emulator.engine.native.decoding import TokenDecoder
from phi_emulator.engine.native.drafts import Drafter
from phi_emulator.engine.native.native_errors import refusal, short_words
from phi_emulator.engine.native.native_sampling import native_sampling
from phi_emulator.engine.native.prompt_parts import Reading
from phi_emulator.engine.protocol import Sampling

__all__ = ["OpenTurn", "begin_turn", "marked"]


@dataclass(slots=True)
class OpenTurn:
    """A sequence that was begun, and what is known of it."""

    request: Any
    turn: int
    decoder: TokenDecoder
    sampling: Sampling
    reading: Reading
    drafter: Drafter | None
    room: int = field(init=False)
    """Tokens that it may still give."""
    has_begun: bool = False
    """Whether its prompt is taken in."""
    has_ended: bool = False
    """Whether its turn came to its own end."""

    def __post_init__(self) -> None:
        self.room = self.sampling.max_tokens

    @property
    def grammar(self) -> str:
        """What the answer is held to, or nothing."""
        return self.sampling.guidance or ""

    def take(self, token: int | None) -> str:
        """The text that a generated token completes, if there is one."""
        if token is None:
            return ""
        self.has_begun = True
        self.room -= 1
        self.reading.add(token)
        if self.drafter is not None:
            self.drafter.add(token)
        return self.decoder.feed(token)


def begin_turn(
    og: Any, engine: Any, prompt: Sequence[int], sampling: Sampling, vocabulary: int, *, has_seeds: bool
) -> tuple[Any, int]:
    """A native request, and the number of its turn.

    Raises:
        GuidanceError, SequenceError: it is refused.
        EngineFailedError: the engine is broken.
    """
    request: Any = None
    try:
        options = og.RequestOptions()
        options.set_max_session_tokens(len(prompt) + sampling.max_tokens)
        request = engine.create_request(options=options)
        return request, request.begin_turn(
            list(prompt), _options(og, request, sampling, vocabulary, has_seeds=has_seeds)
        )
    except Exception as error:
        # Whatever it refuses, it refuses to this sequence alone, unless it is not well.
        if request is not None:
            request.close()
        _check_health(og, engine)
        raise refusal(sampling, error) from error


def _options(og: Any, request: Any, sampling: Sampling, vocabulary: int, *, has_seeds: bool) -> Any:
    """The native options of a turn. What the native side refuses of them it raises."""
    turn = og.TurnOptions(request)
    turn.set_max_generated_tokens(sampling.max_tokens)
    native = native_sampling(sampling, vocabulary)
    turn.set_do_sample(not native.is_greedy)
    if not native.is_greedy:
        turn.set_temperature(native.temperature)
        turn.set_top_p(native.top_p)
        turn.set_top_k(native.top_k)
        if has_seeds:
            turn.set_seed(secrets.randbits(32) if sampling.seed is None else sampling.seed & (2**63 - 1))
    if sampling.guidance is not None:
        turn.set_guidance("lark_grammar", sampling.guidance)
    return turn


def marked(prompt: Sequence[int], max_tokens: int, short_positions: int | None, vocabulary: int) -> list[int]:
    """The ids for the native engine; with long RoPE they say which rotary table the sequence gets.

    It is the longer where prompt and answer may outgrow the shorter; the answer's last token takes no position.
    """
    ids = list(prompt)
    if ids and short_positions is not None and len(ids) + max_tokens - 1 > short_positions:
        ids[0] += vocabulary
    return ids


def _check_health(og: Any, engine: Any) -> None:
    """See whether the native engine takes what it must take.

    Raises:
        EngineFailedError: it doesn't.
    """
    try:
        request = engine.create_request(options=og.RequestOptions())
        turn = og.TurnOptions(request)
        turn.set_max_generated_tokens(1)
        request.begin_turn([0], turn)
        request.close()
    except Exception as error:
        raise EngineFailedError(f"the native engine takes nothing any more: {short_words(error)}") from error
