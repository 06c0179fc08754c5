"""Asking math-verify whether two answers are the same, in a process that is killed when it takes too long.

It must not import math-verify: that is heavy, needs signals, and some comparisons never end.
"""

import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from phi_client._answers.forms import Form, are_same
from phi_client._call.log import LOGGER

__all__ = ["Grader"]

_WORKER: Final = Path(__file__).with_name("math_verify_worker.py")
LIMIT_S: Final = 10.0
"""For one comparison."""
START_LIMIT_S: Final = 30.0
"""For the first one of a process, which imports sympy."""
TOTAL_LIMIT_S: Final = 60.0
"""For all comparisons of one grader; after it forms alone decide."""


class Grader:
    """Says whether two forms are the same answer: by form, else by math-verify where that is installed.

    A context manager, after which no process is left. `undecided` counts the comparisons that math-verify could not
    finish, which count as different answers. Not for use from several threads.
    """

    def __init__(
        self,
        *,
        limit_s: float = LIMIT_S,
        total_limit_s: float = TOTAL_LIMIT_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.undecided = 0
        self._limit_s = limit_s
        self._left_s = total_limit_s
        self._now = now
        self._is_there = importlib.util.find_spec("math_verify") is not None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """The grader; a process is started when a comparison needs one."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._end()

    def are_same(self, one: Form, other: Form) -> bool:
        """Whether both are the same answer."""
        verdict = are_same(one, other)
        if verdict is not None:
            return verdict
        if not self._is_there:
            return False
        if self._left_s <= 0:
            self.undecided += 1
            return False
        started = self._now()
        verdict = self._ask(one.text, other.text)
        self._left_s -= self._now() - started
        if verdict is None:
            self.undecided += 1
        return bool(verdict)

    def _ask(self, one: str, other: str) -> bool | None:
        """math-verify's verdict, or `None` when it gave none in time."""
        is_new = self._process is None
        try:
            process = self._process = self._process or _start()
        except OSError as error:
            # Such as a frozen application, whose executable is no Python.
            LOGGER.warning("math-verify can't be started, so answers are compared by their form: %s", error)
            self._is_there = False
            return None
        assert process.stdin is not None  # noqa: S101  # given to Popen as a pipe
        assert process.stdout is not None  # noqa: S101
        timer = threading.Timer(max(START_LIMIT_S, self._limit_s) if is_new else self._limit_s, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps([one, other]) + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
        except OSError:
            said = ""
        finally:
            timer.cancel()
            timer.join()
        if not said:
            self._end()
            return None
        return said.strip() == "true"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        # Closes the pipes too, which a killed process may leave with unsent bytes.
        try:
            process.communicate()
        except OSError:
            process.wait()


def _start() -> subprocess.Popen[str]:
    # `-P`: the folder of this package must not shadow modules such as `errors`.
    return subprocess.Popen(  # noqa: S603  # this interpreter, and a script beside this file
        [sys.executable, "-P", str(_WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
