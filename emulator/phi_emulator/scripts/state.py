"""What a script has met: how often its rules answered, and which requests no rule was about. Each scope apart.

It must not know rules' files, or who asks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from phi_emulator.by_scope import ByScope
from phi_emulator.faults.state import Counts, RuleState, Taken
from phi_emulator.scripts.asked import Asked
from phi_emulator.scripts.near import NearMiss, near_misses
from phi_emulator.scripts.rules import Missed, Rule

__all__ = ["ScriptState", "Unmatched"]

_MOST_UNMATCHED: Final = 100


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A request that no rule was about. Nothing of its text is kept."""

    request_id: str
    """As the client knows it."""
    turn: int
    """Which answer of the conversation was asked for."""
    letters: int
    """Of its last message."""
    became: Missed
    """Whether it failed, or the model answered."""
    rules: int
    """How many there were in its scope."""
    near: tuple[NearMiss, ...]
    """The rules that came nearest, the nearest first."""

    def __str__(self) -> str:
        nearest = "; ".join(map(str, self.near)) or "none comes near"
        counted = (
            f"of {self.rules} rule{'s' if self.rules != 1 else ''} none is about turn {self.turn} with a last"
        )
        return f"{counted} message of {self.letters} letters: {nearest}"


class ScriptState:
    """The counts and misses of one emulator's scripts. Threads may ask."""

    def __init__(self, gone: Callable[[str], object] = lambda _: None) -> None:
        self._rules = RuleState[Rule](gone)
        self._unmatched = ByScope[deque[Unmatched]](lambda: deque(maxlen=_MOST_UNMATCHED))
        self._lock = threading.Lock()

    def take(self, rules: Sequence[Rule], asked: Asked) -> Taken[Rule] | None:
        """The first rule that is about a request and has an answer left. All that are count it.

        Raises:
            SlowRegexError: it can't be said.
        """
        return self._rules.take(rules, lambda rule, before: rule.fits(asked, before), asked.scope)

    def use(self, scope: str) -> None:
        """A scope has rules of its own now."""
        self._rules.use(scope)

    def give_back(self, taken: Taken[Rule]) -> None:
        """Let an answer be given again: nothing came of it."""
        self._rules.give_back(taken)

    def miss(self, rules: Sequence[Rule], asked: Asked, request_id: str, became: Missed) -> Unmatched:
        """Note that no rule was about a request, and say which were nearly. Takes time with the rules."""
        near = near_misses(self._rules.counts(rules, asked.scope), asked)
        found = Unmatched(request_id, asked.turn, len(asked.question), became, len(rules), tuple(near))
        with self._lock:
            self._unmatched.use(asked.scope).append(found)
        return found

    def counts(self, rules: Sequence[Rule], scope: str) -> list[tuple[Rule, Counts]]:
        """The rules with what they have met in a scope."""
        return self._rules.counts(rules, scope)

    def unmatched(self, scope: str) -> list[Unmatched]:
        """The last requests of a scope that no rule was about, in their order."""
        with self._lock:
            return [*(self._unmatched.look(scope) or ())]

    def reset(self, scope: str | None) -> None:
        """Forget what was met in a scope; without one in all."""
        self._rules.reset(scope)
        with self._lock:
            self._unmatched.forget(scope)
