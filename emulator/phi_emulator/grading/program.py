"""Runs the judged program once, within bounds: its time, its output, and all processes that it starts.

It must not know why.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from phi_emulator.platforms import CannotRunError, apart, exit_status, find_program, kill_group, launch_line

__all__ = ["CannotStartError", "Files", "Program", "Run"]

_KEPT: Final = 1024 * 1024
"""Bytes of each output that are looked at."""
_MOST_OUTPUT: Final = 64 * 1024 * 1024
"""Bytes after which a program is killed."""
_LOOK_EVERY_S: Final = 0.05
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


@dataclass(frozen=True, slots=True)
class Files:
    """The files in a folder that a program reads and writes."""

    folder: Path

    @property
    def stdin(self) -> Path:
        """The question."""
        return self.folder / "stdin"

    @property
    def stdout(self) -> Path:
        """What is taken for the answer."""
        return self.folder / "stdout"

    @property
    def stderr(self) -> Path:
        """What is taken for complaints."""
        return self.folder / "stderr"

    def are_too_large(self) -> bool:
        """Whether a program writes without end."""
        return any(path.stat().st_size > _MOST_OUTPUT for path in (self.stdout, self.stderr) if path.exists())

    def run(self, status: int | None, seconds: float) -> Run:
        """The run that wrote them."""
        return Run(status, _begin_of(self.stdout), _begin_of(self.stderr), seconds)


def _begin_of(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_KEPT).decode("utf-8", "replace")


class Program:
    """A command that asks one question for each run: `{prompt}` in it stands for the question, which stdin has too.

    `{endpoint}`, `{key}` and `{model}` are filled in as well, for programs that read no environment. `folder` is for
    what it reads and writes.
    """

    def __init__(
        self,
        command: Sequence[str],
        prompt: str,
        environ: Mapping[str, str],
        places: Mapping[str, str],
        folder: Path,
    ) -> None:
        if find_program(command[0], environ) is None:
            raise CannotStartError(f"command not found: {command[0]!r}")
        self.files = Files(folder)
        self.files.stdin.write_text(prompt + "\n", encoding="utf-8")
        self._environ = environ
        self._words = [_filled(word, {**places, "prompt": prompt}) for word in command]

    def run(self, more: Mapping[str, str], *, within_s: float) -> Run:
        """Run it once, with `more` variables in its environment; afterwards no process of it is left.

        Raises:
            CannotStartError: it can't be started.
        """
        started = time.monotonic()
        status: int | None = None
        with self.files.stdout.open("wb") as out, self.files.stderr.open("wb") as err:
            child = self.start(more, out.fileno(), err.fileno())
            try:
                while time.monotonic() < started + within_s and not self.files.are_too_large():
                    with suppress(subprocess.TimeoutExpired):
                        status = exit_status(child.wait(_LOOK_EVERY_S))
                        break
            finally:
                kill_group(child.pid)
                child.wait()
        return self.files.run(status, time.monotonic() - started)

    def start(self, more: Mapping[str, str], out: int, err: int) -> subprocess.Popen[bytes]:
        """A process of it that writes there.

        Raises:
            CannotStartError: it can't be started.
        """
        environ = {**self._environ, **more}
        try:
            line = launch_line(self._words, find_program(self._words[0], environ), environ)
            with self.files.stdin.open("rb") as stdin:
                child: Any = subprocess.Popen(  # noqa: S603 - the user's own command
                    line, env=environ, stdin=stdin, stdout=out, stderr=err, **apart()
                )
                return cast("subprocess.Popen[bytes]", child)
        except (OSError, CannotRunError) as error:
            raise CannotStartError(f"can't run {self._words[0]!r}: {error}") from error


def _filled(word: str, places: Mapping[str, str]) -> str:
    for name in _PLACES:
        word = word.replace("{" + name + "}", places.get(name, ""))
    return word
