"""The numbers of a benchmark, as a table for people and as JSON. It must not know how they were taken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

__all__ = ["Report", "Side", "Spread", "Table", "markdown", "milliseconds"]

Spread = tuple[float, float, float, float]
_Row = tuple[str, str, str]


class Side(NamedTuple):
    """One side of a comparison."""

    first_s: float
    tokens_a_second: float


class Table(NamedTuple):
    """Cells as they are shown."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(slots=True)
class Report:
    """What was measured; times in seconds, spreads as median, 95th and 99th percentile, worst."""

    model: str
    fingerprint: str
    batching: str
    max_running: int
    weights_bytes: int
    """Memory that the model takes by experience: whether it is one of the real size."""
    deterministic: bool
    resident_bytes_before: int | None
    sides: dict[int, tuple[Side, Side]] = field(default_factory=dict[int, tuple[Side, Side]])
    """By conversations at once: the bare engine, and the emulator over HTTP."""
    gap_normal_s: float | None = None
    gaps_joining_s: Spread | None = None
    worst_gap_ratio: float | None = None
    """The worst gap while a newcomer joined, to the normal one, of the middle round."""
    newcomer_tokens: int = 0
    first_cold_s: float = 0.0
    first_second_turn_s: float = 0.0
    first_alternating_s: float = 0.0
    health_s: Spread | None = None
    loop_delay_s: Spread | None = None
    """By how much the event loop is late, noted in the serving process."""
    chunk_s: float = 0.0
    """How long one chunk of a long prompt takes alone."""
    hang_up_streamed_s: Spread | None = None
    hang_up_whole_s: Spread | None = None
    """From hanging up inside a long prompt to an idle engine."""
    hang_up_steps: Spread | None = None
    """Chunks that began after hanging up inside a long prompt."""
    hang_ups: int = 0
    hang_up_bytes: tuple[int | None, int | None] = (None, None)
    """Memory after the first of them, and after the last."""
    left_running: int = 0
    left_waiting: int = 0
    requests: int = 0
    at_a_time: int = 0
    answered: int = 0
    refused: int = 0
    lost: int = 0
    repeats: int = 0
    different_texts: int = 0
    counts: dict[str, int] = field(default_factory=dict[str, int])
    resident_bytes_after: int | None = None

    def to_json(self, bars: Sequence[NamedTuple] = ()) -> str:
        """All numbers, and what was made of them."""
        return json.dumps(asdict(self) | {"bars": [bar._asdict() for bar in bars]}, indent=1)

    def to_table(self) -> str:
        """The numbers as Markdown."""
        return "\n\n".join([self.heading, *map(markdown, self.tables())])

    @property
    def heading(self) -> str:
        """What was measured, in a line."""
        return f"{self.model}, {self.batching} batching, {self.max_running} at once, {self.fingerprint}"

    def tables(self) -> Iterator[Table]:
        """The numbers as they are shown."""
        if self.sides:
            yield Table(
                (
                    "At once",
                    "First token, bare",
                    "emulator",
                    "Tokens a second, bare",
                    "emulator",
                    "to bare",
                    "to one at once",
                ),
                [*self._throughput()],
            )
        yield Table(("Measured", "Value", "Ratio"), [*self._others()])

    def _throughput(self) -> Iterator[tuple[str, ...]]:
        one = self.sides[min(self.sides)][1].tokens_a_second
        for number, (raw, served) in self.sides.items():
            yield (
                str(number),
                milliseconds(raw.first_s),
                milliseconds(served.first_s),
                f"{raw.tokens_a_second:.0f}",
                f"{served.tokens_a_second:.0f}",
                f"{served.tokens_a_second / raw.tokens_a_second:.2f}",
                f"{served.tokens_a_second / one:.2f}",
            )

    def _others(self) -> Iterator[_Row]:
        yield from self._first_tokens()
        yield from self._gaps()
        yield from self._spreads()
        if self.requests:
            ends = f"{self.answered} / {self.refused} / {self.lost}"
            yield "requests answered / refused with 429 / lost", ends, ""
        if self.repeats:
            yield f"texts of one seed in {self.repeats} runs", str(self.different_texts), ""
        if self.resident_bytes_before and self.resident_bytes_after:
            before, after = self.resident_bytes_before / 1e6, self.resident_bytes_after / 1e6
            yield "memory before / after", f"{before:.0f} / {after:.0f} MB", f"{after / before:.2f}"

    def _first_tokens(self) -> Iterator[_Row]:
        for name, value in (
            ("first token of an unseen prompt", self.first_cold_s),
            ("first token of a second turn", self.first_second_turn_s),
            ("first token of chats that alternate", self.first_alternating_s),
        ):
            if value:
                yield name, milliseconds(value), f"{value / self.first_cold_s:.2f}"
        if self.chunk_s:
            yield "one chunk of an unseen prompt", milliseconds(self.chunk_s), ""

    def _gaps(self) -> Iterator[_Row]:
        if self.gap_normal_s and self.gaps_joining_s:
            yield "gap between tokens, three streams", milliseconds(self.gap_normal_s), "1"
            for name, gap in zip(("median", "95 %", "99 %", "worst"), self.gaps_joining_s, strict=True):
                yield f"{name} while a newcomer joins", milliseconds(gap), f"{gap / self.gap_normal_s:.1f}"

    def _spreads(self) -> Iterator[_Row]:
        for title, spread in (
            ("health route while four streams run", self.health_s),
            ("event loop's delay while four streams run", self.loop_delay_s),
            ("from hanging up in a long prompt to an idle engine, streamed", self.hang_up_streamed_s),
            ("the same, not streamed", self.hang_up_whole_s),
        ):
            if spread:
                yield f"{title}, median / 95 % / 99 % / worst", " / ".join(map(milliseconds, spread)), ""


def markdown(table: Table) -> str:
    """A table as Markdown."""
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def milliseconds(seconds: float) -> str:
    """A time as it is shown."""
    return f"{seconds * 1000:.1f} ms"
