"""Runs the judged program once, within bounds: its time, its output, and all processes that it starts.

It must not know why.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final

from phi_emulator.platforms import CannotRunError, apart, exit_status, find_program, kill_group, launch_line

__all__ = ["CannotStartError", "Program", "Run"]

_KEPT: Final = 1024 * 1024
"""Bytes of each output that are looked at."""
_PIECE: Final = 64 * 1024
_READ_S: Final = 2.0
"""How long is waited for the rest of an output of which the writers are gone."""
_PLACES: Final = ("prompt", "endpoint", "key", "model")


class CannotStartError(Exception):
    """The program can't be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run. `status` is `None` for a program that had to be killed after its `seconds`."""

    status: int | None
    printed: str
    complained: str
    seconds: float


class Program:
    """A command that asks one question for each run: `{prompt}` in it stands for the question, which stdin has too.

    `{endpoint}`, `{key}` and `{model}` are filled in as well, for programs that read no environment.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], places: Mapping[str, str]) -> None:
        if find_program(command[0], environ) is None:
            raise CannotStartError(f"command not found: {command[0]!r}")
        self._command = command
        self._environ = environ
        self._places = places

    def run(self, prompt: str, more: Mapping[str, str], *, within_s: float) -> Run:
        """Run it once, with `more` variables in its environment; afterwards no process of it is left.

        Raises:
            CannotStartError: it can't be started.
        """
        places = {**self._places, "prompt": prompt}
        words = [_filled(word, places) for word in self._command]
        environ = {**self._environ, **more}
        started = time.monotonic()
        try:
            line = launch_line(words, find_program(words[0], environ), environ)
            child = subprocess.Popen(  # noqa: S603 - the user's own command
                line,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **apart(),
            )
        except (OSError, CannotRunError) as error:
            raise CannotStartError(f"can't run {words[0]!r}: {error}") from error
        outputs = [_Output(child.stdout), _Output(child.stderr)]
        status: int | None = None
        try:
            with suppress(OSError):
                if child.stdin is not None:
                    child.stdin.write(prompt.encode() + b"\n")
                    child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                status = exit_status(child.wait(within_s))
        finally:
            kill_group(child)
            child.wait()
        printed, complained = (output.text() for output in outputs)
        return Run(status, printed, complained, time.monotonic() - started)


class _Output:
    """Reads what a program writes, whatever its amount, and keeps the beginning."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What was kept."""
        self._thread.join(_READ_S)
        return self._kept.decode("utf-8", "replace")

    def _read(self) -> None:
        if self._stream is None:
            return
        with self._stream:
            while data := os.read(self._stream.fileno(), _PIECE):
                self._kept += data[: max(_KEPT - len(self._kept), 0)]


def _filled(word: str, places: Mapping[str, str]) -> str:
    for name in _PLACES:
        word = word.replace("{" + name + "}", places.get(name, ""))
    return word
