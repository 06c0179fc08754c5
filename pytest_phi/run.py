"""What happens around the tests of a run that use the emulator. It must not know what an emulator does."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Generator
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_phi.other_clients import refuse_azure

if TYPE_CHECKING:
    from pytest_phi.emulator import PhiEmulator

__all__ = ["Run"]

_ALLOW_REAL: Final = "PHI_ALLOW_REAL"
_OUTLIVING: Final = ("join", "refuse")


class Run:
    """A plugin of pytest for a run; `fixtures` are the names of those that want the emulator."""

    def __init__(self, config: pytest.Config, fixtures: Collection[str]) -> None:
        self._config = config
        self._fixtures = frozenset(fixtures)
        self._emulator: PhiEmulator | None = None
        self._failure = ""
        self._around = pytest.MonkeyPatch()
        """What is otherwise while a test runs."""
        self._is_turn = False
        outliving = str(config.getini("phi_outliving"))
        if outliving not in _OUTLIVING:
            raise pytest.UsageError(f"`phi_outliving` {outliving!r} is none of {', '.join(_OUTLIVING)}")
        self._outliving = outliving

    @property
    def emulator(self) -> PhiEmulator:
        """The emulator, started if it was not; it is somebody's turn then, who asks for it while running."""
        emulator = self._started()
        if not self._is_turn:
            self._begin(os.environ.get("PYTEST_CURRENT_TEST", "between tests").rpartition(" ")[0])
        return emulator

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Before the test's own fixtures: the environment leads to the emulator."""
        if item.get_closest_marker("phi_real"):
            self._around.setenv(_ALLOW_REAL, "1")
        if not self._fixtures.isdisjoint(getattr(item, "fixturenames", ())):
            self._started()
            self._begin(item.nodeid)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, None, None]:
        """After them: all is as it was."""
        try:
            return (yield)
        finally:
            self._around.undo()
            if self._is_turn and self._emulator is not None:
                self._emulator.end()
            self._is_turn = False

    def pytest_unconfigure(self) -> None:
        """Stop."""
        self._around.undo()
        if self._emulator is not None:
            self._emulator.emulator.stop(drain_seconds=0)

    def _begin(self, name: str) -> None:
        emulator = self._started()
        turn = emulator.begin(name)
        self._is_turn = True
        self._lead_to(emulator.endpoint, turn.key)

    def _lead_to(self, endpoint: str, key: str) -> None:
        """Have the environment lead clients there, and nowhere else in Azure."""
        from phi_emulator.command_line.child import client_environment  # noqa: PLC0415 - once a test wants it

        changed = client_environment(os.environ, endpoint=endpoint, key=key)
        for name in os.environ.keys() - changed.keys():
            self._around.delenv(name)
        for name, value in changed.items():
            if os.environ.get(name) != value:
                self._around.setenv(name, value)
        if os.environ.get(_ALLOW_REAL) == "0":
            self._around.setattr(socket, "getaddrinfo", refuse_azure(socket.getaddrinfo))

    def _started(self) -> PhiEmulator:
        if self._failure:
            pytest.fail(self._failure, pytrace=False)
        if self._emulator is None:
            try:
                self._emulator = self._start()
            except Exception as error:  # noqa: BLE001 - said once for each test, and not tried again
                self._failure = f"the emulator for tests can't be started: {error}"
                pytest.fail(self._failure, pytrace=False)
        return self._emulator

    def _start(self) -> PhiEmulator:
        from phi_emulator.cli import what_is_missing  # noqa: PLC0415 - once a test wants it

        reason = what_is_missing()
        if reason:
            raise RuntimeError(f"it {reason}")
        from phi_emulator import Emulator, EmulatorConfig  # noqa: PLC0415

        from pytest_phi.emulator import PhiEmulator  # noqa: PLC0415

        given: dict[str, Any] = {
            "model": self._config.getoption("--phi-model") or self._config.getini("phi_model")
        }
        config = EmulatorConfig.from_environment(os.environ, port=0, model=given["model"] or None)
        return PhiEmulator(Emulator(config).start(), outliving_join=self._outliving == "join")
