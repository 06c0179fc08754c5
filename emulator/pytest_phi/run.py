"""What happens around the tests that use the emulator. It must not know what an emulator does.

setup       environment, the test's turn ─► its own fixtures
call        the test ─► what went unanswered fails it
teardown    its own fixtures ─► what went unanswered since ─► all as it was
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from pytest_phi.settings import Settings, recording_options
from pytest_phi.told import exchanges_told, unanswered, unused

if TYPE_CHECKING:
    from phi_emulator import Emulator

    from phi_client.testing import Clock
    from pytest_phi.emulator import PhiEmulator, Turn
    from pytest_phi.other_clients import AzureGuard
    from pytest_phi.recordings import RecordingOfTest, Stage

__all__ = ["Run"]

_ALLOW_REAL: Final = "PHI_ALLOW_REAL"


class Run:
    """A plugin of pytest for a run; `fixtures` are the names of those that want the emulator.

    `guard` refuses Azure to clients of others in all tests, and in those that use the emulator its tokens too.
    """

    def __init__(self, config: pytest.Config, fixtures: Collection[str], guard: AzureGuard) -> None:
        self._settings = Settings.of(config)
        self._fixtures = frozenset(fixtures)
        self._guard = guard
        self._made: PhiEmulator | None = None
        self._failure = ""
        self._cleanup = ExitStack()
        self._stage: Stage | None = None
        self._recording: RecordingOfTest | None = None
        self._told = 0
        """How much of what went unanswered in this test was said."""
        self._beside: Sequence[str] = ()
        """What went unanswered in a test that failed for another reason."""
        self._of_turn = ExitStack()
        self._around = pytest.MonkeyPatch()
        """What is otherwise while a test runs."""

    @property
    def emulator(self) -> PhiEmulator:
        """The emulator; who asks for it while a test runs that didn't say so before makes it that test's turn."""
        emulator = self._emulator()
        self.begin_late()
        return emulator

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before the test's own fixtures: the environment leads to the emulator."""
        if item.get_closest_marker("phi_real"):
            self._around.setenv(_ALLOW_REAL, "1")
        mark = item.get_closest_marker("phi_recording")
        if mark is not None:
            self._begin_recorded(item, mark)
        elif not self._fixtures.isdisjoint(names := getattr(item, "fixturenames", ())):
            self._begin(item.nodeid, in_virtual_time="phi_clock" in names)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, None, None]:
        """A test fails that was not answered as it said, whatever it made of that."""
        try:
            result = yield
        except BaseException:
            # It has failed already: the report says the rest.
            self._beside = self._unanswered()
            raise
        self._fail_for([*self._unanswered(), *self._unused()])
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Of a failure the exchanges are told."""
        del item, call
        report = yield
        if report.failed and self._made is not None and self._made.turn is not None:
            text = exchanges_told(self._made)
            if text:
                report.sections.append((f"Phi exchanges {report.when}", text))
            if self._beside:
                report.sections.append((f"Phi unanswered {report.when}", "\n".join(self._beside)))
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, None, None]:
        """After the test's own fixtures: all is as it was."""
        try:
            result = yield
            self._fail_for(self._unanswered())
            return result
        finally:
            self._end()

    def pytest_unconfigure(self) -> None:
        """Stop, whatever way the run ended."""
        self._end()
        self._cleanup.close()
        if self._made is not None:
            self._made.stop()

    def _begin(self, name: str, *, in_virtual_time: bool = False) -> None:
        emulator = self._emulator()
        try:
            turn = emulator.begin(name, in_virtual_time=in_virtual_time)
        except Exception as error:  # noqa: BLE001 - said once for each test, and not tried again
            self._failure = f"the emulator for tests can't be started: {error}"
        else:
            self._lead_to(turn, {})
            if in_virtual_time:
                from phi_client.testing import clients_with_clock  # noqa: PLC0415 - it is loaded

                self._of_turn.enter_context(clients_with_clock(turn.clock))
            return
        self._refuse()

    def begin_late(self) -> None:
        """Begin the turn of a test that uses the emulator and didn't say so before, unless it has begun."""
        name = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        if name and self._emulator().turn is None:
            self._begin(name)

    def _begin_recorded(self, item: pytest.Item, mark: pytest.Mark) -> None:
        emulator = self._emulator()
        from phi_emulator.recordings.file import RecordingError  # noqa: PLC0415 - few tests have one
        from phi_emulator.web.listening import ListenError  # noqa: PLC0415

        from pytest_phi.recordings import RecordingOfTest, Stage  # noqa: PLC0415

        try:
            options = recording_options(mark, Path(item.path), item.nodeid, self._settings.record)
            if self._stage is None:
                self._stage = self._cleanup.enter_context(Stage())
            self._recording = recording = RecordingOfTest(options, os.environ, self._stage)
        except (RecordingError, ListenError, ValueError) as error:
            reason = f"phi_recording: {error}"
        else:
            self._lead_to(emulator.begin_recorded(item.nodeid, recording), recording.variables)
            return
        pytest.fail(reason, pytrace=False)

    def _end(self) -> None:
        self._of_turn.close()
        self._around.undo()
        self._told, self._beside = 0, ()
        self._guard.tokens_too = False
        if self._made is not None:
            self._made.end()
        recording, self._recording = self._recording, None
        if recording is not None:
            from phi_emulator.recordings.file import RecordingError  # noqa: PLC0415 - there is one, so it is loaded

            reason = ""
            try:
                recording.close()
            except RecordingError as error:
                reason = f"phi_recording: {error}"
            # What was being recorded has asked until here.
            self._guard.is_lifted = False
            self._fail_for([reason] if reason else [])

    def _lead_to(self, turn: Turn, variables: dict[str, str]) -> None:
        """Have the environment lead clients there, and nowhere else in Azure."""
        from phi_emulator.command_line.child import client_environment  # noqa: PLC0415 - once a test wants it

        changed = client_environment(os.environ, endpoint=turn.endpoint, key=turn.key) | variables
        for name in os.environ.keys() - changed.keys():
            self._around.delenv(name)
        for name, value in changed.items():
            if os.environ.get(name) != value:
                self._around.setenv(name, value)
        self._guard.tokens_too = True
        self._guard.is_lifted = self._recording is not None and self._recording.is_recorded

    def _unanswered(self) -> Sequence[str]:
        """What went unanswered in this test and was not said yet."""
        if self._made is None or self._made.turn is None:
            return ()
        found = unanswered(self._made, self._recording)[self._told :]
        self._told += len(found)
        return found

    def _unused(self) -> Sequence[str]:
        """Rules of this test that answered nothing, where that is to be said."""
        return unused(self._made) if self._settings.unused == "fail" and self._made is not None else ()

    def _fail_for(self, reasons: Sequence[str]) -> None:
        if reasons:
            pytest.fail("\n".join(reasons), pytrace=False)

    def _emulator(self) -> PhiEmulator:
        if self._failure:
            self._refuse()
        if self._made is None:
            from phi_emulator.cli import what_is_missing  # noqa: PLC0415 - once a test wants it

            reason = what_is_missing()
            if reason:
                self._failure = f"phi_emulator {reason}"
                self._refuse()
            from pytest_phi.emulator import PhiEmulator  # noqa: PLC0415

            self._made = PhiEmulator(
                self._start, self.begin_late, outliving_join=self._settings.outliving == "join"
            )
        return self._made

    def _refuse(self) -> NoReturn:
        pytest.fail(self._failure, pytrace=False)

    def _start(self, clock: Clock) -> Emulator:
        from phi_emulator import Emulator, EmulatorConfig  # noqa: PLC0415 - once a test wants it

        given: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "model": self._settings.model or None}
        return Emulator(EmulatorConfig.from_environment(os.environ, **given), clock=clock).start()
