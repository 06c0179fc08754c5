"""The numbers of a benchmark, as a table for people and as JSON. It must not know how they were taken."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

__all__ = ["Report", "Side"]

Spread = tuple[float, float, float, float]


class Side(NamedTuple):
    """One side of a comparison."""

    first_s: float
    tokens_a_second: float


@dataclass(slots=True)
class Report:
    """What was measured; times in seconds, spreads as median, 95th and 99th percentile, worst."""

    model: str
    fingerprint: str
    batching: str
    resident_bytes_before: int | None
    sides: dict[int, tuple[Side, Side]] = field(default_factory=dict[int, tuple[Side, Side]])
    """By conversations at once: the bare engine, and the emulator over HTTP."""
    gap_normal_s: float | None = None
    gaps_joining_s: Spread | None = None
    first_cold_s: float = 0.0
    first_second_turn_s: float = 0.0
    first_alternating_s: float = 0.0
    health_s: Spread | None = None
    cancel_to_idle_s: Spread | None = None
    answered: int = 0
    refused: int = 0
    lost: int = 0
    counts: dict[str, int] = field(default_factory=dict[str, int])
    resident_bytes_after: int | None = None

    def to_json(self) -> str:
        """All numbers."""
        return json.dumps(asdict(self), indent=1)

    def to_table(self) -> str:
        """The numbers as Markdown."""
        lines = [f"{self.model}, {self.batching} batching, {self.fingerprint}", "", *self._throughput(), ""]
        lines += ["| Measured | Value | Ratio |", "| --- | --- | --- |", *self._others()]
        return "\n".join(lines)

    def _throughput(self) -> list[str]:
        lines = [
            "| At once | First token, bare | emulator | Tokens a second, bare | emulator | to bare | to one at once |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        one = self.sides[min(self.sides)][1].tokens_a_second
        for number, (raw, served) in self.sides.items():
            lines.append(
                f"| {number} | {_ms(raw.first_s)} | {_ms(served.first_s)} | {raw.tokens_a_second:.0f} "
                f"| {served.tokens_a_second:.0f} | {served.tokens_a_second / raw.tokens_a_second:.2f} "
                f"| {served.tokens_a_second / one:.2f} |"
            )
        return lines

    def _others(self) -> list[str]:
        rows = [("first token of an unseen prompt", _ms(self.first_cold_s), "1")]
        for name, value in (
            ("first token of a second turn", self.first_second_turn_s),
            ("first token of chats that alternate", self.first_alternating_s),
        ):
            rows.append((name, _ms(value), f"{value / self.first_cold_s:.2f}"))
        if self.gap_normal_s and self.gaps_joining_s:
            rows.append(("gap between tokens, three streams", _ms(self.gap_normal_s), "1"))
            for name, gap in zip(("median", "95 %", "99 %", "worst"), self.gaps_joining_s, strict=True):
                rows.append((f"{name} while a newcomer joins", _ms(gap), f"{gap / self.gap_normal_s:.1f}"))
        for title, spread in (
            ("health route while four streams run", self.health_s),
            ("from hanging up to an idle engine", self.cancel_to_idle_s),
        ):
            if spread:
                rows.append((f"{title}, median / 95 % / 99 % / worst", " / ".join(map(_ms, spread)), ""))
        rows.append(
            (
                "requests answered / refused with 429 / lost",
                f"{self.answered} / {self.refused} / {self.lost}",
                "",
            )
        )
        if self.resident_bytes_before and self.resident_bytes_after:
            before, after = self.resident_bytes_before / 1e6, self.resident_bytes_after / 1e6
            rows.append(("memory before / after", f"{before:.0f} / {after:.0f} MB", f"{after / before:.2f}"))
        return [f"| {name} | {value} | {ratio} |" for name, value, ratio in rows]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
