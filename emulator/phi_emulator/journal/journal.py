"""The last exchanges, within bounds of number and memory, for each scope apart. Threads may ask at any time.

It must not know how an exchange becomes an entry: whoever begins one says how it stands, and how it ended.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from phi_emulator.journal.entry import JournalEntry
from phi_emulator.journal.tokens import FaultAt, Piece, TokenReader

__all__ = ["Journal", "JournalTimeoutError", "Watchable"]

_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_SCOPES: Final = 1000
_MOST_UNMADE: Final = 64
_OF_AN_ENTRY: Final = 4 * 1024
"""Bytes that an entry takes without its texts and its timeline."""

MakeEntry: TypeAlias = Callable[[int | None], JournalEntry]
"""An exchange as it stands now, with the number that it has, or without one while it runs."""


class Watchable(Protocol):
    """An exchange that runs, for whoever looks at it; all of this belongs to the thread that serves it."""

    @property
    def id(self) -> str:
        """The request id that the client is told."""
        ...

    @property
    def scope(self) -> str:
        """The request's scope."""
        ...

    @property
    def progress(self) -> object:
        """By which the engine knows it; `None` while it does not."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        ...

    @property
    def fault_at(self) -> FaultAt | None:
        """Where its fault struck, once it did."""
        ...

    def row(self) -> JournalEntry:
        """How it stands, without texts."""
        ...

    def reader(self) -> TokenReader | None:
        """A reader of its answer, once that has begun."""
        ...

    def pieces(self, offset: int) -> Sequence[Piece]:
        """The pieces of the answer's body from so many bytes on."""
        ...


class _Running(NamedTuple):
    make: MakeEntry
    watched: Watchable | None


class JournalTimeoutError(TimeoutError):
    """As many exchanges as were waited for did not end in time; the message says which there are."""


class Journal:
    """The exchanges of one emulator: of each scope the last `most`, of all together as many as fit into `most_bytes`.

    A scope that fills its part drops its own oldest ones: so tests side by side don't push each other out. Of a
    thousand scopes the one that was not used for longest is forgotten.
    """

    def __init__(self, *, most: int = 1000, most_bytes: int = _MOST_BYTES) -> None:
        self.most = most
        """Of each scope; 0 keeps none."""
        self.changes = 0
        """Grows with each exchange that begins or ends, and whenever what is kept is forgotten."""
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._running: dict[object, _Running] = {}
        # What has ended, and is made into an entry when somebody looks, or nobody waits for anything.
        self._unmade: deque[tuple[int, MakeEntry]] = deque()
        self._scopes: OrderedDict[str, _Kept] = OrderedDict()
        self._last = 0
        self._bytes = 0
        self._dropped = 0

    @property
    def last(self) -> int:
        """The number of the exchange that ended last; 0 where none has."""
        return self._last

    @property
    def dropped(self) -> int:
        """How many were let go because there was no room for them."""
        with self._changed:
            self._make_all()
            return self._dropped

    def exchanges(
        self, *, scope: str | None = None, after: int = 0, limit: int | None = None
    ) -> tuple[JournalEntry, ...]:
        """The exchanges that the journal has, in the order of their ends, and behind them those that still run.

        `scope` is an `x-phi-scope`, empty for requests without one; `None` is all. Of those that have ended only those
        `after` a number; of all that fit the last `limit`.

        A client may have read the last byte of a stream a moment before the exchange ends here: so look for its usage
        and its text in any case, and for its ending after `wait_for`.
        """
        with self._changed:
            found = [*self._ended(scope, after), *self._still_running(scope)]
        return tuple(found if limit is None else found[max(0, len(found) - limit) :])

    def find(self, request_id: str) -> JournalEntry | None:
        """The exchange with this request id, as the client was told."""
        with self._changed:
            for running in self._running.values():
                if running.watched is None or running.watched.id == request_id:
                    entry = running.make(None)
                    if entry.id == request_id:
                        return entry
            self._make_all()
            kept = (entry for one in self._scopes.values() for entry in reversed(one.entries))
            return next((entry for entry in kept if entry.id == request_id), None)

    def watched(self, request_id: str) -> Watchable | None:
        """The exchange with this request id, while it runs."""
        return next((one for one in self.all_watched() if one.id == request_id), None)

    def all_watched(self, *, scope: str | None = None) -> list[Watchable]:
        """The exchanges that run."""
        with self._changed:
            running = [one.watched for one in self._running.values()]
        return [one for one in running if one is not None and scope in (None, one.scope)]

    def ended(self, *, scope: str | None = None, after: int = 0) -> list[JournalEntry]:
        """The exchanges that have ended after a number, in the order of their ends."""
        with self._changed:
            return self._ended(scope, after)

    def wait_for(
        self, count: int = 1, *, scope: str | None = None, after: int = 0, seconds: float = 10.0
    ) -> tuple[JournalEntry, ...]:
        """Wait until so many exchanges have ended that fit, and return all of those.

        Raises:
            JournalTimeoutError: they didn't within so many `seconds`.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while len(found := tuple(self._ended(scope, after))) < count:
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    running = "".join(f"\n{one.describe()}" for one in self._still_running(scope))
                    raise JournalTimeoutError(
                        f"{len(found)} of {count} exchanges have ended after {seconds:g} s"
                        f"{'; these still run:' if running else ''}{running}"
                    )
        return found

    def clear(self, *, scope: str | None = None) -> None:
        """Forget what has ended, of one scope or of all. Numbers go on where they are."""
        with self._changed:
            self._make_all()
            self.changes += 1
            for name in [*self._scopes] if scope is None else [scope]:
                self._forget_scope(name)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self.exchanges())

    def __len__(self) -> int:
        with self._changed:
            self._make_all()
            return sum(len(kept.entries) for kept in self._scopes.values()) + len(self._running)

    def __repr__(self) -> str:
        return f"<Journal of {len(self)} exchanges>"

    # What follows is for whoever sees the exchanges.

    def begin(self, key: object, snapshot: MakeEntry, watched: Watchable | None = None) -> None:
        """An exchange has begun; `snapshot` says at any time, on any thread, how it stands."""
        with self._changed:
            self._running[key] = _Running(snapshot, watched)
            self.changes += 1

    def end(self, key: object) -> None:
        """It is over. Does no harm twice. Its entry is made later, by `tidy` or for whoever looks."""
        with self._changed:
            running = self._running.pop(key, None)
            if running is None or self.most <= 0:
                return
            self._last += 1
            self.changes += 1
            self._unmade.append((self._last, running.make))
            if len(self._unmade) > _MOST_UNMADE:
                self._make_one()
            self._changed.notify_all()

    def tidy(self) -> bool:
        """Make one entry that was not made yet. Whether there are more."""
        with self._changed:
            if self._unmade:
                self._make_one()
            return bool(self._unmade)

    def _make_all(self) -> None:
        while self._unmade:
            self._make_one()

    def _make_one(self) -> None:
        number, snapshot = self._unmade.popleft()
        self._keep(snapshot(number))

    def _keep(self, entry: JournalEntry) -> None:
        kept = self._scopes.setdefault(entry.scope, _Kept())
        self._scopes.move_to_end(entry.scope)
        self._bytes += kept.add(entry)
        if len(kept.entries) > self.most:
            self._drop(kept)
        if len(self._scopes) > _MOST_SCOPES:
            self._dropped += self._forget_scope(next(iter(self._scopes)))
        while self._bytes > self._most_bytes and self._scopes:
            largest = max(self._scopes.values(), key=lambda one: one.size)
            self._drop(largest)

    def _drop(self, kept: _Kept) -> None:
        self._bytes -= kept.drop()
        self._dropped += 1

    def _forget_scope(self, scope: str) -> int:
        kept = self._scopes.pop(scope, None)
        if kept is None:
            return 0
        self._bytes -= kept.size
        return len(kept.entries)

    def _ended(self, scope: str | None, after: int) -> list[JournalEntry]:
        self._make_all()
        names = [*self._scopes] if scope is None else [scope]
        found: list[JournalEntry] = []
        for name in names:
            kept = self._scopes.get(name)
            for entry in reversed(kept.entries) if kept is not None else ():
                if (entry.number or 0) <= after:
                    break
                found.append(entry)
        found.sort(key=lambda one: one.number or 0)
        return found

    def _still_running(self, scope: str | None) -> list[JournalEntry]:
        found = [one.make(None) for one in self._running.values()]
        return [one for one in found if scope in (None, one.scope)]


class _Kept:
    """The entries of one scope, the oldest first."""

    __slots__ = ("entries", "size")

    def __init__(self) -> None:
        self.entries: deque[JournalEntry] = deque()
        self.size = 0

    def add(self, entry: JournalEntry) -> int:
        self.entries.append(entry)
        size = _size_of(entry)
        self.size += size
        return size

    def drop(self) -> int:
        size = _size_of(self.entries.popleft())
        self.size -= size
        return size


def _size_of(entry: JournalEntry) -> int:
    heads = sum(
        len(name) + len(value)
        for head in (entry.request_headers, entry.response_headers)
        for name, value in head.items()
    )
    said = 0
    if entry.texts is not None:
        said = 4 * (len(entry.texts.request) + len(entry.texts.answer) + len(entry.texts.reasoning))
    sent = 0 if entry.sent is None else entry.sent.memory
    return _OF_AN_ENTRY + heads + len(entry.scope) + said + sent + entry.timeline.memory
