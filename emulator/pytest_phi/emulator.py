"""The emulator of a run of tests, as the test that runs sees it. It must not know pytest."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from phi_client import AsyncPhiClient, PhiClient
from phi_client.contract.clock.base import SYSTEM_CLOCK
from phi_client.testing import Clock, VirtualClock, with_clock
from pytest_phi.of_test import FaultsOfTest, JournalOfTest, ScriptOfTest

if TYPE_CHECKING:
    from phi_emulator import Emulator

    from pytest_phi.recordings import RecordingOfTest

__all__ = ["PhiEmulator", "PhiFixtureError", "Turn"]


class PhiFixtureError(RuntimeError):
    """A fixture can't do what a test asks of it; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A test while it runs: where its clients ask, its key, and the scope that the key stands for.

    One that is answered from a recording has no emulator.
    """

    name: str
    endpoint: str
    key: str
    scope: str
    emulator: Emulator | None
    clock: Clock = SYSTEM_CLOCK


class PhiEmulator:
    """The emulator of all tests of this process. What it is told is of the test that runs, and forgotten after it.

    Requests with this test's key are its own, and so are those that come without any scope, such as those with a token.
    `start` starts an emulator that goes by a clock; `begin_late` is asked to `begin` the turn of a test that uses the
    emulator before its turn has begun. With a recording (`@pytest.mark.phi_recording`) none is started,
    and the recording answers.
    """

    def __init__(
        self,
        start: Callable[[Clock], Emulator],
        begin_late: Callable[[], None],
        *,
        outliving_join: bool = True,
    ) -> None:
        self._start = start
        self._begin_late = begin_late
        self._outliving_join = outliving_join
        self._emulators: dict[Clock, Emulator] = {}
        self._virtual: VirtualClock | None = None
        self._numbers = itertools.count(1)
        self._names: dict[str, str] = {}
        self._turn: Turn | None = None

    @property
    def emulator(self) -> Emulator:
        """The emulator itself, which all tests of this process share.

        Raises:
            PhiFixtureError: this test is answered from a recording.
        """
        found = self._of_test.emulator
        if found is None:
            raise PhiFixtureError(
                "this test has `@pytest.mark.phi_recording`, so a recording answers, and no emulator: faults, scripts "
                "and the journal are for tests without it"
            )
        return found

    @property
    def endpoint(self) -> str:
        """The URL for a client; also in `PHI_ENDPOINT`."""
        return self._of_test.endpoint

    @property
    def key(self) -> str:
        """The key of this test, on every surface; also in `PHI_API_KEY`."""
        return self._of_test.key

    @property
    def scope(self) -> str:
        """The name of this test's scope, for the header `x-phi-scope`; the key says it too."""
        return self._of_test.scope

    @property
    def root(self) -> str:
        """The URL of the root, under which `/_emulator/` is."""
        return self.emulator.root

    @property
    def entra_url(self) -> str:
        """The URL for `AZURE_POD_IDENTITY_AUTHORITY_HOST`, where azure-identity gets tokens for this emulator."""
        return self.emulator.entra_url

    def endpoint_of(self, dialect: str) -> str:
        """The URL at which a surface is spoken: `serverless`, `managed_compute`, `openai_v1` or `foundry_models`."""
        return self.emulator.endpoint_of(dialect)

    @property
    def faults(self) -> FaultsOfTest:
        """What goes wrong with the answers to this test."""
        return FaultsOfTest(self.emulator.faults, self.scope)

    @property
    def script(self) -> ScriptOfTest:
        """What this test is answered."""
        return ScriptOfTest(self.emulator.script, self.scope)

    @property
    def journal(self) -> JournalOfTest:
        """What this test asked, and what became of it."""
        return JournalOfTest(self.emulator.journal, self.scope)

    def set(self, **values: object) -> None:
        """Set what holds for this test: `phi_emulator.set(requests_per_minute=2, latency="first=800ms, rate=40/s")`.

        Beside `latency` these are limits, `content_filter` and others, as docs/reference/control.md has them.

        Raises:
            SettingsError: there is no such setting, or a value can't be.
            LatencyError: the text names no profile.
        """
        emulator = self.emulator
        if "latency" in values:
            emulator.latency.set(cast("str | None", values.pop("latency")), scope=self.scope)
        if values:
            emulator.settings.set(scope=self.scope, **values)

    def client(self, **arguments: Any) -> PhiClient:
        """A client for this test; `arguments` are those of `PhiClient`. It is the caller's to close."""
        return with_clock(PhiClient(self.endpoint, self.key, **arguments), self._of_test.clock)

    def async_client(self, **arguments: Any) -> AsyncPhiClient:
        """As `client`, for asyncio."""
        return with_clock(AsyncPhiClient(self.endpoint, self.key, **arguments), self._of_test.clock)

    @property
    def turn(self) -> Turn | None:
        """The test whose turn it is."""
        return self._turn

    @property
    def clock(self) -> VirtualClock:
        """The virtual clock of the tests that use `phi_clock`, which have an emulator of their own on it.

        Raises:
            PhiFixtureError: this test goes by the real time.
        """
        clock = self._of_test.clock
        if not isinstance(clock, VirtualClock):
            raise PhiFixtureError(
                "this test goes by the real time: name `phi_clock` among its arguments or in `usefixtures`, where it "
                "is seen before the test begins; a test with `@pytest.mark.phi_recording` has none"
            )
        return clock

    def begin(self, name: str, *, in_virtual_time: bool = False) -> Turn:
        """It is the turn of a test: what comes from here on is its own.

        Raises:
            EmulatorError: the emulator can't be started.
        """
        clock: Clock = SYSTEM_CLOCK
        if in_virtual_time:
            clock = self._virtual = self._virtual or VirtualClock()
        if clock not in self._emulators:
            self._emulators[clock] = self._start(clock)
        emulator = self._emulators[clock]
        # Not by its name: a test may be run again, and a name may hold anything.
        scope = f"test-{next(self._numbers)}"
        self._names[scope] = name
        self._turn = Turn(name, emulator.endpoint, emulator.scopes.new_key(scope), scope, emulator, clock)
        emulator.scopes.open = scope
        return self._turn

    def begin_recorded(self, name: str, recording: RecordingOfTest) -> Turn:
        """As `begin`, for a test that a recording answers."""
        self._turn = Turn(name, recording.endpoint, recording.key, "", None)
        return self._turn

    def end(self) -> None:
        """Its turn is over: what it said is forgotten."""
        turn, self._turn = self._turn, None
        if turn is None or turn.emulator is None:
            return
        emulator = turn.emulator
        emulator.scopes.open = ""
        emulator.scopes.end(turn.key, joins=self._outliving_join)
        emulator.reset(scope=turn.scope)

    def late(self) -> dict[str, int]:
        """How many requests came from clients of tests that are over, by the names of those."""
        turn = self._turn
        if turn is None or turn.emulator is None:
            return {}
        found = turn.emulator.scopes.late(turn.scope)
        return {self._names.get(scope, scope): count for scope, count in found.items()}

    def stop(self) -> None:
        """Stop all emulators; they may be started again."""
        self.end()
        emulators, self._emulators = self._emulators, {}
        for emulator in emulators.values():
            emulator.stop(drain_seconds=0)

    @property
    def _of_test(self) -> Turn:
        if self._turn is None:
            self._begin_late()
        if self._turn is None:
            raise PhiFixtureError(
                "no test runs that uses the emulator: ask it from within a test or a fixture of one"
            )
        return self._turn
