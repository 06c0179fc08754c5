"""The socket on which a server listens, and what to do where there is none. It must not know what is served."""

from __future__ import annotations

import errno
import socket
from typing import Final

__all__ = ["ListenError", "listen", "root_url"]

_OTHER_PORT: Final = "choose another port with `--port` (0 takes a free one), or another `--host`"
_REMEDIES: Final = {
    errno.EADDRINUSE: "stop the program that listens there, or choose another port with `--port` (0 takes a free one)",
    errno.EADDRNOTAVAIL: "no network card of this machine has that address: give one of its own with `--host`, or "
    "127.0.0.1",
    # Ports below 1024, and on Windows those that Hyper-V keeps: `netsh int ipv4 show excludedportrange tcp` lists them.
    errno.EACCES: "the system keeps this port for itself or for administrators: choose another one above 1023 with "
    "`--port` (0 takes a free one)",
}


class ListenError(Exception):
    """A port can't be listened on; the message says what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Listen before anything is served: a taken port is said at once, and who connects meanwhile waits.

    Raises:
        ListenError: the port is taken, or the system doesn't allow it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        where = f"{host}:{port}"
        raise ListenError(
            f"{_refusal(error, where)}: {_REMEDIES.get(error.errno or 0, _OTHER_PORT)}"
        ) from error
    # asyncio sets this on connections only where the listening socket names its protocol, which this one does not.
    # Without it the second and every later answer on a connection comes 40 ms late.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def root_url(host: str, port: int) -> str:
    """The URL by which this machine reaches what listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - replaced
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refusal(error: OSError, where: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"the address {where} is in use"
    return f"can't listen on {where} ({error.strerror or error})"
