"""A trial: what the service answers and what goes wrong with which request, in one line that can be given again.

    plain seed=7 pieces=3 | 1 retry_after form=date seconds=30 | 2- cut_body bytes=700 how=end

It must not know programs, nor what is right.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from phi_emulator.faults.catalogue import Value
from phi_emulator.faults.reading import read_line
from phi_emulator.faults.rules import Fault, FaultError, Rule, When
from phi_emulator.grading.answers import KINDS
from phi_emulator.models.printable import printable

__all__ = ["REDIRECTS", "Redirect", "Step", "Trial", "TrialError", "read_step", "read_trial"]

REDIRECTS: Final[Mapping[str, str]] = {
    "port": "another port of the same address",
    "host": "another name of this machine",
}
"""Where a redirect may lead."""
_STATUSES: Final = (301, 302, 303, 307, 308)
_CALLS: Final = re.compile(r"([1-9][0-9]{0,3})(-)?")
_REDIRECT: Final = re.compile(r"redirect status=(\d+) to=(\w+)")
_ANSWER: Final = re.compile(r"([\w-]+) seed=(\d{1,9}) pieces=(\d{1,4})")
_SHOWN: Final = 80
_MOST_STEPS: Final = 20


class TrialError(ValueError):
    """A line is no trial; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that leads elsewhere; no service of Azure gives it, but what stands before one may."""

    status: int
    to: str

    def __str__(self) -> str:
        return f"redirect status={self.status} to={self.to}"


@dataclass(frozen=True, slots=True)
class Step:
    """What one request meets, or all from one on."""

    call: int
    goes_on: bool
    what: Fault | Redirect
    line: str
    """`what` as it is written."""

    def __str__(self) -> str:
        return f"{self.call}{'-' if self.goes_on else ''} {self.line}"

    def holds_for(self, call: int) -> bool:
        """Whether the request of this number meets it."""
        return call >= self.call if self.goes_on else call == self.call

    @property
    def effect(self) -> str:
        """The name of the effect."""
        return self.line.partition(" ")[0]

    @property
    def leads_elsewhere(self) -> bool:
        """Whether it is a redirect."""
        return isinstance(self.what, Redirect)

    @property
    def is_of_streams(self) -> bool:
        """Whether a whole answer can't meet it."""
        return isinstance(self.what, Fault) and self.what.effect.on_streams


@dataclass(frozen=True, slots=True)
class Trial:
    """`kind` of the answer, the `seed` of its words, the letters in each of its `pieces`, and what goes wrong."""

    kind: str = "plain"
    seed: int = 1
    pieces: int = 7
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return " | ".join([f"{self.kind} seed={self.seed} pieces={self.pieces}", *map(str, self.steps)])

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Its faults as the emulator takes them, which counts no request that is led elsewhere."""
        rules: list[Rule] = []
        for step in self.steps:
            if isinstance(step.what, Fault):
                first = step.call - sum(one.call < step.call for one in self.steps if one.leads_elsewhere)
                rules.append(Rule(fault=step.what, when=When(call=(first, None if step.goes_on else first))))
        return tuple(rules)

    def step_of(self, call: int) -> Step | None:
        """What the request of this number meets, counted from 1."""
        return next((step for step in self.steps if step.holds_for(call)), None)


def read_trial(line: str) -> Trial:
    """The trial in a line.

    Raises:
        TrialError: there is none in it.
    """
    answer, *steps = (part.strip() for part in line.split("|"))
    found = _ANSWER.fullmatch(answer)
    if found is None or found[1] not in KINDS or not int(found[3]):
        kinds = ", ".join(KINDS)
        raise TrialError(
            f"`{printable(answer, _SHOWN)}` is no answer: write `KIND seed=NUMBER pieces=NUMBER`, kinds are {kinds}"
        )
    if len(steps) > _MOST_STEPS:
        raise TrialError(f"{len(steps)} faults, but {_MOST_STEPS} at most")
    return Trial(found[1], int(found[2]), int(found[3]), tuple(map(read_step, steps)))


def read_step(line: str) -> Step:
    """What goes wrong, as a trial has it: the request's number, `-` for all that follow, and a fault.

    Raises:
        TrialError: it has another form.
    """
    calls, _, what = line.partition(" ")
    found = _CALLS.fullmatch(calls)
    if found is None:
        raise TrialError(
            f"`{printable(line, _SHOWN)}` names no request: begin with its number, such as `1` or `2-`"
        )
    if what.startswith("redirect"):
        redirect = _read_redirect(what)
        return Step(int(found[1]), bool(found[2]), redirect, str(redirect))
    fault = _read_fault(what)
    return Step(int(found[1]), bool(found[2]), fault, _written(fault))


def _written(fault: Fault) -> str:
    """A fault as a line, without what would be so anyway."""
    words = [
        f"{parameter.name}={_word(fault.values[parameter.name])}"
        for parameter in fault.effect.parameters
        if fault.values[parameter.name] != parameter.default
    ]
    return " ".join([fault.effect.name, *words])


def _word(value: Value) -> str:
    return shlex.quote(value) if isinstance(value, str) else f"{value:.10g}"


def _read_redirect(line: str) -> Redirect:
    found = _REDIRECT.fullmatch(line)
    if found is None or int(found[1]) not in _STATUSES or found[2] not in REDIRECTS:
        raise TrialError(
            f"`{printable(line, _SHOWN)}` is no redirect: write `redirect status=307 to=port`, "
            f"with a status of {', '.join(map(str, _STATUSES))}, to one of {', '.join(REDIRECTS)}"
        )
    return Redirect(int(found[1]), found[2])


def _read_fault(line: str) -> Fault:
    try:
        return read_line(line)
    except FaultError as error:
        raise TrialError(f"`{printable(line, _SHOWN)}`: {error}") from None
