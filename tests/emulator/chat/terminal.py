"""A terminal to look at: a real pseudo-terminal with a program in it, and pyte as its screen."""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import pyte

__all__ = ["Terminal"]

DEADLINE_S = 30.0


class Terminal:
    """`phi-emulator chat` with these arguments in a terminal of this size; `environ` is all that it inherits."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        environ: dict[str, str],
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.status: int | None = None
        import pty  # noqa: PLC0415 - Windows has none

        self.pid, self._master = pty.fork()
        if self.pid == 0:
            self._become(arguments, columns, rows, environ, stdin, stdout)

    def _become(
        self,
        arguments: Sequence[str],
        columns: int,
        rows: int,
        environ: dict[str, str],
        stdin: int | None,
        stdout: int | None,
    ) -> None:
        try:
            _set_size(0, columns, rows)
            for number, other in ((0, stdin), (1, stdout)):
                if other is not None:
                    os.dup2(other, number)
            os.execve(sys.executable, [sys.executable, "-m", "phi_emulator", "chat", *arguments], environ)
        finally:
            os._exit(127)

    def send(self, text: str) -> None:
        """Type, or paste."""
        data = text.encode()
        while data:
            self._read(0)
            _, ready, _ = select.select([], [self._master], [], 1.0)
            if ready:
                data = data[os.write(self._master, data[:1000]) :]

    def resize(self, columns: int, rows: int) -> None:
        """As a person does with the mouse."""
        self.screen.resize(rows, columns)
        _set_size(self._master, columns, rows)

    def signal(self, number: int) -> None:
        """Send the program a signal."""
        os.kill(self.pid, number)

    def until(self, holds: Callable[[], object]) -> None:
        """Read until it holds."""
        end = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end, f"it did not come true:\n{self.text}"
            if not self._read(0.2) and not holds():
                raise AssertionError(f"the program has ended:\n{self.text}")

    def sees(self, text: str, count: int = 1) -> None:
        """Read until the text is there so often, on the screen or scrolled out of it."""
        self.until(lambda: self.text.count(text) >= count)

    def ends(self) -> int:
        """Read until the program ends; its status, negative for a signal."""
        end = time.monotonic() + DEADLINE_S
        while self.status is None and time.monotonic() < end:
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        while self._read(0.05):
            pass
        assert self.status is not None, f"it did not end:\n{self.text}"
        return self.status

    def close(self) -> None:
        """End the program if it still runs."""
        if self.status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
        os.close(self._master)

    @property
    def text(self) -> str:
        """All that was shown and stayed."""
        scrolled = ["".join(line[x].data for x in range(self.screen.columns)) for line in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*scrolled, *self.screen.display]).rstrip()

    @property
    def shown(self) -> str:
        """What is on the screen now."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def _read(self, within_s: float) -> bool:
        """Take what comes; false when the program's end is closed."""
        ready, _, _ = select.select([self._master], [], [], within_s)
        if not ready:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    import fcntl  # noqa: PLC0415 - Windows has none
    import termios  # noqa: PLC0415

    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
