"""The faults of a running emulator: which rules hold now, and what they have met. It must not know how one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from phi_emulator.faults.rules import Rule, read_rule
from phi_emulator.faults.state import FaultState
from phi_emulator.service.behaviour import Behaviour, CurrentBehaviour

__all__ = ["FaultCount", "Faults"]


@dataclass(frozen=True, slots=True)
class FaultCount:
    """A rule as a table, how many calls it was asked about, and how many of them met its fault."""

    rule: Mapping[str, Any]
    calls: int
    faults: int


class Faults:
    """The rules for faults and what they have met, to be changed at any time and from any thread.

    A change holds for requests that come after it. A scope is what a request has in `x-phi-scope`: rules may be those
    of one scope, and each scope has its own counts, so that tests that run side by side don't meet.
    """

    def __init__(self, behaviour: CurrentBehaviour) -> None:
        self._behaviour = behaviour
        self._first = behaviour.now.faults
        self.state = FaultState()
        """The counts."""

    def add(
        self,
        effect: str,
        *,
        times: int | None = None,
        when: Mapping[str, Any] | None = None,
        **parameters: float | str,
    ) -> None:
        """Add a rule behind the others: an effect with its parameters, at most so many `times`, `when` all that fits.

        What there is of each is in docs/reference/faults.md.

        Raises:
            FaultError: there is no such effect, parameter or condition, or a value can't be.
        """
        table: dict[str, Any] = {"effect": effect, **parameters}
        table |= {} if when is None else {"when": dict(when)}
        table |= {} if times is None else {"times": times}
        rule = read_rule(table)
        self._change(lambda rules: (*rules, rule))

    def set(self, rules: Sequence[Rule], *, scope: str | None = None) -> None:
        """Put `rules` in the place of all others; with a scope in the place of its own, and for it alone."""
        if scope is None:
            self._change(lambda _: tuple(rules))
            return
        own = tuple(replace(rule, when=replace(rule.when, scope=scope)) for rule in rules)
        self._change(lambda others: (*(rule for rule in others if rule.when.scope != scope), *own))

    def reset(self, *, scope: str | None = None) -> None:
        """Back to the rules of the start, and no counts; with a scope its own rules and counts are forgotten."""
        if scope is None:
            self._change(lambda _: self._first)
        else:
            self.set((), scope=scope)
        self.state.reset(scope)

    def counts(self, *, scope: str = "") -> list[FaultCount]:
        """The rules that hold in a scope, in their order, with what they have met there."""
        found = self.state.counts(self._behaviour.now.faults, scope)
        return [FaultCount(rule.table, count.calls, count.faults) for rule, count in found]

    @property
    def of_scopes(self) -> list[Mapping[str, Any]]:
        """The rules that hold in one scope alone, of all scopes, as tables."""
        return [rule.table for rule in self._behaviour.now.faults if rule.when.scope is not None]

    def _change(self, edit: Callable[[tuple[Rule, ...]], tuple[Rule, ...]]) -> None:
        def changed(behaviour: Behaviour) -> Behaviour:
            return replace(behaviour, faults=edit(behaviour.faults))

        self._behaviour.change(changed)
