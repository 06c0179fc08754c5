"""The profile of latency that a recording shows: when its streams began, how fast and how evenly they went on.

It must not know files. Times are in whole milliseconds, as they are recorded; what rounding adds to the jitter is taken
off again. Tokens are those of the usage, where a stream tells it; else each piece of text counts as one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import sqrt
from typing import Final

from phi_client.contract.events import are_events
from phi_emulator.latency.profile import MOST_CHUNK, MOST_JITTER, MOST_S, Profile
from phi_emulator.recordings.exchanges import RecordedExchange
from phi_emulator.recordings.rewriting import read_answer

__all__ = ["Measured", "NoStreamsError", "measure"]

_ROUNDING_MS2: Final = 1 / 6
"""The variance of a difference of two times that are rounded to milliseconds."""
_FEWEST: Final = 3
"""Streams of which a line is drawn through their prompts' lengths."""
_APART: Final = 2
"""How many times longer than the shortest the longest prompt must be for that."""
_CORRELATED: Final = 0.5


class NoStreamsError(ValueError):
    """There is nothing to measure; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A profile, and what it was measured by."""

    profile: Profile
    streams: int
    tokens: int
    left_out: int
    """Answers that were no stream, an error, or broke off."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """One stream: when its texts came, all of a moment together, and its tokens."""

    moments: Sequence[int]
    tokens: int
    prompt_tokens: int

    @property
    def each(self) -> float:
        """Tokens of a moment."""
        return self.tokens / len(self.moments)


def measure(exchanges: Iterable[RecordedExchange]) -> Measured:
    """The profile of the streams among `exchanges`.

    Raises:
        NoStreamsError: there is none.
    """
    found = [_read(exchange) for exchange in exchanges]
    streams = [one for one in found if one is not None]
    left_out = len(found) - len(streams)
    if not streams:
        raise NoStreamsError(
            f"there is no stream with a text among its {left_out} exchanges: record one with `stream`"
        )
    first_ms, prompt_ms, first_jitter = _first(streams)
    gaps = [later - earlier for stream in streams for earlier, later in pairwise(stream.moments)]
    # Those of the first moment were there at its beginning.
    after = sum(stream.tokens - stream.each for stream in streams)
    gap_ms = sum(gaps) / after if after else 0.0
    chunk = sum(stream.tokens for stream in streams) / sum(len(stream.moments) for stream in streams)
    jitter = _spread(gaps) / statistics.fmean(gaps) if len(gaps) > 1 and any(gaps) else 0.0
    profile = Profile(
        first_s=min(round(first_ms, 1) / 1000, MOST_S),
        prompt_s=round(prompt_ms, 4) / 1000,
        gap_s=min(round(gap_ms, 3) / 1000, MOST_S),
        jitter=min(round(jitter, 3), MOST_JITTER),
        first_jitter=min(round(first_jitter, 3), MOST_JITTER),
        chunk=max(1, min(round(chunk), MOST_CHUNK)),
    )
    return Measured(profile, len(streams), sum(stream.tokens for stream in streams), left_out)


def _read(exchange: RecordedExchange) -> _Stream | None:
    if not are_events(exchange.body):
        return None
    told = read_answer(exchange)
    pieces = [] if told is None else [one for one in told.pieces if one.reasoning or one.content or one.calls]
    if told is None or not pieces:
        return None
    moments = [ms for ms, _ in groupby(pieces, key=lambda piece: piece.ms)]
    usage = told.usage
    tokens = len(pieces) if usage is None else max(usage.completion_tokens, len(moments))
    return _Stream(moments, tokens, 0 if usage is None else usage.prompt_tokens)


def _first(streams: Sequence[_Stream]) -> tuple[float, float, float]:
    """Milliseconds until the first token, beside them for each token of the prompt, and the jitter around both."""
    firsts = [float(stream.moments[0]) for stream in streams]
    prompts = [float(stream.prompt_tokens) for stream in streams]
    fixed, each = statistics.fmean(firsts), 0.0
    if len(streams) >= _FEWEST and max(prompts) >= _APART * max(min(prompts), 1) and len(set(firsts)) > 1:
        slope, intercept = statistics.linear_regression(prompts, firsts)
        if slope > 0 and intercept >= 0 and statistics.correlation(prompts, firsts) >= _CORRELATED:
            fixed, each = intercept, slope
    off = [first / max(fixed + each * prompt, 1) - 1 for first, prompt in zip(firsts, prompts, strict=True)]
    return fixed, each, statistics.stdev(off) if len(off) > 1 else 0.0


def _spread(gaps: Sequence[int]) -> float:
    """The standard deviation of gaps, without what rounding adds to it."""
    return sqrt(max(statistics.variance(gaps) - _ROUNDING_MS2, 0.0))
