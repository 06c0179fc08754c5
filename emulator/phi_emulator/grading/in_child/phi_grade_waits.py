"""The waits of a judged program, on the grader's clock.

Warped: `time.time`, `monotonic`, `perf_counter` and `sleep`, `select`, `poll` and `epoll` (and so asyncio, trio and
`selectors`), timeouts of sockets, of `threading`'s conditions, events and queues. Not warped: `datetime.now()`, locks
with a timeout, `SimpleQueue`, and waits in C (uvloop, libcurl, grpc).
"""

from __future__ import annotations

import _thread
import os
import select
import socket
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SLICE_S = 0.002
"""How long a wait is real before the clock is asked."""
STILL_S = 0.006
"""How long a thread must have done nothing: longer than one that waits for the interpreter's lock stands still."""

_PLAIN_SOCKET = socket.socket.__mro__[1]
_READABLE = 1 | 2  # POLLIN, POLLPRI

_monotonic, _sleep, _select = time.monotonic, time.sleep, select.select
_poll: Any = getattr(select, "poll", None)
_epoll: Any = getattr(select, "epoll", None)
_make_lock = _thread.allocate_lock
_thread_id = getattr(_thread, "get_native_id", _thread.get_ident)


class Clock:
    """The grader's clock, as this process sees it: `offset` is how many seconds were jumped over."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._place = ""
        self._line: Any = None
        self._turn = _make_lock()
        self._waits: dict[int, tuple[float | None, Callable[[], bool] | None]] = {}
        self._leaves = 0
        self._seen: tuple[dict[int, tuple[str, ...]], float] = ({}, 0.0)
        self._rest = b""

    def now(self) -> float:
        """Seconds, from any beginning."""
        return _monotonic() + self.offset

    def begin(self, place: str) -> None:
        """Come to the grader."""
        host, port, token = place.split(":")
        line = _PLAIN_SOCKET()
        line.connect((host, int(port)))
        self._place, self._line = place, line
        self._take(self._talk("hello " + token))

    def begin_again(self) -> None:
        """In a copy of the process."""
        self._turn = _make_lock()
        self._waits = {}
        self._rest = b""
        if self._line is not None:
            self._line.close()
            self._line = None
            try:
                self.begin(self._place)
            except OSError:
                pass  # the trial is over

    def wait(
        self, poll: Callable[[float], Any], seconds: float | None, peek: Callable[[], bool] | None = None
    ) -> Any:
        """What `poll` finds within `seconds`, or without end for `None`.

        `poll(real_seconds)` waits so long at most. `peek()` tells whether it would find something, and takes nothing.
        """
        found = poll(0)
        if found or (seconds is not None and seconds <= 0):
            return found
        due = None if seconds is None else self.now() + seconds
        me = _thread_id()
        before = self._waits.get(me)
        self._waits[me] = (due, peek)
        try:
            while True:
                left = SLICE_S
                if due is not None:
                    left = min(left, max(due - self.now(), 0))
                found = poll(left)
                if found:
                    return found
                if due is not None and self.now() >= due:
                    return poll(0)
                self._jump()
        finally:
            self._leaves += 1
            if before is None:
                self._waits.pop(me, None)
            else:
                self._waits[me] = before

    def _jump(self) -> None:
        """Let the clock jump if nobody could make use of the time up to what is due next."""
        if self._line is None or not self._turn.acquire(False):
            return
        try:
            leaves = self._leaves
            waits = list(self._waits.values())
            if not self._others_are_still():
                return
            dues = [due for due, _ in waits if due is not None]
            known = self._talk("quiet")
            if not known.startswith("quiet "):
                return
            # What the emulator has sent by now is here: it is silent.
            if leaves != self._leaves or any(peek() for _, peek in waits if peek is not None):
                return
            self._take(self._talk(f"jump {known[6:]} {min(dues) if dues else None!r}"))
        finally:
            self._turn.release()

    def _others_are_still(self) -> bool:
        """Whether all threads that wait for something unknown have done nothing for a while."""
        try:
            tasks = [int(name) for name in os.listdir("/proc/self/task")]
        except OSError:
            return threading.active_count() <= len(self._waits)
        others = [task for task in tasks if task not in self._waits]
        if not others:
            return True
        looks = {task: _look(task) for task in others}
        seen, since = self._seen
        if looks != seen:
            self._seen = (looks, _monotonic())
            return False
        return all(looks.values()) and _monotonic() - since >= STILL_S

    def _take(self, answer: str) -> None:
        word, _, offset = answer.partition(" ")
        if word == "at":
            self.offset = max(self.offset, float(offset))

    def _talk(self, line: str) -> str:
        try:
            self._line.sendall(line.encode() + b"\n")
            while b"\n" not in self._rest:
                data = self._line.recv(4096)
                if not data:
                    return ""
                self._rest += data
        except OSError:
            return ""
        answer, self._rest = self._rest.split(b"\n", 1)
        return answer.decode()


def _look(task: int) -> tuple[str, ...]:
    """How often a thread has run, if it sleeps now; empty if it runs or is gone."""
    try:
        with open(f"/proc/self/task/{task}/status") as file:
            lines = file.read().splitlines()
    except OSError:
        return ()
    if not any(line.startswith("State:\tS") for line in lines):
        return ()
    return tuple(line for line in lines if "ctxt_switches" in line)


def install() -> Clock:
    """Warp what is named above; the clock stands beside real time until it has begun."""
    clock = Clock()
    _warp_time(clock)
    _warp_select(clock)
    _warp_sockets(clock)
    _warp_threads(clock)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=clock.begin_again)
    return clock


def _warp_time(clock: Clock) -> None:
    for name in ("monotonic", "time", "perf_counter"):
        _warp_reading(clock, name)

    def warped_sleep(seconds: float) -> None:
        if seconds <= 0:
            _sleep(seconds)
        else:
            clock.wait(_sleep, seconds)

    time.sleep = warped_sleep  # type: ignore[assignment]


def _warp_reading(clock: Clock, name: str) -> None:
    real, real_ns = getattr(time, name), getattr(time, name + "_ns")
    setattr(time, name, lambda: real() + clock.offset)
    setattr(time, name + "_ns", lambda: real_ns() + int(clock.offset * 1e9))


def _warp_select(clock: Clock) -> None:
    def warped_select(rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None) -> Any:
        def poll(seconds: float) -> Any:
            found = _select(rlist, wlist, xlist, seconds)
            return found if any(found) else None

        return clock.wait(poll, timeout, lambda: bool(poll(0))) or ([], [], [])

    select.select = warped_select
    selectors = sys.modules.get("selectors")
    for real, name, selector, warped in (
        (_poll, "poll", "PollSelector", _WarpedPoll),
        (_epoll, "epoll", "EpollSelector", _WarpedEpoll),
    ):
        if real is not None:
            made = type(name, (warped,), {"clock": clock})
            setattr(select, name, made)
            if selectors is not None:  # something of the environment was earlier
                getattr(selectors, selector)._selector_cls = made


class _WarpedPoll:
    clock: Clock

    def __init__(self) -> None:
        self._real = _poll()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def poll(self, timeout: float | None = None) -> Any:
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        real = self._real.poll
        return self.clock.wait(lambda left: real(left * 1000), seconds, lambda: bool(real(0))) or []


class _WarpedEpoll:
    clock: Clock

    def __init__(self, *args: Any, **named: Any) -> None:
        self._real = _epoll(*args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> Any:
        seconds = None if timeout is None or timeout < 0 else timeout
        real = self._real
        return self.clock.wait(lambda left: real.poll(left, maxevents), seconds, self._is_ready) or []

    def _is_ready(self) -> bool:
        # The file of an epoll is ready when it has events, which this does not take.
        return bool(_select([self._real.fileno()], [], [], 0)[0])

    def __enter__(self) -> Any:
        self._real.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._real.__exit__(*error)

    @classmethod
    def fromfd(cls, descriptor: int) -> Any:
        made = cls.__new__(cls)
        made._real = _epoll.fromfd(descriptor)
        return made


def _warp_sockets(clock: Clock) -> None:
    for name in ("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "_accept"):
        real = getattr(_PLAIN_SOCKET, name, None)
        if real is not None:
            setattr(socket.socket, name, _warped_method(clock, real))


def _warped_method(clock: Clock, real: Any) -> Any:
    def method(self: Any, *args: Any, **named: Any) -> Any:
        timeout, number = self.gettimeout(), self.fileno()
        if timeout != 0 and number >= 0:
            found = clock.wait(
                lambda seconds: _is_readable(number, seconds), timeout, lambda: _is_readable(number, 0)
            )
            if not found:
                raise socket.timeout("timed out")  # noqa: UP041 - older Pythons have two
        return real(self, *args, **named)

    return method


def _is_readable(number: int, seconds: float) -> bool:
    if _poll is None:
        return bool(_select([number], [], [], seconds)[0])
    poll = _poll()
    poll.register(number, _READABLE)
    return bool(poll.poll(seconds * 1000))


def _warp_threads(clock: Clock) -> None:
    class Lock:
        """What conditions, events and queues wait with."""

        __slots__ = ("__weakref__", "_real")

        def __init__(self) -> None:
            self._real = _make_lock()

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            if not blocking or timeout < 0:
                return self._real.acquire(blocking, timeout)
            return bool(clock.wait(lambda seconds: self._real.acquire(True, seconds), timeout))

        def release(self) -> None:
            self._real.release()

        def locked(self) -> bool:
            return self._real.locked()

        def __enter__(self) -> bool:
            return self._real.__enter__()

        def __exit__(self, *error: object) -> None:
            self._real.release()

    threading._allocate_lock = Lock  # type: ignore[attr-defined]
