"""The one place that imports httpx: what the rest uses of it, and its errors turned into ours.

It must not know endpoints, keys or the contract.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import httpx
from httpx import AsyncClient, Auth, Client, Request, Response
from httpx import Timeout as PhaseLimits

from phi_client._options import Timeout
from phi_client.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    TimeoutPhase,
)

__all__ = [
    "AsyncClient",
    "Auth",
    "Client",
    "PhaseLimits",
    "Request",
    "Response",
    "check_client",
    "new_async_client",
    "new_client",
    "phase_limits",
    "translated_errors",
]

_LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20)
_PHASES: Final[dict[type[httpx.TimeoutException], TimeoutPhase]] = {
    httpx.ConnectTimeout: "connect",
    httpx.ReadTimeout: "read",
    httpx.WriteTimeout: "write",
    httpx.PoolTimeout: "pool",
}
# Raised before a byte of the request left; after any other error the service may have got it.
_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


def new_client(*, is_loopback: bool) -> Client:
    """A client of our own. On loopback no proxy of the environment is used: it would get the traffic."""
    return Client(limits=_LIMITS, trust_env=not is_loopback, follow_redirects=False)


def new_async_client(*, is_loopback: bool) -> AsyncClient:
    """As `new_client`."""
    return AsyncClient(limits=_LIMITS, trust_env=not is_loopback, follow_redirects=False)


def phase_limits(timeout: Timeout, remaining_s: float | None) -> PhaseLimits:
    """httpx's limits, none longer than what remains of the deadline."""
    ceiling = float("inf") if remaining_s is None else max(remaining_s, 0.001)

    def bounded(limit: float | None) -> float | None:
        lowest = min(ceiling, float("inf") if limit is None else limit)
        return None if lowest == float("inf") else lowest

    return PhaseLimits(
        connect=bounded(timeout.connect),
        read=bounded(timeout.read),
        write=bounded(timeout.write),
        pool=bounded(timeout.pool),
    )


@contextmanager
def translated_errors(limits: PhaseLimits) -> Generator[None]:
    """Turn httpx's errors into ours; `limits` are those that the request was sent with.

    Raises:
        APITimeoutError: a phase took longer than its limit.
        APIConnectionError: the connection failed.
        ConfigurationError: httpx can't work with the URL.
    """
    try:
        yield
    except httpx.TimeoutException as error:
        phase = _PHASES.get(type(error), "read")
        limit_s = float(limits.as_dict()[phase] or 0.0)
        raise APITimeoutError(
            f"no answer within the {phase} limit of {limit_s:g} s",
            phase=phase,
            limit_s=limit_s,
            request_sent=not isinstance(error, _NOT_SENT),
        ) from error
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"the endpoint makes no valid URL: {error}") from error
    except httpx.TransportError as error:
        raise APIConnectionError(
            f"the connection failed: {type(error).__name__}: {error}",
            request_sent=not isinstance(error, _NOT_SENT),
        ) from error


def check_client(client: object, wanted: type[Client] | type[AsyncClient]) -> None:
    """Refuse a client of the other kind.

    Raises:
        ConfigurationError: the message says which one to pass.
    """
    if client is not None and not isinstance(client, wanted):
        raise ConfigurationError(f"`http_client` must be an `httpx.{wanted.__name__}` here")
