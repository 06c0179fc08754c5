"""A host's addresses, and sockets for them.

It must not connect: that is where sync and async differ.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from phi_client._wire.connection_state import Cable

__all__ = ["Address", "Tries", "known_addresses", "open_socket", "resolved"]

Address = tuple[int, int, int, Any]
"""Family, type, protocol and the address itself, as sockets take them."""

_FIRST_PROBE_S: Final = 60
_BETWEEN_PROBES_S: Final = 30
# Of these a system has some; the first two are the same under two names.
_PROBES: Final = (
    ("TCP_KEEPIDLE", _FIRST_PROBE_S),
    ("TCP_KEEPALIVE", _FIRST_PROBE_S),
    ("TCP_KEEPINTVL", _BETWEEN_PROBES_S),
)


def known_addresses(host: str, port: int) -> list[Address] | None:
    """Those of a host that is an address itself; else DNS must be asked."""
    try:
        return _found(host, port, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None


def resolved(host: str, port: int) -> list[Address]:
    """What the system says are a host's addresses, which may take any time.

    Raises:
        OSError: there are none.
    """
    try:
        return _found(host, port)
    except UnicodeError as error:
        raise OSError("the host is no name that DNS can know") from error


def open_socket(cable: Cable, address: Address) -> socket.socket:
    """A socket for `cable` that sends at once, and that asks after a silent peer.

    Load balancers drop what is silent for some minutes, as an answer that is still being thought about.
    """
    made = socket.socket(*address[:3])
    cable.plug(made)
    with suppress(OSError):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _PROBES:
        option: int | None = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                made.setsockopt(socket.IPPROTO_TCP, option, seconds)
    return made


@dataclass(slots=True)
class Tries:
    """A host's addresses, one after the other, and what came of each."""

    cable: Cable
    addresses: Sequence[Address]
    _failures: list[OSError]

    @classmethod
    def of(cls, cable: Cable, addresses: Sequence[Address]) -> "Tries":
        """All addresses, none of them tried."""
        return cls(cable, addresses, [])

    def __iter__(self) -> Iterator[tuple[Address, float | None]]:
        """Each address with its share of what is left of the limit."""
        for number, address in enumerate(self.addresses):
            left_s = self.cable.left_s("connect")
            yield address, None if left_s is None else left_s / (len(self.addresses) - number)

    def failed(self, error: OSError) -> None:
        """Note that an address took no connection, and forget its socket."""
        self.cable.close()
        self.cable.check()
        self._failures.append(error)

    def failure(self) -> OSError:
        """The error for a host none of whose addresses took a connection."""
        failures = self._failures
        is_refused = bool(failures) and all(isinstance(error, ConnectionRefusedError) for error in failures)
        # A proxy says nothing of the service behind it.
        self.cable.is_refused = is_refused and not self.cable.proxy
        others = [error for error in failures if not isinstance(error, TimeoutError)]
        return (others or failures or [OSError("the host has no address")])[0]


def _found(host: str, port: int, *, flags: int = 0) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]
