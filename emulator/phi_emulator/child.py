"""Runs a child process on behalf of `phi-emulator exec`: its terminal, its signals, its exit status.

It must not know what an emulator is, except for the variables that lead a client to one.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Final, Self

__all__ = ["NOT_FOUND", "ChildRunner", "client_environment"]

_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
"""The exit status of a shell for a command that is not there."""
_LOOPBACK: Final = ("127.0.0.1", "localhost")


def client_environment(environ: Mapping[str, str], *, endpoint: str, key: str) -> dict[str, str]:
    """`environ` with what leads a client to the emulator, and without what would lead it elsewhere."""
    changed = dict(environ)
    # The endpoint says which dialect is spoken; one that was set for Azure would contradict it.
    changed.pop("PHI_DIALECT", None)
    changed |= {"PHI_ENDPOINT": endpoint, "PHI_API_KEY": key}
    for name in ("NO_PROXY", "no_proxy"):
        # With a proxy in the environment, HTTP clients would ask it for 127.0.0.1.
        present = [host for host in changed.get(name, "").split(",") if host]
        changed[name] = ",".join([*present, *(host for host in _LOOPBACK if host not in present)])
    return changed


class ChildRunner:
    """Runs one child; while it is entered, the signals that end programs are the child's."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._child: subprocess.Popen[bytes] | None = None
        self._restoring = ExitStack()

    def __enter__(self) -> Self:
        for number in _SIGNALS:
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
            self._child = subprocess.Popen(command, env=environ)  # noqa: S603 - the user's own command
        except FileNotFoundError:
            return NOT_FOUND, f"command not found: {command[0]!r}"
        except OSError as error:
            return _NOT_EXECUTABLE, f"can't run {command[0]!r}: {error.strerror or error}"
        for number in self._received:  # while the child was being made
            self._child.send_signal(number)
        status = self._child.wait()
        return (status if status >= 0 else 128 - status), ""

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._child is None:
            self._received.append(number)
        elif number != signal.SIGINT or not _in_foreground():
            self._child.send_signal(number)


def _in_foreground() -> bool:
    """True when Ctrl-C in the terminal reaches the child by itself, so that forwarding would send it twice."""
    if os.name != "posix":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
