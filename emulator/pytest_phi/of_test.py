"""Parts of an emulator as one test sees them: what it says holds for its own requests, and it is told of no others.

It must not know pytest, or which test that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phi_emulator.faults.rules import Rule as FaultRule
    from phi_emulator.journal.entry import JournalEntry
    from phi_emulator.journal.journal import Journal
    from phi_emulator.scripts.rules import Missed, Rule, Script
    from phi_emulator.scripts.state import Unmatched
    from phi_emulator.service.fault_rules import FaultCount, Faults
    from phi_emulator.service.scripts import ScriptCount, Scripts

__all__ = ["FaultsOfTest", "JournalOfTest", "ScriptOfTest"]


class FaultsOfTest:
    """The rules for faults of one test, and what they have met in it."""

    def __init__(self, faults: Faults, scope: str) -> None:
        self._faults = faults
        self._scope = scope

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
        self._faults.add(effect, times=times, when={**(when or {}), "scope": self._scope}, **parameters)

    def set(self, rules: Sequence[FaultRule]) -> None:
        """Put rules in the place of this test's."""
        self._faults.set(rules, scope=self._scope)

    def reset(self) -> None:
        """Forget this test's rules and counts."""
        self._faults.reset(scope=self._scope)

    def counts(self) -> list[FaultCount]:
        """The rules that hold for this test, in their order, with what they have met in it."""
        return self._faults.counts(scope=self._scope)


class ScriptOfTest:
    """The rules of one test for what is answered, and what they have met in it."""

    def __init__(self, scripts: Scripts, scope: str) -> None:
        self._scripts = scripts
        self._scope = scope

    def answer(
        self,
        question: str | None = None,
        answer: str | Sequence[str | Mapping[str, Any]] | None = None,
        **more: Any,
    ) -> None:
        r"""Add a rule behind the others: what is asked just so is answered so.

        `question` is the whole last message; without it the rule is about whatever `more` says. All of that is in
        docs/how-to/scripted-answers.md.

            phi_script.answer("What is 17 * 24?", r"\boxed{408}", reasoning="17 * 24 = 408")

        Raises:
            ScriptError: there is no such key, a value can't be, or it needs a model and none is loaded.
        """
        self._scripts.answer(question, answer, scope=self._scope, **more)

    def set(self, rules: Script | Sequence[Rule | Mapping[str, Any]], *, miss: Missed | None = None) -> None:
        """Put rules in the place of this test's; `miss` says what becomes of requests that no rule is about.

        Raises:
            ScriptError: a rule can't be used, or needs a model and none is loaded.
        """
        self._scripts.set(rules, scope=self._scope, miss=miss)

    def reset(self) -> None:
        """Forget this test's rules and counts; what no rule is about is answered as before there were any."""
        self._scripts.reset(scope=self._scope)

    def counts(self) -> list[ScriptCount]:
        """The rules that hold for this test, in their order, with what they have met in it."""
        return self._scripts.counts(scope=self._scope)

    def unmatched(self) -> list[Unmatched]:
        """The last requests of this test that no rule was about; a hundred at most."""
        return self._scripts.unmatched(scope=self._scope)

    @property
    def fails_unmatched(self) -> bool:
        """Whether a request that no rule is about is an error, and not the model's to answer."""
        return self._scripts.miss(scope=self._scope) == "fail"


class JournalOfTest:
    """The exchanges of one test, in the order of their ends, and behind them those that still run."""

    def __init__(self, journal: Journal, scope: str) -> None:
        self._journal = journal
        self._scope = scope

    def exchanges(self) -> tuple[JournalEntry, ...]:
        """All of them; a client may have read the last byte of a stream a moment before its exchange ends here."""
        return self._journal.exchanges(scope=self._scope)

    def wait_for(self, count: int = 1, *, seconds: float = 10.0) -> tuple[JournalEntry, ...]:
        """Wait until so many have ended, and return those that have.

        Raises:
            JournalTimeoutError: they didn't within so many `seconds`.
        """
        return self._journal.wait_for(count, scope=self._scope, seconds=seconds)

    def clear(self) -> None:
        """Forget what has ended."""
        self._journal.clear(scope=self._scope)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self.exchanges())

    def __len__(self) -> int:
        return len(self.exchanges())

    def __getitem__(self, place: int) -> JournalEntry:
        return self.exchanges()[place]

    def __repr__(self) -> str:
        return "\n".join(one.describe() for one in self) or "<no exchanges>"
