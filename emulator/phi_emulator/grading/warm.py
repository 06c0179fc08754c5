"""A program that begins many times and imports once: the grader's end of `in_child/phi_grade_warm`.

It is for Python on Linux alone, and for looking around: what is reported is seen in processes of its own. It must not
know trials.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, Final, cast

from phi_emulator.grading.program import Program, Run
from phi_emulator.platforms import exit_status, kill_group

__all__ = ["WarmProgram"]

_LEARNED: Final = "modules"
_LOOK_EVERY_S: Final = 0.05
_LEAVE_S: Final = 5.0


class WarmProgram:
    """Copies of one process of a program. Make it after a run with `learning` in its environment."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._said: IO[bytes] | None = None

    @property
    def learning(self) -> Mapping[str, str]:
        """What makes a run say what it imported."""
        return {"PHI_GRADE_LEARN": self._learned}

    @property
    def _learned(self) -> str:
        return str(self._program.files.folder / _LEARNED)

    def start(self, more: Mapping[str, str], *, within_s: float) -> bool:
        """Whether there is such a process now. There is none for programs in other languages, behind others, or that
        start threads when they are imported."""
        if not sys.platform.startswith("linux") or not (self._program.files.folder / _LEARNED).exists():
            return False
        token = self._program.files.folder.name
        with socket.create_server(("127.0.0.1", 0)) as server:
            host, port = server.getsockname()
            place = {"PHI_GRADE_WARM": f"{host}:{port}:{token}", "PHI_GRADE_LEARN": self._learned}
            self._process = self._program.start({**more, **place}, subprocess.DEVNULL, subprocess.DEVNULL)
            server.settimeout(within_s)
            with suppress(OSError, ValueError):
                self._line, _ = server.accept()
                self._line.settimeout(within_s)
                self._said = self._line.makefile("rb")
                hello = self._hear()
                if hello == {"token": token, "pid": self._process.pid, "is_alone": True}:
                    return True
        self.close()
        return False

    def run(self, more: Mapping[str, str], *, within_s: float) -> Run | None:
        """As `Program.run`; `None` when there is no such process any more."""
        if self._line is None:
            return None
        files, started = self._program.files, time.monotonic()
        order = {name: str(getattr(files, name)) for name in ("stdin", "stdout", "stderr")}
        try:
            self._line.settimeout(within_s)
            self._line.sendall(json.dumps({**order, "environ": dict(more)}).encode() + b"\n")
            pid: int = self._hear()["pid"]
            try:
                status = self._wait(started + within_s)
            finally:
                kill_group(pid)
            if status is None:
                self._hear()
        except (OSError, ValueError, KeyError):
            self.close()
            return None
        return files.run(status, time.monotonic() - started)

    def close(self) -> None:
        """Let it end."""
        for end in (self._said, self._line):
            if end is not None:
                end.close()
        self._said = self._line = None
        if self._process is not None:
            kill_group(self._process.pid)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_S)
            self._process = None

    def _wait(self, until: float) -> int | None:
        """The exit status, if it comes in time."""
        line = cast("socket.socket", self._line)
        while time.monotonic() < until and not self._program.files.are_too_large():
            line.settimeout(_LOOK_EVERY_S)
            try:
                # Lines are short: what has begun to come is whole.
                if not line.recv(1, socket.MSG_PEEK):
                    raise OSError("the process is gone")
            except TimeoutError:
                continue
            finally:
                line.settimeout(_LEAVE_S)
            return exit_status(self._hear()["status"])
        return None

    def _hear(self) -> dict[str, Any]:
        said = cast("IO[bytes]", self._said).readline()
        return cast("dict[str, Any]", json.loads(said))
