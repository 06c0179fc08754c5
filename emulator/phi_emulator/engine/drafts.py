"""Drafts by prompt lookup: where the last tokens stood before, what followed them may follow again.

Knows tokens and seconds; knows nothing of models, engines or clocks. A model checks several drafts in one step, which
costs more than a plain step and less than several; so they pay where many come true:

    tokens of a step      1 + a + a² + …       for drafts that come true with the odds a
    its cost              1 + r · drafts       r: what a draft costs, in plain steps

Both are measured while it runs. Drafts of an unlikely kind are left out, and tried again as often as costs next to
nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import Final, NamedTuple

__all__ = ["LENGTHS", "Drafter", "Lookup", "Payoff", "Proposal"]

LENGTHS: Final = (4, 3, 2)
"""Tokens that are looked up, longest first. After a single one the bundled model's own traces go on as before in 30 % of
cases, where drafts cost more than they bring; after two to four in 34, 46 and 59 %."""
_STEPS: Final = 5
"""Steps whose median cost counts: one that another program disturbed changes nothing, a growing context soon does."""
_WEIGHT: Final = 1 / 8
"""Of the newest draft in the odds of its kind."""
_FIRST_ODDS: Final = 0.5
"""Of a draft before there was one: enough for a try, and few misses end it."""
_FIRST_COST: Final = 0.3
"""Of a draft, in plain steps, before there was one: about what layers of Phi-4-mini's size were measured to take."""
_TRIES: Final = 0.01
"""What tries of drafts that don't pay may cost, as a part of all steps."""


class Proposal(NamedTuple):
    """What may come next."""

    length: int
    """How many of the last tokens stood before what is proposed."""
    tokens: list[int]


class Lookup:
    """A text's tokens, and where each run of them was last followed by something."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}
        for token in tokens:
            self.add(token)

    @property
    def entries(self) -> int:
        """How many runs are remembered: at most one of each length for each token."""
        return len(self._next)

    def add(self, token: int) -> None:
        """Append a token; the work doesn't depend on how many there are."""
        end = len(self._tokens)
        for length in LENGTHS:
            if end >= length:
                self._next[tuple(self._tokens[-length:])] = end
        self._tokens.append(token)

    def propose(self, most: int) -> Proposal | None:
        """Up to `most` tokens, as they followed the longest run that ends the text and stood in it before.

        What reaches the text's end goes on with itself, so a text that repeats goes on repeating.
        """
        end = len(self._tokens)
        for length in LENGTHS:
            start = self._next.get(tuple(self._tokens[-length:])) if end >= length else None
            if start is not None and most > 0:
                tokens = self._tokens[start : start + most]
                tokens += [tokens[i % (end - start)] for i in range(len(tokens), most)]
                return Proposal(length, tokens)
        return None


class Payoff:
    """What drafts cost and how many come true; decides how many to make. For all sequences of one engine."""

    def __init__(self) -> None:
        self._plain: deque[float] = deque(maxlen=_STEPS)
        self._ratios: deque[float] = deque(maxlen=_STEPS)
        self._odds = dict.fromkeys(LENGTHS, _FIRST_ODDS)
        self._passed = dict.fromkeys(LENGTHS, 0)
        self._plain_s = 0.0
        self._cost = _FIRST_COST

    def choose(self, length: int, most: int) -> int:
        """How many drafts to make after `length` tokens that were found, `most` at most."""
        if most < 1 or not self._plain:
            return 0
        odds = self._odds[length]
        best, best_count = 1.0, 0
        tokens, likely = 1.0, 1.0
        for count in range(1, most + 1):
            likely *= odds
            tokens += likely
            gain = tokens / (1 + self._cost * count)
            if gain > best:
                best, best_count = gain, count
        if best_count:
            return best_count
        self._passed[length] += 1
        if self._passed[length] * _TRIES < self._cost:
            return 0
        self._passed[length] = 0
        return 1

    def note_plain(self, seconds: float) -> None:
        """A step of one sequence, without drafts."""
        self._plain.append(seconds)
        self._plain_s = median(self._plain)

    def note_drafts(self, length: int, drafted: int, accepted: int, seconds: float) -> None:
        """A step of one sequence with drafts, the first `accepted` of which came true."""
        self._ratios.append(max(seconds / self._plain_s - 1, 0) / drafted)
        self._cost = median(self._ratios)
        # Those behind the first miss were not looked at.
        for came_true in [True] * accepted + [False] * (accepted < drafted):
            self._odds[length] += (came_true - self._odds[length]) * _WEIGHT


class Drafter:
    """Makes one sequence's drafts."""

    def __init__(self, prompt: Iterable[int], payoff: Payoff) -> None:
        self._lookup = Lookup(prompt)
        self._payoff = payoff
        self._length = 0
        self._drafts: list[int] = []

    def propose(self, most: int) -> list[int]:
        """The drafts for the next step, `most` at most; none where they would not pay."""
        self._drafts = []
        proposal = self._lookup.propose(most)
        if proposal is not None:
            self._length = proposal.length
            self._drafts = proposal.tokens[: self._payoff.choose(proposal.length, most)]
        return self._drafts

    def add(self, token: int) -> None:
        """Append what was generated, with drafts or without."""
        self._lookup.add(token)

    def note_step(self, tokens: Iterable[int], seconds: float) -> int:
        """Tell what the step after `propose` gave and took; return how many drafts came true."""
        if not self._drafts:
            self._payoff.note_plain(seconds)
            return 0
        accepted = 0
        for draft, token in zip(self._drafts, tokens, strict=False):
            if draft != token:
                break
            accepted += 1
        self._payoff.note_drafts(self._length, len(self._drafts), accepted, seconds)
        return accepted
