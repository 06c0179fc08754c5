"""What the benchmark's figures must reach, and which do. It must not know how they were taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from phi_emulator.bench.report import Report, Table, markdown

__all__ = ["Verdict", "bars_table", "verdicts"]

_LARGE: Final = 1_000_000_000
"""Bytes of a loaded model from which on it counts as one of the real size."""
_SHORT_STEPS: Final = 200
"""Tokens a second from which on what a step costs beside the model is a larger part of it."""
_PROMPT_S: Final = 0.005
_LEAK: Final = 0.01, 8_000_000
"""What memory may grow by and still be called the same: the larger of a share and of so many bytes."""


class Verdict(NamedTuple):
    """A figure beside what it must reach."""

    figure: str
    measured: str
    bar: str
    holds: bool
    part: float | None = None
    """The measured in parts of the bar, where both are more than counts that must be 0."""


def verdicts(report: Report) -> Iterator[Verdict]:
    """Every figure that has a bar and was measured."""
    yield from _speed(report)
    yield from _prefixes(report)
    yield from _smoothness(report)
    yield from _robustness(report)
    yield from _repeats(report)


def bars_table(report: Report) -> str:
    """The verdicts as Markdown."""
    rows = [(v.figure, v.measured, v.bar, "yes" if v.holds else "no") for v in verdicts(report)]
    return markdown(Table(("Figure", "Measured", "Bar", "Holds"), rows))


def _speed(report: Report) -> Iterator[Verdict]:
    is_large = report.weights_bytes >= _LARGE
    if 1 in report.sides:
        raw, served = report.sides[1]
        bar = 0.97 if is_large else 0.93 if raw.tokens_a_second >= _SHORT_STEPS else 0.95
        yield _at_least(
            "one conversation, to the bare engine", served.tokens_a_second / raw.tokens_a_second, bar
        )
    if is_large and {1, 4} <= report.sides.keys():
        four, one = report.sides[4][1].tokens_a_second, report.sides[1][1].tokens_a_second
        yield _at_least("four conversations, to one", four / one, 1.5)


def _prefixes(report: Report) -> Iterator[Verdict]:
    if report.first_cold_s:
        second, alternating = report.first_second_turn_s, report.first_alternating_s
        yield _at_most("first token of a second turn, to an unseen one", second / report.first_cold_s, 0.1)
        yield _at_most(
            "first token of chats that alternate, to an unseen one", alternating / report.first_cold_s, 0.15
        )


def _smoothness(report: Report) -> Iterator[Verdict]:
    if report.worst_gap_ratio is not None:
        name = f"worst gap while {report.newcomer_tokens} tokens join, to the normal gap"
        yield _at_most(name, report.worst_gap_ratio, 12.0)
    for name, spread, which, label in (
        ("event loop's delay while four streams run", report.loop_delay_s, 2, "99 %"),
        ("health route while four streams run", report.health_s, 1, "95 %"),
    ):
        if spread:
            late = spread[which]
            measured, is_prompt = f"{late * 1000:.1f} ms", late < _PROMPT_S
            yield Verdict(f"{name}, {label}", measured, "under 5 ms", is_prompt, late / _PROMPT_S)
    if report.hang_up_steps:
        median, most = report.hang_up_steps[:2]
        yield Verdict(
            "chunks begun after a hang-up in a long prompt, median and 95 %",
            f"{median:.0f} and {most:.0f}",
            "0 and at most 1",
            median == 0 and most <= 1,
        )


def _robustness(report: Report) -> Iterator[Verdict]:
    if report.requests:
        measured = f"{report.answered} answered, {report.refused} refused, {report.lost} lost"
        yield Verdict(
            f"{report.requests} requests, {report.at_a_time} at once", measured, "none lost", report.lost == 0
        )
    if report.hang_ups:
        left = report.left_running + report.left_waiting
        yield Verdict(f"places left taken by {report.hang_ups} hang-ups", str(left), "0", left == 0)
        before, after = report.hang_up_bytes
        if before and after:
            grown, allowed = after - before, max(_LEAK[0] * before, _LEAK[1])
            yield Verdict(
                f"memory left taken by {report.hang_ups} hang-ups",
                f"{grown / 1e6:.1f} MB",
                f"{allowed / 1e6:.1f} MB, what it moves by anyway",
                grown <= allowed,
                max(grown, 0) / allowed,
            )


def _repeats(report: Report) -> Iterator[Verdict]:
    if report.repeats and report.deterministic:
        name = f"texts of one seed in {report.repeats} runs, alone and beside others"
        yield Verdict(name, str(report.different_texts), "1", report.different_texts == 1)


def _at_least(figure: str, measured: float, bar: float) -> Verdict:
    return Verdict(figure, f"{measured:.2f}", f"at least {bar:g}", measured >= bar, measured / bar)


def _at_most(figure: str, measured: float, bar: float) -> Verdict:
    return Verdict(figure, f"{measured:.2f}", f"at most {bar:g}", measured <= bar, measured / bar)
