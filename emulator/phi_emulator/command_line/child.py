"""Runs a child process on behalf of `phi-emulator exec`: its terminal, its signals, its exit status.

It must not know what an emulator is, except for the variables that lead a client to one; nor platforms, whose
differences are in `platforms`.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Final, Self

from phi_emulator.platforms import (
    CannotRunError,
    ending_signals,
    exit_status,
    find_program,
    is_in_foreground,
    launch_line,
    send,
)

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "ChildRunner", "client_environment"]

NOT_EXECUTABLE: Final = 126
"""The exit status of a shell for a command that is there and can't be run."""
NOT_FOUND: Final = 127
"""The exit status of a shell for a command that is not there."""
_LOOPBACK: Final = ("127.0.0.1", "localhost")
_CLIENTS: Final = "PHI_"
_NOT_OF_AN_ENDPOINT: Final = ("PHI_EMULATOR_", "PHI_LIVE_")
"""Groups of variables that are not the client's: this emulator's own, and those of tests against Azure."""
_NOT_OF_ITS_ENDPOINT: Final = frozenset({"PHI_LOG", "PHI_ALLOW_REAL"})
"""What the client reads besides, and what is true of it whatever it asks."""


def client_environment(
    environ: Mapping[str, str], *, endpoint: str, key: str, model: str | None = None
) -> dict[str, str]:
    """`environ` with what leads a client to the emulator, and without what would lead it elsewhere.

    All that the client reads of an endpoint begins with `PHI_`: its dialect, its model, its api-version and what is yet
    to come. Each of them was set for the endpoint that is replaced. `model` is for surfaces that need one named.
    """
    changed = {name: value for name, value in environ.items() if not _is_of_an_endpoint(name)}
    changed |= {"PHI_ENDPOINT": endpoint, "PHI_API_KEY": key}
    if model is not None:
        changed["PHI_MODEL"] = model
    for name in ("NO_PROXY", "no_proxy"):
        # With a proxy in the environment, HTTP clients would ask it for 127.0.0.1.
        present = [host for host in changed.get(name, "").split(",") if host]
        changed[name] = ",".join([*present, *(host for host in _LOOPBACK if host not in present)])
    return changed


def _is_of_an_endpoint(name: str) -> bool:
    upper = name.upper()  # Windows tells no cases apart
    return (
        upper.startswith(_CLIENTS)
        and not upper.startswith(_NOT_OF_AN_ENDPOINT)
        and upper not in _NOT_OF_ITS_ENDPOINT
    )


class ChildRunner:
    """Runs one child; while it is entered, the signals that end programs are the child's."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._child: subprocess.Popen[bytes] | None = None
        self._restoring = ExitStack()

    def __enter__(self) -> Self:
        for number in ending_signals(with_hangup=True):
            self._restoring.callback(signal.signal, number, signal.signal(number, self._forward))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restoring.close()

    def run(self, command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
        """The exit status as a shell gives it, and what to say if the command could not be run."""
        if self._received:
            return 128 + self._received[0], ""
        try:
            line = launch_line(command, find_program(command[0], environ), environ)
            self._child = subprocess.Popen(line, env=environ)  # noqa: S603 - the user's own command
        except CannotRunError as error:
            return NOT_EXECUTABLE, str(error)
        except FileNotFoundError:
            return NOT_FOUND, f"command not found: {command[0]!r}"
        except OSError as error:
            return NOT_EXECUTABLE, f"can't run {command[0]!r}: {error.strerror or error}"
        for number in self._received:  # while the child was being made
            send(self._child, number)
        return exit_status(self._child.wait()), ""

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._child is None:
            self._received.append(number)
        elif number != signal.SIGINT or not is_in_foreground():
            send(self._child, number)
