"""A terminal to look at: a real pseudo-terminal with a program in it, and pyte as its screen."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable

import pyte

__all__ = ["Terminal"]

DEADLINE_S = 30.0
# A session of its own, whose terminal is the one of stderr: so Ctrl-C is a signal, where the program leaves it one.
BEGIN = "import fcntl, os, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """`phi-emulator chat` with these arguments in a terminal of this size; `environ` is all that it inherits."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        environ: dict[str, str],
        stdout: int | None = None,
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._master, self.inner = os.openpty()
        self.resize(columns, rows)
        command = [sys.executable, "-m", "phi_emulator", "chat", *arguments]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", BEGIN, *command],
            env=environ,
            stdin=self.inner,
            stdout=self.inner if stdout is None else stdout,
            stderr=self.inner,
            start_new_session=True,
        )

    def send(self, text: str) -> None:
        """Type, or paste."""
        data = text.encode()
        while data:
            self._read(0)
            _, ready, _ = select.select([], [self._master], [], 0.05)
            if ready:
                data = data[os.write(self._master, data[:1000]) :]

    def resize(self, columns: int, rows: int) -> None:
        """As a person does with the mouse."""
        import fcntl  # noqa: PLC0415 - Windows has none
        import termios  # noqa: PLC0415

        self.screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Send the program a signal."""
        self._process.send_signal(number)

    def until(self, holds: Callable[[], object]) -> None:
        """Read until it holds."""
        end = time.monotonic() + DEADLINE_S
        while not holds():
            has_ended = self._process.poll() is not None
            assert time.monotonic() < end, f"it did not come true:\n{self.text}"
            assert self._read(0.05) or not has_ended or holds(), f"the program has ended:\n{self.text}"

    def sees(self, text: str, count: int = 1) -> None:
        """Read until the text is there so often, on the screen or scrolled out of it."""
        self.until(lambda: self.text.count(text) >= count)

    def ends(self) -> int:
        """Read until the program ends; its status, negative for a signal."""
        end = time.monotonic() + DEADLINE_S
        while self._process.poll() is None:
            self._read(0.02)
            assert time.monotonic() < end, f"it did not end:\n{self.text}"
        while self._read(0):
            pass
        return self._process.returncode

    def close(self) -> None:
        """End the program if it still runs."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)
        os.close(self.inner)

    @property
    def text(self) -> str:
        """All that was shown and stayed."""
        columns = range(self.screen.columns)
        scrolled = ["".join(line[column].data for column in columns) for line in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*scrolled, *self.screen.display]).rstrip()

    @property
    def shown(self) -> str:
        """What is on the screen now."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def _read(self, within_s: float) -> bool:
        """Take what comes; whether anything did."""
        ready, _, _ = select.select([self._master], [], [], within_s)
        if ready:
            data = os.read(self._master, 65_536)
            self.raw += data
            self._stream.feed(data)
        return bool(ready)
