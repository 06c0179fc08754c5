"""What the sync and the async transport have in common.

It must not wait for anything.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

__all__ = ["ATTEMPT", "as_httpx", "as_response", "raised_as_httpx"]

ATTEMPT: Final = "phi_client.attempt"
"""The extension of a request that carries its `Attempt`."""

_TWINS: Final[dict[type[Exception], type[httpx.TransportError]]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
}


def as_httpx(error: Exception) -> Exception:
    """An error of httpcore under httpx's name; any other as it is."""
    twin = _TWINS.get(type(error))
    if twin is None:
        return error
    named = twin(str(error))
    named.__cause__ = error
    return named


@contextmanager
def raised_as_httpx() -> Generator[None]:
    """Turn httpcore's errors into httpx's, which is what a transport of httpx raises."""
    try:
        yield
    except Exception as error:
        named = as_httpx(error)
        if named is error:
            raise
        raise named from error


def as_response(response: httpcore.Response, body: Any) -> httpx.Response:
    """The head of an answer as httpx takes it, with `body` still to come."""
    extensions: dict[str, Any] = getattr(response, "extensions")  # noqa: B009  # typed as unknown
    return httpx.Response(response.status, headers=response.headers, stream=body, extensions=extensions)
