"""What the sockets of one connection know: whose limits hold now, whether a request has left, whether it was cut.

It must not know HTTP, nor whether it is sync or async. A connection carries one request at a time, so the limits are
the cable's, looked at before each wait; what an HTTP library passes down was fixed when the request began.
"""

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from phi_client._call.deadline import Limits, Phase
from phi_client._wire.background import Job

if TYPE_CHECKING:
    from phi_client.contract.clock.wires import Wire

__all__ = ["END_LIMIT_S", "LONGEST_S", "Cable", "bounded"]

LONGEST_S: Final = 1_000_000.0
"""Eleven days; a longer limit is none, and a socket would refuse some of them."""

END_LIMIT_S: Final = 0.1
"""How long the end of a stream is waited for after its last event."""


def bounded(limit_s: float | None) -> float | None:
    """A limit as sockets and timers take it."""
    return None if limit_s is None or limit_s > LONGEST_S else limit_s


class Cable:
    """One connection's socket. Its connection stands when `layers` handshakes of TLS are done."""

    __slots__ = (
        "__weakref__", "_connect_began", "_is_cut", "_open", "handshakes", "has_connected",
        "has_run_out", "is_busy", "is_refused", "is_sent", "kept_at", "layers", "limits", "proxy", "sock", "waiting",
        "wire",
    )  # fmt: skip

    def __init__(
        self, layers: int, limits: Limits, open_sockets: dict[int, socket.socket], proxy: str = ""
    ) -> None:
        self._open = open_sockets
        self.layers = layers
        self.proxy = proxy
        """Where the proxy on the way was named, if there is one."""
        self.limits = limits
        self.handshakes = 0
        self.sock: socket.socket | None = None
        self.waiting: Job[Any] | None = None
        """What a connect waits for that is no socket."""
        self.wire: Wire | None = None
        """What virtual time has to know of the connection."""
        self.is_busy = True
        self.kept_at = 0.0
        """When it was kept for the next request, by the time of the last one."""
        self.has_connected = False
        """Whether it ever had a socket; where HTTP is mocked it has none."""
        self.is_sent = False
        """Whether a byte of the request at work may have left."""
        self.is_refused = False
        """Whether nothing listens at any of the host's addresses."""
        self.has_run_out = False
        self._is_cut = False
        self._connect_began: float | None = None

    def plug(self, sock: socket.socket) -> None:
        """Take a socket. It is noted where it outlives this, so that what is thrown away as one is closed in order."""
        self._open[id(self)] = self.sock = sock
        self.has_connected = True

    def connected(self) -> None:
        """Tell virtual time of the connection, where the limits go by it.

        Raises:
            ConnectionAbortedError: the connection was cut.
        """
        self.check()
        virtual, sock = self.limits.deadline.virtual, self.sock
        if virtual is not None and sock is not None:
            self.wire = virtual.wires.dialled(sock.getsockname(), sock.getpeername())

    def begin(self, limits: Limits) -> None:
        """Carry another request."""
        self.limits = limits
        self.is_busy = True
        self.is_sent = self.has_run_out = False

    def phase(self, kind: Literal["read", "write"], timeout: float | None) -> Phase:
        """What a wait belongs to. HTTP always comes with a timeout; a handshake of SOCKS does not."""
        return "connect" if timeout is None or self.handshakes < self.layers else kind

    def left_s(self, phase: Phase) -> float | None:
        """How long the next wait may take.

        Raises:
            TimeoutError: no time is left.
            ConnectionAbortedError: the connection was cut.
        """
        self.check()
        limits = self.limits
        if limits.deadline.has_passed:
            raise TimeoutError("the deadline has passed")
        left_s = limits.left_s(phase)
        if phase == "connect" and limits.timeout.connect is not None:
            # Name, address and handshakes are one wait to whoever set the limit.
            now = limits.deadline.now()
            if self._connect_began is None:
                self._connect_began = now
            own_s = limits.timeout.connect - (now - self._connect_began)
            if own_s <= 0:
                raise TimeoutError("the connection does not stand")
            left_s = own_s if left_s is None else min(left_s, own_s)
        return bounded(left_s)

    def check(self) -> None:
        """Raise for a connection that was cut.

        Raises:
            ConnectionAbortedError: it was.
        """
        if self._is_cut:
            raise ConnectionAbortedError("the connection was cut")

    def check_end(self) -> None:
        """Say why a connection has ended, if it was ended here.

        Raises:
            ConnectionAbortedError: it was cut.
            TimeoutError: its time was over.
        """
        self.check()
        if self.has_run_out:
            raise TimeoutError("nothing came in time")

    def run_out(self) -> None:
        """End the wait at work, whose time is over."""
        self.has_run_out = True
        self._shut()

    def cut(self) -> None:
        """End what runs, from any thread: who waits is told at once. Closing alone would wake nobody."""
        self._is_cut = True
        waiting = self.waiting
        if waiting is not None:
            waiting.give_up(ConnectionAbortedError("the connection was cut"))
        self._shut()

    def close(self) -> None:
        """Close the socket. Only for whoever uses the connection, or where nobody does."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()
            self._open.pop(id(self), None)
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.leave()

    def __del__(self) -> None:
        # Of whatever was left in the middle: an interrupt may fall between any two lines.
        if getattr(self, "sock", None) is not None:
            self.close()

    def _shut(self) -> None:
        sock, wire = self.sock, self.wire
        if wire is not None:
            wire.cut()
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
