"""The one place that imports httpx: what the rest uses of it, and its errors turned into ours.

It must not know endpoints, keys or the contract.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import httpx
from httpx import AsyncClient, Auth, Client, Request, Response

from phi_client._options import Timeout
from phi_client.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
)

__all__ = [
    "AsyncClient",
    "Auth",
    "Client",
    "Limits",
    "Request",
    "Response",
    "check_client",
    "new_async_client",
    "new_client",
    "translated_errors",
]

_Phase = Literal["connect", "read", "write", "pool"]

_POOL: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20)
_PHASES: Final[dict[type[httpx.TimeoutException], _Phase]] = {
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
    return Client(limits=_POOL, trust_env=not is_loopback, follow_redirects=False)


def new_async_client(*, is_loopback: bool) -> AsyncClient:
    """As `new_client`."""
    return AsyncClient(limits=_POOL, trust_env=not is_loopback, follow_redirects=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one attempt: those by phase, none longer than what remains of the deadline."""

    timeout: Timeout
    remaining_s: float | None

    def for_http(self) -> httpx.Timeout:
        """The limits as httpx takes them."""
        phases: tuple[_Phase, ...] = ("connect", "read", "write", "pool")
        return httpx.Timeout(**{phase: self._limit_s(phase) for phase in phases})

    def reached(self, phase: _Phase, *, request_sent: bool) -> APITimeoutError:
        """The error for a limit that was reached, which may be the deadline's."""
        own, limit_s = getattr(self.timeout, phase), self._limit_s(phase) or 0.0
        is_deadline = own is None or limit_s < own
        which = f"{limit_s:.3g} s left of the deadline" if is_deadline else f"{phase} limit of {limit_s:g} s"
        return APITimeoutError(
            f"no answer within the {which}",
            phase="deadline" if is_deadline else phase,
            limit_s=limit_s,
            request_sent=request_sent,
        )

    def _limit_s(self, phase: _Phase) -> float | None:
        limits = [limit for limit in (getattr(self.timeout, phase), self.remaining_s) if limit is not None]
        # A deadline that has just passed must still be a limit: 0 would be refused or mean none.
        return max(min(limits), 0.001) if limits else None


@contextmanager
def translated_errors(limits: Limits) -> Generator[None]:
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
        raise limits.reached(phase, request_sent=not isinstance(error, _NOT_SENT)) from error
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"the endpoint makes no valid URL: {error}") from error
    except httpx.RequestError as error:
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
