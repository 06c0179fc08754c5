"""Which rules of a script came near to a request that none was about, and what kept each from it.

It must not quote the request.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from phi_emulator.faults.state import Counts
from phi_emulator.scripts.asked import Asked
from phi_emulator.scripts.matching import Miss, SlowRegexError
from phi_emulator.scripts.rules import Rule

__all__ = ["NearMiss", "near_misses", "rule_name"]

_MOST: Final = 3
_MOST_SECONDS: Final = 2.0
"""In which rules are looked at: a thousand long ones take less."""
_NEAR: Final = 0.5
"""How near the furthest of a rule's conditions has to come."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A rule that was nearly about a request."""

    rule: str
    """Its number among the rules of its scope, from 1, and where it stands."""
    reasons: tuple[str, ...]
    """What kept it from it."""

    def __str__(self) -> str:
        return f"{self.rule}: {', '.join(self.reasons)}"


def rule_name(number: int, rule: Rule) -> str:
    """A rule in a few words: its number among those of its scope, from 1, and its place if it has one."""
    return f"rule {number} ({rule.place})" if rule.place else f"rule {number}"


def near_misses(rules: Iterable[tuple[Rule, Counts]], asked: Asked) -> list[NearMiss]:
    """Those of the rules that came nearest, the nearest first; a few at most."""
    found: list[tuple[float, NearMiss]] = []
    deadline = time.perf_counter() + _MOST_SECONDS
    for number, (rule, count) in enumerate(rules, 1):
        if time.perf_counter() > deadline:
            break
        misses = [*_misses(rule, count, asked)]
        nearness = min((miss.nearness for miss in misses), default=1.0) - 0.01 * max(0, len(misses) - 1)
        if nearness >= _NEAR:
            found.append((nearness, NearMiss(rule_name(number, rule), tuple(miss.why for miss in misses))))
    found.sort(key=lambda pair: -pair[0])
    return [near for _, near in found[:_MOST]]


def _misses(rule: Rule, count: Counts, asked: Asked) -> Iterator[Miss]:
    when, call = rule.when, asked.call
    for name, wanted, has in (
        ("surface", when.surface, call.surface),
        ("deployment", when.deployment, call.deployment),
    ):
        if wanted not in (None, has):
            yield Miss(f"`when.{name}` is {wanted}, and this is {has}", 0.8)
    if not when.fits(call) and when.surface in (None, call.surface):
        yield Miss("`when` wants another route, deployment or header", 0.8)
    for condition in rule.conditions.values():
        try:
            if not condition.holds(asked):
                yield condition.miss(asked)
        except SlowRegexError as error:
            yield Miss(str(error), 0.9)
    fault = rule.reply(count.faults).fault
    reason = None if fault is None else fault.reason_against(call)
    if reason is not None:
        yield Miss(reason, 0.8)
    if rule.times is not None and count.faults >= rule.times:
        yield Miss(f"it has answered {count.faults} times, and has no answer left", 0.97)
    elif rule.when.call != (1, None) or rule.when.every != 1 or rule.when.probability < 1:
        yield Miss(f"`when` leaves its call {count.calls} out", 0.9)
