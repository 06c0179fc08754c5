"""The one place that imports httpx: what the rest uses of it, and its errors turned into ours.

It must not know endpoints, keys or the contract.
"""

import os
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from http.cookiejar import CookieJar
from typing import Any, Final, Literal

import httpx
from httpx import AsyncClient, Auth, Client, Request, Response

from phi_client._call.errors import APIConnectionError, APITimeoutError, ConfigurationError
from phi_client._call.fork_lock import ForkSafeLock
from phi_client._call.options import Timeout

__all__ = [
    "AsyncClient",
    "AsyncPool",
    "Auth",
    "Client",
    "Limits",
    "Pool",
    "Request",
    "Response",
    "check_client",
    "kept_headers",
    "parsed_url",
    "read_to_end",
    "read_to_end_async",
    "secrets_of",
    "translated_errors",
]

_Phase = Literal["connect", "read", "write", "pool"]

# As many are kept as may be at work: httpx's 20 would make and close the others again and again.
_MAX_CONNECTIONS: Final = 100
_POOL: Final = httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_CONNECTIONS)
_END_LIMIT_S: Final = 0.1
_read_limit_s: ContextVar[float | None] = ContextVar("_read_limit_s", default=None)
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
)


class _NoCookies(CookieJar):
    """Keeps none: no call depends on another, and looking for them takes a twentieth of a request's time."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Leave them."""


class Pool:
    """The connections to one endpoint: an httpx client of our own, or the caller's.

    Ours is made when first needed, and again in a forked child, which must not share its parent's connections;
    it is closed at the latest when the interpreter ends.
    """

    def __init__(self, given: Client | None, *, is_loopback: bool, speaks_tls: bool = True) -> None:
        self._given = given
        # On loopback no proxy of the environment is used: it would get the traffic.
        self._trusts_env = not is_loopback
        self._speaks_tls = speaks_tls
        self._lock = ForkSafeLock()
        self._own: Client | None = None
        self._process = 0
        self._is_closed = False

    def get(self) -> Client:
        """The client to send with.

        Raises:
            RuntimeError: the pool was closed.
        """
        if self._given is not None:
            return self._given
        own = self._own
        if own is not None and self._process == os.getpid():
            return own
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the client is closed")
            if self._own is None or self._process != os.getpid():
                self._own = Client(
                    verify=_tls_context(self._speaks_tls),
                    limits=_POOL,
                    trust_env=self._trusts_env,
                    follow_redirects=False,
                    cookies=_NoCookies(),
                )
                self._process = os.getpid()
                weakref.finalize(self, self._own.close)
            return self._own

    def twin(self) -> "Pool":
        """A pool of the same kind with connections of its own; of a caller's client, the same.

        Raises:
            RuntimeError: the pool was closed.
        """
        if self._is_closed:
            raise RuntimeError("the client is closed")
        return Pool(self._given, is_loopback=not self._trusts_env, speaks_tls=self._speaks_tls)

    def cut(self) -> None:
        """End what runs on our connections, from any thread; what waits for an answer fails at once."""
        own = self._own
        if own is not None and self._process == os.getpid():
            for connected in _sockets_of(own):
                # Closing alone would not wake a thread that reads. Past TLS, which is not for two threads at once.
                with suppress(OSError):
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close what is ours."""
        with self._lock:
            self._is_closed = True
            own, self._own = self._own, None
        if own is not None and self._process == os.getpid():
            own.close()


class AsyncPool:
    """As `Pool`, with a client for each event loop, because connections belong to the loop that made them."""

    def __init__(self, given: AsyncClient | None, *, is_loopback: bool, speaks_tls: bool = True) -> None:
        from phi_client._wire.per_loop import PerLoop  # noqa: PLC0415  # asyncio, which a sync client does without

        self._given = given
        self._trusts_env = not is_loopback
        self._speaks_tls = speaks_tls
        self._own = PerLoop(self._make)
        self._is_closed = False

    def get(self) -> AsyncClient:
        """The client to send with on the running loop.

        Raises:
            RuntimeError: the pool was closed.
        """
        if self._given is not None:
            return self._given
        if self._is_closed:
            raise RuntimeError("the client is closed")
        return self._own.get()

    async def aclose(self) -> None:
        """Close what is ours on the running loop."""
        self._is_closed = True
        own = self._own.pop()
        if own is not None:
            await own.aclose()

    def _make(self) -> AsyncClient:
        from phi_client._wire.connections import AsyncConnections  # noqa: PLC0415  # needs asyncio

        context = _tls_context(self._speaks_tls)
        client = AsyncClient(
            verify=context,
            limits=_POOL,
            trust_env=self._trusts_env,
            follow_redirects=False,
            cookies=_NoCookies(),
        )
        # httpx has no public seam between its transport, whose error mapping is wanted, and httpcore's pool.
        transport: Any = getattr(client, "_transport")  # noqa: B009  # private
        transport._pool = AsyncConnections(
            context,
            max_connections=_MAX_CONNECTIONS,
            max_idle=_MAX_CONNECTIONS,
            keepalive_s=_POOL.keepalive_expiry,
        )
        return client


@lru_cache(maxsize=64)
def parsed_url(url: str) -> httpx.URL:
    """`url` as httpx takes it. A client has few URLs, and parsing one takes a twentieth of a request's time.

    Raises:
        httpx.InvalidURL: it is none.
    """
    return httpx.URL(url)


def read_to_end(response: Response, data: Iterator[bytes]) -> None:
    """Take the end of an answer whose last event has come, if it is there at once: then the connection is kept."""
    with suppress(httpx.HTTPError), _short_reads(response) as is_bounded:
        if is_bounded:
            next(data, None)


async def read_to_end_async(response: Response, data: AsyncIterator[bytes]) -> None:
    """As `read_to_end`."""
    with suppress(httpx.HTTPError), _short_reads(response) as is_bounded:
        if is_bounded:
            await anext(data, None)


@contextmanager
def _short_reads(response: Response) -> Generator[bool]:
    """Let no read of this answer's connection take long; false where that can't be, as where many share it (HTTP/2).

    A limit of httpx is fixed when the answer begins, so the connection's own method is covered, for good: with the
    answer's end another thread may already have the connection.
    """
    stream: Any = response.extensions.get("network_stream")
    # Another transport's may be anything.
    if not hasattr(stream, "read") or not hasattr(stream, "__dict__") or response.http_version != "HTTP/1.1":
        yield False
        return
    if "read" not in vars(stream):
        stream.read = _limited(stream.read)
    before = _read_limit_s.set(_END_LIMIT_S)
    try:
        yield True
    finally:
        _read_limit_s.reset(before)


def _limited(read: Callable[..., Any]) -> Callable[..., Any]:
    def read_within_limit(max_bytes: int, timeout: float | None = None) -> Any:
        return read(max_bytes, timeout=_read_limit_s.get() or timeout)

    return read_within_limit


@cache
def _make_tls_context(*, file: str | None, folder: str | None) -> ssl.SSLContext:
    del file, folder  # httpx reads them itself: they make another context another key
    return httpx.create_ssl_context()


def _tls_context(speaks_tls: bool) -> ssl.SSLContext:  # noqa: FBT001
    """The context that all clients of this process share: reading the certificates takes longer than a request.

    Over plain HTTP none is needed; what httpx gets in its place trusts nobody.
    """
    if not speaks_tls:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _make_tls_context(file=os.environ.get("SSL_CERT_FILE"), folder=os.environ.get("SSL_CERT_DIR"))


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


def _sockets_of(client: Client) -> Iterator[socket.socket]:
    """The sockets of a client's connections, for which neither httpx nor httpcore has a public seam."""
    for transport in [getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()]:
        for connection in list(getattr(getattr(transport, "_pool", None), "connections", [])):
            stream = getattr(getattr(connection, "_connection", None), "_network_stream", None)
            found: object = stream.get_extra_info("socket") if stream is not None else None
            if isinstance(found, socket.socket):
                yield found


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
        raise limits.reached(phase, request_sent=not isinstance(error, _NOT_SENT)) from _bare(error)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"the endpoint makes no valid URL: {error}") from _bare(error)
    except httpx.LocalProtocolError as error:
        # Its message may quote the header that h11 refuses.
        _bare(error).args = ("withheld",)
        raise APIConnectionError("the request is not valid HTTP", request_sent=False) from None
    except httpx.RequestError as error:
        raise APIConnectionError(
            f"the connection failed: {type(error).__name__}: {error}",
            request_sent=not isinstance(error, _NOT_SENT),
        ) from _bare(error)


def secrets_of(request: Request) -> tuple[str, ...]:
    """The keys and tokens that `request` carries."""
    bearer = request.headers.get("Authorization", "").partition(" ")[2]
    return tuple(filter(None, (bearer, request.headers.get("api-key", ""))))


def kept_headers(response: Response, secrets: Iterable[str]) -> dict[str, str]:
    """The headers of an answer, names in lower case, without an echo of `secrets`."""
    headers = dict(response.headers.items())  # without it, each is looked up among all
    for name, value in headers.items():
        for secret in secrets:
            if secret in value:
                headers[name] = "[secret]"
    return headers


def _bare(error: Exception) -> Exception:
    """`error` and its causes without their frames, whose variables hold the headers that were sent."""
    seen: set[int] = set()
    inner: BaseException | None = error
    # A chain can be a ring: `raise error from error` is allowed.
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        inner.__traceback__ = None
        inner = inner.__cause__ or inner.__context__
    return error


def check_client(client: object, wanted: type[Client] | type[AsyncClient]) -> None:
    """Refuse a client of the other kind.

    Raises:
        ConfigurationError: the message says which one to pass.
    """
    if client is not None and not isinstance(client, wanted):
        raise ConfigurationError(f"`http_client` must be an `httpx.{wanted.__name__}` here")
