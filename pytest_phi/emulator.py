"""The emulator of a run of tests, and what of it is the business of the test that runs. It must not know pytest."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from phi_emulator import Emulator

from phi_client import AsyncPhiClient, PhiClient
from phi_client.contract.emulator import EMULATOR_HEADERS

if TYPE_CHECKING:
    from phi_emulator.faults.rules import Rule
    from phi_emulator.service.fault_rules import FaultCount

__all__ = ["FaultsOfTest", "PhiEmulator", "Turn"]

SCOPE_HEADER: Final = f"{EMULATOR_HEADERS}scope"


@dataclass(frozen=True, slots=True)
class Turn:
    """A test, while it runs: its scope, and the key that stands for it."""

    scope: str
    key: str


class PhiEmulator:
    """The emulator of all tests, as the one that runs sees it.

    Requests with its key are of this test, and so are those without any scope of their own, such as those with a token.
    Faults, scripts and what is noted of exchanges are kept for each test apart.
    """

    def __init__(self, emulator: Emulator, *, outliving_join: bool = True) -> None:
        self.emulator = emulator
        """The emulator itself, which is shared by all tests of this process."""
        self._outliving_join = outliving_join
        self._numbers = itertools.count(1)
        self._names: dict[str, str] = {}
        self._turn: Turn | None = None

    @property
    def endpoint(self) -> str:
        """The URL for a client; also in `PHI_ENDPOINT`."""
        return self.emulator.endpoint

    def endpoint_of(self, dialect: str) -> str:
        """The URL at which a surface is spoken: `serverless`, `managed_compute`, `openai_v1` or `foundry_models`."""
        return self.emulator.endpoint_of(dialect)

    @property
    def root(self) -> str:
        """The URL of the root, under which `/_emulator/` is."""
        return self.emulator.root

    @property
    def entra_url(self) -> str:
        """The URL for `AZURE_POD_IDENTITY_AUTHORITY_HOST`, where azure-identity gets tokens for this emulator."""
        return self.emulator.entra_url

    @property
    def key(self) -> str:
        """The key of this test, on every surface; also in `PHI_API_KEY`."""
        return self._of_test.key

    @property
    def scope(self) -> str:
        """The name of this test's scope, for the header `x-phi-scope`."""
        return self._of_test.scope

    @property
    def faults(self) -> FaultsOfTest:
        """What goes wrong with the answers to this test."""
        return FaultsOfTest(self.emulator, self._of_test.scope)

    def client(self, **arguments: Any) -> PhiClient:
        """A client of this emulator; `arguments` are `PhiClient`'s. It is the caller's to close."""
        return PhiClient(self.endpoint, self.key, **arguments)

    def async_client(self, **arguments: Any) -> AsyncPhiClient:
        """As `client`, for asyncio."""
        return AsyncPhiClient(self.endpoint, self.key, **arguments)

    def begin(self, name: str) -> Turn:
        """It is a test's turn: what comes from here on is its own."""
        # Not by its name: that may be run again, and hold anything.
        scope = f"test-{next(self._numbers)}"
        self._names[scope] = name
        scopes = self.emulator.scopes
        self._turn = Turn(scope, scopes.new_key(scope))
        scopes.open = scope
        return self._turn

    def end(self) -> None:
        """Its turn is over: what it said is forgotten."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        scopes = self.emulator.scopes
        scopes.open = ""
        scopes.end(turn.key, joins=self._outliving_join)
        self.emulator.faults.reset(scope=turn.scope)

    @property
    def _of_test(self) -> Turn:
        return self._turn or self.begin("between tests")


class FaultsOfTest:
    """The rules for faults of one test, and what they have met in it; `Emulator.faults` for its scope alone."""

    def __init__(self, emulator: Emulator, scope: str) -> None:
        self._faults = emulator.faults
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

    def set(self, rules: Sequence[Rule]) -> None:
        """Put rules in the place of this test's."""
        self._faults.set(rules, scope=self._scope)

    def reset(self) -> None:
        """Forget this test's rules and counts."""
        self._faults.reset(scope=self._scope)

    def counts(self) -> list[FaultCount]:
        """The rules that hold for this test, in their order, with what they have met in it."""
        return self._faults.counts(scope=self._scope)
