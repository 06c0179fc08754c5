"""What lets one client serve threads and forked processes.

It must not know what is shared.
"""

import os
import threading
from types import TracebackType

__all__ = ["ForkSafeLock"]


class ForkSafeLock:
    """A lock that is free in a forked child, whatever thread of the parent held it."""

    def __init__(self) -> None:
        self._renew()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._renew()
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
