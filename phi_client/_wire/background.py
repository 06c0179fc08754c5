"""Foreign work that can't be interrupted, such as asking DNS or a credential, on a thread of its own.

It must not know what is done. Who waits for it can stop waiting at any moment; the work goes on, and its end is lost on
nobody who still waits. An executor's threads would not do: an event loop and the interpreter wait for them at the end.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, TypeVar, cast

__all__ = ["Job"]

_T = TypeVar("_T")


class Job(Generic[_T]):
    """One piece of work, for any number of threads and tasks that wait for it; done by `start`, or elsewhere."""

    def __init__(self) -> None:
        self._is_done = threading.Event()
        self._lock = threading.Lock()
        self._tell: list[Callable[[], None]] = []
        self._value: _T | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], _T]) -> None:
        """Do it on a thread; where none can be started, here and now."""
        context = copy_context()
        try:
            threading.Thread(
                target=context.run, args=(self._run, work), name="phi-client-waiting", daemon=True
            ).start()
        except RuntimeError:
            self._run(work, is_own_thread=False)

    def wait(self, limit_s: float | None) -> bool:
        """Whether it is done, within `limit_s` seconds."""
        return self._is_done.wait(limit_s)

    def when_done(self, tell: Callable[[], None]) -> None:
        """Call `tell`, from any thread, when it is done, or at once if it is."""
        with self._lock:
            if not self._is_done.is_set():
                self._tell.append(tell)
                return
        tell()

    @property
    def is_done(self) -> bool:
        """Whether its outcome is there."""
        return self._is_done.is_set()

    def finish(self, value: _T) -> None:
        """Let all who wait have `value`."""
        self._finish(value, None)

    def give_up(self, error: BaseException) -> None:
        """Let all who wait have `error`; what the work still brings is dropped."""
        self._finish(None, error)

    def result(self) -> _T:
        """What the work brought, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return cast("_T", self._value)

    def _run(self, work: Callable[[], _T], *, is_own_thread: bool = True) -> None:
        try:
            value = work()
        except (KeyboardInterrupt, SystemExit) as error:
            self._finish(None, error)
            if not is_own_thread:
                raise
        except BaseException as error:  # noqa: BLE001  # foreign work raises anything; who waits is told
            self._finish(None, error)
        else:
            self._finish(value, None)

    def _finish(self, value: _T | None, error: BaseException | None) -> None:
        with self._lock:
            if self._is_done.is_set():
                return
            self._value, self._error = value, error
            self._is_done.set()
            waiting, self._tell = self._tell, []
        for tell in waiting:
            with suppress(RuntimeError):  # of a loop that was closed meanwhile
                tell()
