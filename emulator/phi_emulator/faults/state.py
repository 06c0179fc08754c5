"""What rules have met so far: counts of calls and of hits, for each scope apart.

It must not know what a rule does. Chance is a function of the rule's place, its seed and the call's number, so that the
same rules and the same order of calls give the same hits, on every machine.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from phi_emulator.by_scope import ByScope
from phi_emulator.faults.rules import Call, Rule, When

__all__ = ["Counted", "Counts", "FaultState", "RuleState", "Taken", "visible"]


class Counted(Protocol):
    """A rule, as far as it is counted."""

    @property
    def when(self) -> When:
        """Which calls it is about."""
        ...

    @property
    def times(self) -> int | None:
        """How often it holds at most."""
        ...


R = TypeVar("R", bound=Counted)


@dataclass(slots=True)
class Counts:
    """How many calls a rule was asked about, and how many of them it was chosen for: `faults`, of a rule for faults."""

    calls: int = 0
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Taken(Generic[R]):
    """A rule that was chosen, and for how many calls it had been before."""

    rule: R
    before: int
    count: Counts
    counted: tuple[Counts, ...]
    """Of all that fitted."""


class RuleState(Generic[R]):
    """The counts of rules. A scope has its own, so that parallel tests don't meet. Threads may ask.

    Of a thousand scopes the one that was not used for longest is forgotten, and `gone` is told of it.
    """

    def __init__(self, gone: Callable[[str], object] = lambda _: None) -> None:
        self._scopes = ByScope[dict[R, Counts]](dict, lambda scope, _: gone(scope))
        self._lock = threading.Lock()

    def use(self, scope: str) -> None:
        """A scope has rules of its own now."""
        with self._lock:
            self._scopes.use(scope)

    def take(self, rules: Sequence[R], fits: Callable[[R, int], bool], scope: str = "") -> Taken[R] | None:
        """The first rule that fits, with how often it was chosen before, and is due. All that fit count the call."""
        with self._lock:
            counts = self._of(scope, rules)
            chosen: R | None = None
            before = 0
            counted: list[Counts] = []
            for place, rule in enumerate(visible(rules, scope)):
                count = counts.setdefault(rule, Counts())
                if not fits(rule, count.faults):
                    continue
                count.calls += 1
                counted.append(count)
                if chosen is None and _is_due(rule, place, count):
                    chosen, before = rule, count.faults
                    count.faults += 1
            return None if chosen is None else Taken(chosen, before, counts[chosen], tuple(counted))

    def give_back(self, taken: Taken[R]) -> None:
        """Count a choice no more: nothing came of it."""
        with self._lock:
            taken.count.faults -= 1
            for count in taken.counted:
                count.calls -= 1

    def counts(self, rules: Sequence[R], scope: str = "") -> list[tuple[R, Counts]]:
        """The rules that hold in a scope, with what they have met there."""
        with self._lock:
            known = self._scopes.look(scope) or {}
            return [
                (rule, Counts(found.calls, found.faults))
                for rule in visible(rules, scope)
                for found in [known.get(rule, Counts())]
            ]

    def reset(self, scope: str | None = None) -> None:
        """Forget what was met in a scope; without one in all."""
        with self._lock:
            self._scopes.forget(scope)

    def _of(self, scope: str, rules: Sequence[R]) -> dict[R, Counts]:
        counts = self._scopes.use(scope)
        if not counts.keys() <= set(rules):
            # Rules that are no more.
            counts = {rule: counts[rule] for rule in rules if rule in counts}
            self._scopes.put(scope, counts)
        return counts


class FaultState(RuleState[Rule]):
    """The counts of one emulator's rules for faults."""

    def choose(self, rules: Sequence[Rule], call: Call, scope: str = "") -> Rule | None:
        """The rule whose fault a call meets: the first that is due. All that fit count the call."""
        taken = self.take(rules, lambda rule, _: rule.when.fits(call) and rule.fault.suits(call), scope)
        return None if taken is None else taken.rule


def visible(rules: Sequence[R], scope: str) -> list[R]:
    """The rules of a scope and those of all: other scopes' must not change a rule's place."""
    return [rule for rule in rules if rule.when.scope in (None, scope)]


def _is_due(rule: Counted, place: int, count: Counts) -> bool:
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
