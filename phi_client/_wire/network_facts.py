"""What sync and async sockets have in common: how much goes at once, what is told of a socket, how errors are called.

It must not wait for anything.
"""

import select
import socket
from typing import Any, Final

import httpcore

from phi_client._call.deadline import Phase

__all__ = ["MOST_AT_ONCE", "MOST_PENDING", "about", "raised_as"]

MOST_PENDING: Final = 64 * 1024
"""Bytes that may wait to be sent together."""
MOST_AT_ONCE: Final = 256 * 1024
"""Bytes of one wait to send, so that a long request under way is no silence."""

_NAMES: Final[dict[Phase, tuple[type[Exception], type[Exception]]]] = {
    "connect": (httpcore.ConnectTimeout, httpcore.ConnectError),
    "read": (httpcore.ReadTimeout, httpcore.ReadError),
    "write": (httpcore.WriteTimeout, httpcore.WriteError),
}


def raised_as(error: OSError, phase: Phase) -> Exception:
    """An error of a socket under httpcore's name."""
    timed_out, failed = _NAMES[phase]
    return (timed_out if isinstance(error, TimeoutError) else failed)(str(error) or type(error).__name__)


def about(sock: socket.socket | None, info: str) -> Any:
    """What httpcore asks of a connection."""
    if info == "is_readable":
        return sock is None or _is_readable(sock)
    if sock is None:
        return None
    if info == "client_addr":
        return sock.getsockname()
    if info == "server_addr":
        return sock.getpeername()
    return sock if info == "socket" else None


def _is_readable(sock: socket.socket) -> bool:
    """Whether anything has come, or the end has."""
    if sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
