"""What lets one client serve threads and forked processes.

It must not know what is shared.
"""

import os
import threading
import weakref
from types import TracebackType
from typing import Any, Final, Protocol

__all__ = ["ForkSafeLock", "renew_in_children"]


class Renewable(Protocol):
    """What must begin anew in a forked child."""

    def renew(self) -> None:
        """Forget what belongs to the parent. Called in the child, before anything else runs there."""
        ...


_renewables: Final[weakref.WeakValueDictionary[int, Any]] = weakref.WeakValueDictionary()


def renew_in_children(thing: Renewable) -> None:
    """Have `thing.renew()` called in each forked child, for as long as `thing` lives."""
    _renewables[id(thing)] = thing


def _renew_all() -> None:
    for reference in _renewables.valuerefs():
        thing = reference()
        if thing is not None:
            thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


class ForkSafeLock:
    """A lock that is free in a forked child, whatever thread of the parent held it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, threading.Lock] = {}
        renew_in_children(self)

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        self._held[threading.get_ident()] = lock

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The one that was taken, which in a child that this thread forked meanwhile is another than today's.
        self._held.pop(threading.get_ident()).release()

    def renew(self) -> None:
        """Be free."""
        self._lock = threading.Lock()
