"""Grades a program: tries the plain scenarios, searches on by seed, shrinks what is found, and repeats it.

    habit ── with nothing wrong ──► trials ──► judges ──► a verdict not found yet ──► simpler trials ──► again, again

What is reported is one line for each verdict, which was seen to show it every time. It must not know command lines.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from phi_emulator.grading.judges import Habit, judge
from phi_emulator.grading.scenarios import Scope, fixed_trials, random_trials, simpler
from phi_emulator.grading.stage import Outcome, Stage, budget_of
from phi_emulator.grading.trials import Trial
from phi_emulator.grading.verdicts import VERDICTS

__all__ = ["Finding", "Grade", "Grader", "NotGradableError", "Plan"]

PATIENCE_S: Final = 3600.0
"""Seconds of a program's own time in which a limit must have been reached."""
_SHORT_S: Final = 30.0
_SHORT_REAL_S: Final = 2.0
_LEAST_WITHIN_S: Final = 20.0
_TIMES_THE_FIRST: Final = 10
_SHRINKING: Final = 0.25
"""The share of the time that the shrinking of one finding may take."""
_MOST_SHRINKING: Final = 40
_WHOLE_PIECES: Final = 1000
"""So that nothing of an answer is cut anywhere: what is subtly wrong must not look like a program without an answer."""


class NotGradableError(Exception):
    """The program gave no answer with nothing wrong, so that nothing can be said of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to grade. `seconds` bounds the search, `patience` is for programs whose time is real.

    `repeats` is how often a finding must show again, and `ignored` names verdicts that aren't wanted.
    """

    seed: int = 0
    seconds: float = 60.0
    patience: float | None = None
    repeats: int = 3
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a program does wrong, the line that shows it, and what was seen."""

    verdict: str
    trial: Trial
    proof: str


@dataclass(slots=True)
class Grade:
    """What was found so far."""

    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    unsteady: dict[str, Finding] = field(default_factory=dict[str, Finding])
    """What showed once, and not each time again."""
    shown: dict[str, int] = field(default_factory=dict[str, int])
    """How often each verdict showed in a replay."""
    plain: int = 0
    """How many trials are on the list of plain forms, and how many of them were made."""
    plain_tried: int = 0
    trials: int = 0
    stuck: int = 0
    """Trials in which the program had to be killed."""
    seconds: float = 0.0
    is_virtual: bool = False
    is_streaming: bool = False
    unjudged: tuple[str, ...] = ()
    """Verdicts that could not be looked for."""
    is_through: bool = False


class Grader:
    """Grades the program of a stage. `tell` hears of progress, `clock` tells seconds."""

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        *,
        tell: Callable[[str], None] = lambda line: None,  # noqa: ARG005 - its name is the signature
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.grade = Grade()
        self._stage = stage
        self._plan = plan
        self._tell = tell
        self._clock = clock
        self._begun = clock()
        self._until = self._begun + plan.seconds
        self._within_s = 3 * _LEAST_WITHIN_S
        self._habit = Habit((), None)

    def search(self) -> Grade:
        """Search until the time is over, or all verdicts are found.

        Raises:
            NotGradableError: there is no answer with nothing wrong.
            CannotStartError: the program can't be started.
        """
        self._learn()
        scope = self._look_around()
        wanted = VERDICTS.keys() - self._plan.ignored - set(self.grade.unjudged)
        seed = self._plan.seed
        plain = [*fixed_trials(scope, seed + 1)]
        self.grade.plain = len(plain)
        self._until = self._clock() + self._plan.seconds
        for number, trial in enumerate(itertools.chain(plain, random_trials(scope, seed))):
            if self._clock() >= self._until or wanted <= self.grade.findings.keys():
                break
            self.grade.plain_tried = min(number + 1, len(plain))
            for verdict, proof in self._try(trial).items():
                if verdict not in self.grade.findings:
                    self._follow(Finding(verdict, trial, proof))
        self.grade.seconds = self._passed
        self.grade.is_through = True
        return self.grade

    def replay(self, trial: Trial) -> Grade:
        """Make one trial alone, as often as the plan repeats; what doesn't show each time is unsteady.

        Raises:
            NotGradableError: there is no answer with nothing wrong.
            CannotStartError: the program can't be started.
        """
        self._learn()
        for number in range(self._plan.repeats):
            found = self._try(trial, apart=True)
            for verdict, proof in found.items():
                self.grade.shown[verdict] = self.grade.shown.get(verdict, 0) + 1
                self.grade.findings.setdefault(verdict, Finding(verdict, trial, proof))
            self.grade.seconds = self._passed
            self._tell(f"{number + 1} of {self._plan.repeats}: {', '.join(found) or 'nothing'}")
        for verdict, times in self.grade.shown.items():
            if times < self._plan.repeats:
                self.grade.unsteady[verdict] = self.grade.findings.pop(verdict)
        self.grade.seconds = self._passed
        self.grade.is_through = True
        return self.grade

    @property
    def _passed(self) -> float:
        return self._clock() - self._begun

    def _learn(self) -> None:
        """See what the program does with nothing wrong."""
        outcome = self._stage.run(Trial(pieces=_WHOLE_PIECES), within_s=self._within_s)
        last = outcome.last
        if last is None:
            raise NotGradableError(f"the program asked nothing: {_said(outcome)}")
        if outcome.run.status != 0:
            raise NotGradableError(f"with nothing wrong the program ends with an error: {_said(outcome)}")
        self._stage.most_tokens = budget_of(last)
        text = outcome.text_of(last)
        _, answer = text.found_in(outcome.run.printed) if text else ([], [])
        if not answer:
            raise NotGradableError(
                f"the program printed nothing of the answer {last.content!r}: it must print its answer to stdout "
                f"({_said(outcome)})"
            )
        is_virtual, plan = outcome.is_virtual, self._plan
        patience = PATIENCE_S if is_virtual and plan.patience is None else plan.patience
        self._habit = Habit(answer, patience)
        self._within_s = max(_LEAST_WITHIN_S, _TIMES_THE_FIRST * outcome.run.seconds)
        if not is_virtual and patience is not None:
            self._within_s += 2 * patience
        self.grade.is_virtual, self.grade.is_streaming = is_virtual, last.streams
        self.grade.unjudged = () if patience is not None else ("no-read-limit",)
        self._tell(
            f"{'streams' if last.streams else 'whole answers'}, {'virtual' if is_virtual else 'real'} time"
        )

    def _look_around(self) -> Scope:
        """What there is to try: an answer in small pieces, with nothing wrong, shows it."""
        self._stage.warm_up(within_s=self._within_s)
        last = self._stage.run(Trial(), within_s=self._within_s, apart=False).last
        if last is None:
            raise NotGradableError("the program asks nothing the second time")
        ends = last.event_ends
        short = _SHORT_S if self.grade.is_virtual else _SHORT_REAL_S
        tokens = len(ends) if last.streams else len(last.content.split())
        return Scope(last.streams, len(last.sent), tokens, ends, self._habit.patience, short)

    def _try(self, trial: Trial, *, apart: bool = False) -> dict[str, str]:
        outcome = self._stage.run(trial, within_s=self._within_s, apart=apart)
        self.grade.trials += 1
        self.grade.stuck += outcome.run.status is None
        self.grade.seconds = self._passed
        self._tell(f"trial {self.grade.trials}: {trial}")
        return judge(outcome, self._habit, self._plan.ignored)

    def _follow(self, finding: Finding) -> None:
        """Make a finding simple, and see that it shows each time."""
        verdict = finding.verdict
        self._tell(f"{VERDICTS[verdict].title}: {finding.proof}")
        for candidate in dict.fromkeys((self._shrunk(finding), finding)):
            repeats = (self._try(candidate.trial, apart=True) for _ in range(self._plan.repeats))
            if all(verdict in found for found in repeats):
                self.grade.findings[verdict] = candidate
                self.grade.unsteady.pop(verdict, None)
                return
        self.grade.unsteady[verdict] = finding

    def _shrunk(self, finding: Finding) -> Finding:
        until = min(self._clock() + _SHRINKING * self._plan.seconds, self._until)
        tries = itertools.count(1)
        tried = {str(finding.trial)}
        best = finding
        while True:
            smaller = next(self._smaller(best, tried, until, tries), None)
            if smaller is None:
                return best
            best = smaller

    def _smaller(
        self, best: Finding, tried: set[str], until: float, tries: Iterator[int]
    ) -> Iterator[Finding]:
        for trial in simpler(best.trial):
            if str(trial) in tried:
                continue
            if self._clock() >= until or next(tries) > _MOST_SHRINKING:
                return
            tried.add(str(trial))
            proof = self._try(trial).get(best.verdict)
            if proof is not None:
                yield Finding(best.verdict, trial, proof)


def _said(outcome: Outcome) -> str:
    run = outcome.run
    status = f"killed after {run.seconds:.0f} s" if run.status is None else f"exit status {run.status}"
    words = run.complained.strip().splitlines()
    return f"{status}, {words[-1][:200]}" if words else f"{status}, no words on stderr"
