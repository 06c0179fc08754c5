"""The connections to one endpoint, kept for the next request: as many as work at once, the last used first.

It must not wait for anything, so sync and async share it. All that it does is one step of a list or a dictionary, which
threads can't come in between; a forked child and each event loop have lines of their own.
"""

import socket
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import httpcore
import httpx

from phi_client._call.deadline import Limits
from phi_client._call.errors import ConfigurationError
from phi_client._wire.certificates import tls_context
from phi_client._wire.connection_state import Cable
from phi_client._wire.proxies import proxy_for
from phi_client.contract.dialects import Endpoint

__all__ = ["CLOSED", "KEPT_S", "Connection", "Line", "Lines", "Makers", "core_url"]

KEPT_S: Final = 5.0
"""How long a connection is kept for the next request; servers close theirs after as little."""

CLOSED: Final = "the client is closed: make another, or close it when its last call has ended"


class Connection(Protocol):
    """What tells whether a connection of httpcore can serve again."""

    def is_idle(self) -> bool: ...
    def has_expired(self) -> bool: ...


_C = TypeVar("_C")


@dataclass(frozen=True, slots=True)
class Makers(Generic[_C]):
    """httpcore's classes of one kind, sync or async, and our sockets under them."""

    direct: Callable[..., _C]
    by_http: Callable[..., _C]
    by_socks: Callable[..., _C]
    network: Callable[[Cable], object]


@dataclass(frozen=True, slots=True, eq=False)
class Line(Generic[_C]):
    """One connection: its socket, and httpcore's connection over it.

    Through a proxy that is a pool of httpcore with one connection in it.
    """

    cable: Cable
    carrier: _C

    def serves_again(self) -> bool:
        """Whether it can carry another request."""
        members = self._members()
        return bool(members) and all(one.is_idle() and not one.has_expired() for one in members)

    def is_idle(self) -> bool:
        """Whether its last answer was read to the end."""
        members = self._members()
        return self.cable.sock is not None and bool(members) and all(one.is_idle() for one in members)

    def _members(self) -> Sequence[Connection]:
        carrier: Any = self.carrier
        return carrier.connections if hasattr(carrier, "connections") else (carrier,)


class Lines(Generic[_C]):
    """All lines to one endpoint, of one process and, if async, of one event loop.

    Raises:
        ConfigurationError: the environment's proxies or certificates can't work.
    """

    def __init__(self, endpoint: Endpoint, makers: Makers[_C]) -> None:
        url = httpx.URL(endpoint.base_url)
        self._origin = core_url(url).origin
        self._makers = makers
        self._proxy = proxy_for(endpoint.base_url, is_loopback=endpoint.is_loopback)
        self.secrets = () if self._proxy is None else self._proxy.secrets
        needs_tls = endpoint.speaks_tls or (self._proxy is not None and self._proxy.speaks_tls)
        self._context = tls_context() if needs_tls else None
        self._layers = int(endpoint.speaks_tls) + int(self._proxy is not None and self._proxy.speaks_tls)
        self._idle: list[Line[_C]] = []
        self._cables: weakref.WeakValueDictionary[int, Cable] = weakref.WeakValueDictionary()
        self._is_closed = False
        # At the interpreter's end too, and in a child, where it closes no more than the child's own ends.
        self._open: dict[int, socket.socket] = {}
        weakref.finalize(self, _close_all, self._open)

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many connections are at work."""
        return sum(cable.is_busy for cable in _living(self._cables))

    def take(self, limits: Limits) -> Line[_C]:
        """A kept line, or a new one.

        Raises:
            ConfigurationError: they were closed.
        """
        idle = self._idle
        self._drop_oldest()
        while idle:
            try:
                line = idle.pop()
            except IndexError:
                break
            if line.serves_again() and limits.deadline.now() - line.cable.kept_at <= KEPT_S:
                line.cable.begin(limits)
                return line
            self.drop(line)
        if self._is_closed:
            raise ConfigurationError(CLOSED)
        cable = Cable(
            self._layers, limits, self._open, self._proxy.setting if self._proxy is not None else ""
        )
        self._cables[id(cable)] = cable
        return Line(cable, self._carrier(cable))

    def give_back(self, line: Line[_C]) -> None:
        """Keep a line whose answer has ended, if it can serve again."""
        if not line.is_idle() or line.cable.has_run_out:
            self.drop(line)
            return
        line.cable.is_busy = False
        line.cable.kept_at = line.cable.limits.deadline.now()
        self._idle.append(line)
        if self._is_closed:
            self._close_idle()

    def drop(self, line: Line[_C]) -> None:
        """Close a line that nobody uses any more."""
        line.cable.is_busy = False
        line.cable.close()

    def cut(self) -> None:
        """End what runs, from any thread."""
        for cable in _living(self._cables):
            if cable.is_busy:
                cable.cut()

    def close(self) -> None:
        """Close what is kept, end what runs, and make no more, from any thread."""
        self._is_closed = True
        self._close_idle()
        self.cut()

    def abandon(self) -> None:
        """Close all sockets where nobody can be waiting: their event loop has ended, or this is a forked child."""
        self._is_closed = True
        self._idle.clear()
        for cable in _living(self._cables):
            cable.close()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                line = self._idle.pop()
            except IndexError:
                return
            self.drop(line)

    def _drop_oldest(self) -> None:
        """The last kept is the first taken, so those of a busier time would stay for ever."""
        while len(self._idle) > 1:
            try:
                oldest = self._idle[0]
                if oldest.serves_again():
                    return
                self._idle.remove(oldest)
            except (IndexError, ValueError):  # another thread was faster
                return
            self.drop(oldest)

    def _carrier(self, cable: Cable) -> _C:
        makers, proxy, network = self._makers, self._proxy, self._makers.network(cable)
        if proxy is None:
            return makers.direct(
                self._origin, ssl_context=self._context, keepalive_expiry=KEPT_S, network_backend=network
            )
        url = httpcore.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/")
        common = {
            "proxy_auth": proxy.user, "ssl_context": self._context, "keepalive_expiry": KEPT_S,
            "max_connections": 1, "network_backend": network,
        }  # fmt: skip
        if proxy.is_socks:
            return makers.by_socks(url, **common)
        return makers.by_http(url, proxy_ssl_context=self._context if proxy.speaks_tls else None, **common)


def core_url(url: httpx.URL) -> httpcore.URL:
    """A URL of httpx as httpcore takes it."""
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _living(cables: weakref.WeakValueDictionary[int, Cable]) -> list[Cable]:
    return [cable for cable in [reference() for reference in cables.valuerefs()] if cable is not None]


def _close_all(sockets: dict[int, socket.socket]) -> None:
    for sock in list(sockets.values()):
        sock.close()
    sockets.clear()
