"""What rules have met so far: counts of calls and of faults, for each scope apart.

It must not know what a fault is. Chance is a function of the rule's place, its seed and the call's number, so that the
same rules and the same order of calls give the same faults, on every machine.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from phi_emulator.faults.rules import Call, Rule

__all__ = ["Counts", "FaultState"]

_MOST_SCOPES: Final = 1000


@dataclass(slots=True)
class Counts:
    """How many calls a rule was asked about, and how many of them met its fault."""

    calls: int = 0
    faults: int = 0


class FaultState:
    """The counts of one emulator's rules. A scope has its own, so that parallel tests don't meet. Threads may ask.

    Of a thousand scopes the one that was not used for longest is forgotten.
    """

    def __init__(self) -> None:
        self._scopes: OrderedDict[str, dict[Rule, Counts]] = OrderedDict()
        self._lock = threading.Lock()

    def choose(self, rules: Sequence[Rule], call: Call, scope: str = "") -> Rule | None:
        """The rule whose fault a call meets: the first that is due. All that fit count the call."""
        with self._lock:
            counts = self._of(scope, rules)
            chosen: Rule | None = None
            for place, rule in enumerate(_visible(rules, scope)):
                if not rule.when.fits(call) or not rule.fault.suits(call):
                    continue
                count = counts.setdefault(rule, Counts())
                count.calls += 1
                if chosen is None and _is_due(rule, place, count):
                    chosen = rule
                    count.faults += 1
            return chosen

    def counts(self, rules: Sequence[Rule], scope: str = "") -> list[tuple[Rule, Counts]]:
        """The rules that hold in a scope, with what they have met there."""
        with self._lock:
            known = self._scopes.get(scope, {})
            return [
                (rule, Counts(found.calls, found.faults))
                for rule in _visible(rules, scope)
                for found in [known.get(rule, Counts())]
            ]

    def reset(self, scope: str | None = None) -> None:
        """Forget what was met in a scope; without one in all."""
        with self._lock:
            if scope is None:
                self._scopes.clear()
            else:
                self._scopes.pop(scope, None)

    def _of(self, scope: str, rules: Sequence[Rule]) -> dict[Rule, Counts]:
        counts = self._scopes.setdefault(scope, {})
        self._scopes.move_to_end(scope)
        if len(self._scopes) > _MOST_SCOPES:
            self._scopes.popitem(last=False)
        if not counts.keys() <= set(rules):
            # Rules that are no more.
            counts = self._scopes[scope] = {rule: counts[rule] for rule in rules if rule in counts}
        return counts


def _visible(rules: Sequence[Rule], scope: str) -> list[Rule]:
    """The rules of a scope and those of all: other scopes' must not change a rule's place."""
    return [rule for rule in rules if rule.when.scope in (None, scope)]


def _is_due(rule: Rule, place: int, count: Counts) -> bool:
    when = rule.when
    first, last = when.call
    if count.calls < first or (last is not None and count.calls > last):
        return False
    if (count.calls - first + 1) % when.every:
        return False
    if rule.times is not None and count.faults >= rule.times:
        return False
    return when.probability >= 1 or _chance(when.seed, place, count.calls) < when.probability


def _chance(seed: int, place: int, call: int) -> float:
    """A number in [0, 1)."""
    digest = hashlib.sha256(f"{seed} {place} {call}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
