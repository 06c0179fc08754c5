"""A Python process that answers questions, a line of JSON each; whoever asks may ask from any thread.

    ask() ──{"id", "do", "with"}──► stdin        stdout ──{"id", "result"} or {"id", "error"}──► the asking thread

Knows processes and pipes; must not know what is asked. A process that ends fails every question that waits for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from phi_emulator.engine.errors import EngineError
from phi_emulator.platforms import apart

if TYPE_CHECKING:
    import psutil

__all__ = ["AskedProcess", "AskingError", "Budget"]

_PATIENCE_S: Final = 5.0
"""How long the process may take to end by itself."""
_LOOK_EVERY_S: Final = 0.01


class AskingError(EngineError):
    """The process answered with an error, or has ended."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a question may take: seconds by the clock and of a processor, and bytes of memory beyond what is taken."""

    wall_s: float
    cpu_s: float
    memory_bytes: int


class AskedProcess:
    """The process at the other end of two pipes. Any thread may ask; answers find their way by number."""

    def __init__(self, module: str, python: str = sys.executable) -> None:
        # The child must find what this process finds, wherever that came from.
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._popen = subprocess.Popen(  # noqa: S603 - our own module
            [python, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            encoding="utf-8",
            errors="replace",
            **apart(),
        )
        self._numbers = count(1)
        # Two locks: a writer may have to wait until the process has got rid of its answers, so their reader must
        # never wait for a writer.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._ended: str | None = None
        self._last_words: deque[str] = deque(maxlen=5)
        self._threads = [
            threading.Thread(target=run, name=f"phi-emulator-{run.__name__}", daemon=True)
            for run in (self._read_answers, self._read_complaints)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def id(self) -> int:
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        return self._ended is not None

    def ask(self, do: str, *, budget: Budget | None = None, **arguments: Any) -> Any:
        """The answer, waited for; what takes more than its budget is ended with its process.

        Raises:
            AskingError: the process answered with an error, or ended.
        """
        number = next(self._numbers)
        answer: Future[Any] = Future()
        line = json.dumps({"id": number, "do": do, "with": arguments}) + "\n"
        with self._lock:
            if self._ended is not None:
                raise AskingError(self._ended)
            self._waiting[number] = answer
        assert self._popen.stdin is not None  # noqa: S101 - for the type checkers: it was asked for
        # It has ended, and the reader will say how; or it is being closed.
        with self._writing, suppress(OSError, ValueError):
            self._popen.stdin.write(line)
            self._popen.stdin.flush()
        if budget is not None and self._is_beyond(budget, answer):
            self._popen.kill()
        return answer.result()

    def kill(self) -> None:
        """End the process by force, and do not wait; whoever waits for an answer is told."""
        self._popen.kill()

    def close(self) -> None:
        """End the process, by force if it takes too long."""
        assert self._popen.stdin is not None  # noqa: S101 - as above
        if not self._writing.acquire(timeout=_PATIENCE_S):
            self._popen.kill()  # which ends the write
            self._writing.acquire()
        with suppress(OSError):  # what was not written is of no interest any more
            self._popen.stdin.close()
        self._writing.release()
        try:
            self._popen.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()

    def _is_beyond(self, budget: Budget, answer: Future[Any]) -> bool:
        """Wait for the answer, and for no more than its budget: from here, since each system has limits of its own."""
        import psutil  # noqa: PLC0415 - slow to import, and needed here alone

        ends = time.monotonic() + budget.wall_s
        # One that has ended, which its reader will tell.
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(self._popen.pid)
            cpu_s, memory = _taken(process)
            while not _is_there(answer, _LOOK_EVERY_S):
                now_s, now = _taken(process)
                if (
                    now_s - cpu_s > budget.cpu_s
                    or now - memory > budget.memory_bytes
                    or time.monotonic() > ends
                ):
                    return True
        return False

    def _read_answers(self) -> None:
        for line in self._popen.stdout or ():
            answer = json.loads(line)
            with self._lock:
                future = self._waiting.pop(answer["id"])
            if "error" in answer:
                future.set_exception(AskingError(answer["error"]))
            else:
                future.set_result(answer["result"])
        status = self._popen.wait()
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        words = "; ".join(self._last_words)
        with self._lock:
            self._ended = f"the process that was asked {how}" + (f": {words}" if words else "")
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(AskingError(self._ended))

    def _read_complaints(self) -> None:
        for line in self._popen.stderr or ():
            if line.strip():
                self._last_words.append(line.strip())


def _taken(process: psutil.Process) -> tuple[float, int]:
    """Seconds of a processor and bytes of memory."""
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss


def _is_there(answer: Future[Any], within_s: float) -> bool:
    return bool(wait((answer,), within_s).done)
