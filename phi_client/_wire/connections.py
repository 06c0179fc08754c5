"""The connections of a client to one endpoint: its own, or those of a client of httpx that the caller gave.

It must not know how anything is sent, and loads what sends when something is: a sync client does without asyncio, and
a client with the caller's httpx without httpcore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from httpx import AsyncClient, Client

from phi_client._call.errors import ConfigurationError
from phi_client._call.fork_lock import ForkSafeLock

if TYPE_CHECKING:
    from typing import Protocol

    from phi_client._call.steps import Send
    from phi_client._wire.async_callers_client import AsyncGiven
    from phi_client._wire.async_own_connections import AsyncOwn
    from phi_client._wire.callers_client import Given
    from phi_client._wire.own_connections import Own
    from phi_client.contract.dialects import Endpoint

    class SyncReply(Protocol):
        """The head of an answer, its body still to come."""

        status: int
        headers: dict[str, str]

        def read(self) -> bytes | None: ...
        def drain(self) -> None: ...
        def close(self) -> None: ...

    class AsyncReply(Protocol):
        """As `SyncReply`."""

        status: int
        headers: dict[str, str]

        async def read(self) -> bytes | None: ...
        async def drain(self) -> None: ...
        async def close(self) -> None: ...


__all__ = [
    "AsyncClient",
    "AsyncConnections",
    "AsyncReply",
    "Client",
    "Connections",
    "SyncReply",
    "check_client",
]

_CLOSED: Final = "the client is closed: make another, or close it when its last call has ended"


class Connections:
    """Connections for any number of threads; in a forked child others than in its parent."""

    def __init__(self, given: Client | None, endpoint: Endpoint) -> None:
        self._given = given
        self._endpoint = endpoint
        self._lock = ForkSafeLock()
        self._sender: Own | Given | None = None
        self._is_closed = False

    def send(self, step: Send) -> SyncReply:
        """Send, and give the head of the answer.

        Raises:
            APIConnectionError: there is no answer, or a limit was reached.
            ConfigurationError: the connections are closed, or a setting of the environment can't work.
        """
        sender = None if self._is_closed else self._sender
        return (sender or self._made()).send(step)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_closed

    def twin(self) -> Connections:
        """Connections of the same kind that are others; of a caller's client, the same.

        Raises:
            ConfigurationError: these are closed.
        """
        if self._is_closed:
            raise ConfigurationError(_CLOSED)
        return Connections(self._given, self._endpoint)

    def cut(self) -> None:
        """End what runs on our connections, from any thread; what waits fails at once."""
        if self._sender is not None:
            self._sender.cut()

    def close(self) -> None:
        """Close what is ours; what still runs on it fails."""
        with self._lock:
            self._is_closed = True
        if self._sender is not None:
            self._sender.close()

    def _made(self) -> Own | Given:
        with self._lock:
            if self._is_closed:
                raise ConfigurationError(_CLOSED)
            if self._sender is None and self._given is not None:
                from phi_client._wire.callers_client import Given  # noqa: PLC0415  # what is not used costs time

                self._sender = Given(self._given)
            elif self._sender is None:
                from phi_client._wire.own_connections import Own  # noqa: PLC0415

                self._sender = Own(self._endpoint)
            return self._sender


class AsyncConnections:
    """Connections for any number of tasks; each event loop has others, and so has a forked child."""

    def __init__(self, given: AsyncClient | None, endpoint: Endpoint) -> None:
        self._given = given
        self._endpoint = endpoint
        self._lock = ForkSafeLock()
        self._sender: AsyncOwn | AsyncGiven | None = None
        self._is_closed = False

    async def send(self, step: Send) -> AsyncReply:
        """Send, and give the head of the answer.

        Raises:
            APIConnectionError: there is no answer, or a limit was reached.
            ConfigurationError: the connections are closed, a setting of the environment can't work, or no event loop
                of asyncio runs.
        """
        sender = None if self._is_closed else self._sender
        return await (sender or self._made()).send(step)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_closed

    def twin(self) -> AsyncConnections:
        """Connections of the same kind that are others; of a caller's client, the same.

        Raises:
            ConfigurationError: these are closed.
        """
        if self._is_closed:
            raise ConfigurationError(_CLOSED)
        return AsyncConnections(self._given, self._endpoint)

    def cut(self) -> None:
        """End what runs on our connections, from any thread; what waits fails at once."""
        if self._sender is not None:
            self._sender.cut()

    async def close(self) -> None:
        """Close what is ours, on all event loops; what still runs on it fails. Never waits."""
        with self._lock:
            self._is_closed = True
        if self._sender is not None:
            self._sender.close()

    def _made(self) -> AsyncOwn | AsyncGiven:
        with self._lock:
            if self._is_closed:
                raise ConfigurationError(_CLOSED)
            if self._sender is None and self._given is not None:
                from phi_client._wire.async_callers_client import AsyncGiven  # noqa: PLC0415

                self._sender = AsyncGiven(self._given)
            elif self._sender is None:
                from phi_client._wire.async_own_connections import AsyncOwn  # noqa: PLC0415

                self._sender = AsyncOwn(self._endpoint)
            return self._sender


def check_client(client: object, wanted: type[Client | AsyncClient]) -> None:
    """Refuse a client of another kind.

    Raises:
        ConfigurationError: the message says which one to pass.
    """
    if client is None or isinstance(client, wanted):
        return
    package = type(client).__module__.partition(".")[0]
    hint = f", not one of {package}" if package != "httpx" else f", not an `httpx.{type(client).__name__}`"
    raise ConfigurationError(f"`http_client` must be an `httpx.{wanted.__name__}` here{hint}")
