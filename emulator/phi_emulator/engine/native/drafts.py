"""Drafts by prompt lookup: where the last tokens stood before, what followed them may follow again.

Knows tokens and seconds; knows nothing of models, engines or clocks. A model checks several drafts in one step, which
costs more than a plain step and less than several. With the odds `a` that a draft comes true, and a cost of `c` plain
steps for each,

    a step of k drafts gives    1 + a + a² + … + aᵏ    tokens
    and takes                   1 + c · k              plain steps

so drafts pay where `a` is above `c`, if the steps aren't so short that looking for drafts counts. All is measured while
it runs:

    drafting ──a falls to c──► off ──after c / 1 % tokens──► one draft, as a try ──► either
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import Final

__all__ = ["LENGTH", "Drafter", "Lookup", "Payoff"]

LENGTH: Final = 3
"""Tokens that must have stood together before. After one or two, the bundled model's traces went on as before in 30 and
34 % of cases, which is what a draft costs; after three or more in 58 %."""
_STEPS: Final = 5
"""Steps whose median time counts: one that another program disturbed changes nothing, a growing context soon does."""
_WEIGHT: Final = 1 / 16
"""Of the newest draft in the odds."""
_FIRST_ODDS: Final = 0.5
"""Before there was a draft: enough for some tries."""
_FIRST_COST: Final = 0.3
"""Before there was a draft: about what layers of Phi-4-mini's size were measured to take."""
_TRIES: Final = 0.01
"""What tries may cost, as a part of all steps, while drafts don't pay."""
_SHORT_S: Final = 0.002
"""Below it a step is left alone: looking drafts up and telling the engine take some hundredth of a millisecond."""


class Lookup:
    """A text's tokens, and where each `LENGTH` of them were last followed by something."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens = list(tokens)
        self._next: dict[tuple[int, ...], int] = {}
        self._known = LENGTH
        """Up to where the tokens before each token are remembered."""

    @property
    def remembered(self) -> int:
        """How many runs of tokens are remembered: never more than there are tokens."""
        return len(self._next)

    def add(self, token: int) -> None:
        """Append a token."""
        self._tokens.append(token)

    def find(self, most: int) -> list[int]:
        """Up to `most` tokens that followed when the text's last ones stood there before; none if they never did.

        What reaches the text's end goes on with itself, as a text that repeats does. Each token is looked at once.
        """
        tokens = self._tokens
        for at in range(self._known, len(tokens)):
            self._next[tuple(tokens[at - LENGTH : at])] = at
        self._known = max(self._known, len(tokens))
        start = self._next.get(tuple(tokens[-LENGTH:]))
        if start is None:
            return []
        found = tokens[start : start + most]
        return [found[i % len(found)] for i in range(most)]


class Payoff:
    """What drafts cost and how many come true; decides how many to make. For all sequences of one engine."""

    def __init__(self) -> None:
        self._plain: deque[float] = deque(maxlen=_STEPS)
        self._costs: deque[float] = deque(maxlen=_STEPS)
        self._cost = _FIRST_COST
        self._odds = _FIRST_ODDS
        self._passed = 0

    def choose(self, most: int) -> int:
        """How many drafts to look for, `most` at most."""
        odds, cost = self._odds, self._cost
        if most < 1 or not self._plain or min(self._plain) < _SHORT_S:
            return 0
        if odds <= cost:
            self._passed += 1
            return int(self._passed * _TRIES >= cost)
        # A further draft pays as long as it raises the tokens that a plain step's time gives.
        count, likely, tokens = 1, odds, 1 + odds
        while count < most and likely * odds * (1 + cost * count) > tokens * cost:
            likely *= odds
            tokens += likely
            count += 1
        return count

    def note_plain(self, seconds: float) -> None:
        """A step of one sequence, without drafts."""
        self._plain.append(seconds)

    def note_drafts(self, drafted: int, accepted: int, seconds: float) -> None:
        """A step of one sequence with drafts, the first `accepted` of which came true."""
        self._passed = 0
        # What seems to cost more than a step of its own was disturbed.
        self._costs.append(min(max(seconds / median(self._plain) - 1, 0) / drafted, 1))
        self._cost = median(self._costs)
        # Those behind the first miss were not looked at.
        for came_true in [True] * accepted + [False] * (accepted < drafted):
            self._odds += (came_true - self._odds) * _WEIGHT


class Drafter:
    """Makes one sequence's drafts."""

    def __init__(self, prompt: Iterable[int], payoff: Payoff) -> None:
        self._lookup = Lookup(prompt)
        self._payoff = payoff
        self._drafts: list[int] = []

    def propose(self, most: int) -> list[int]:
        """The drafts for the next step, `most` at most; none where they would not pay."""
        count = self._payoff.choose(most)
        self._drafts = self._lookup.find(count) if count else []
        return self._drafts

    def add(self, token: int) -> None:
        """Append what was generated, with drafts or without."""
        self._lookup.add(token)

    def note_step(self, tokens: Iterable[int | None], seconds: float) -> int:
        """Tell what the step after `propose` gave and took; return how many drafts came true."""
        if not self._drafts:
            self._payoff.note_plain(seconds)
            return 0
        accepted = 0
        for draft, token in zip(self._drafts, tokens, strict=False):
            if draft != token:
                break
            accepted += 1
        self._payoff.note_drafts(len(self._drafts), accepted, seconds)
        return accepted
