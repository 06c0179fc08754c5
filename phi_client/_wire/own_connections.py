"""Sending on connections of our own, sync. Its twin is `async_own_connections.py`, with `await`.

It must not know retries, nor what an answer says.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from http.cookiejar import CookieJar
from typing import Any, Final

import httpx

from phi_client._call.errors import ConfigurationError, PhiError
from phi_client._call.fork_lock import ForkSafeLock, renew_in_children
from phi_client._call.options import merge_headers
from phi_client._call.real_endpoints import trace_for
from phi_client._call.steps import Send
from phi_client._wire.callers_client import GivenReply, codings
from phi_client._wire.connection_pool import CLOSED, Lines
from phi_client._wire.connection_state import END_LIMIT_S
from phi_client._wire.faults import Attempt, translated
from phi_client._wire.sync_transport import MAKERS, Body, SyncLines, Transport
from phi_client._wire.transport_facts import ATTEMPT, as_httpx
from phi_client.contract.dialects import Endpoint

__all__ = ["NoCookies", "Own", "OwnReply", "can_be_unpacked", "own_request"]

_ALWAYS: Final = {"Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"}
"""An answer may be packed, but not in all ways that httpx can unpack: some grow a millionfold in one step."""


class NoCookies(CookieJar):
    """Keeps none: no call depends on another, and looking for them takes a twentieth of a request's time."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Leave them."""


class Own:
    """The connections to one endpoint; in a forked child, others."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = ForkSafeLock()
        self._lines: SyncLines | None = None
        self._is_closed = False
        self._http = httpx.Client(
            transport=Transport(self.lines),
            trust_env=False,
            follow_redirects=False,
            cookies=NoCookies(),
        )
        renew_in_children(self)

    def lines(self) -> SyncLines:
        """The connections, made when first needed.

        Raises:
            ConfigurationError: they are closed, or the environment's proxies or certificates can't work.
        """
        if self._lines is None:
            with self._lock:
                if self._is_closed:
                    raise ConfigurationError(CLOSED)
                if self._lines is None:
                    self._lines = Lines(self._endpoint, MAKERS)
        return self._lines

    def send(self, step: Send) -> "OwnReply | GivenReply":
        """The reply to `step`, its body still to come."""
        attempt = Attempt(step.limits, step.secrets)
        try:
            attempt.secrets = step.secrets.and_of(self.lines().secrets)
            request = own_request(step, attempt)
            trace = trace_for(step.url)
            if trace is not None:
                request.extensions["trace"] = trace
            response = self._http.send(request, stream=True)
        except PhiError:
            raise
        except Exception as error:
            raise translated(as_httpx(error), attempt) from error
        # A mock of httpx stands in for our transport.
        return OwnReply(response, attempt) if attempt.body is not None else GivenReply(response, attempt)

    def renew(self) -> None:
        """Be without connections: this is a child, and they are its parent's."""
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.abandon()

    def cut(self) -> None:
        """End what runs, from any thread."""
        if self._lines is not None:
            self._lines.cut()

    def close(self) -> None:
        """Close what is kept and end what runs."""
        with self._lock:
            self._is_closed = True
        if self._lines is not None:
            self._lines.close()


class OwnReply:
    """An answer that comes over one of our connections."""

    def __init__(self, response: httpx.Response, attempt: Attempt) -> None:
        self.status = response.status_code
        self.headers = dict(response.headers.items())  # without it, each is looked up among all
        self.secrets = attempt.secrets
        self._attempt = attempt
        self._response = response
        assert isinstance(attempt.body, Body)  # noqa: S101  # it came from our transport
        self._body, attempt.body = attempt.body, None  # which the request would keep alive
        self._parts: Iterator[bytes] = (
            response.iter_bytes() if can_be_unpacked(self.headers) else self._body.parts()
        )

    def read(self) -> bytes | None:
        """The next bytes; `None` at the end, with which the connection is kept.

        Raises:
            APIConnectionError: the connection failed, or a limit was reached.
        """
        try:
            # Much may come with one read of the socket, and there is no wait in between.
            self._attempt.limits.deadline.check(request_sent=True)
            for data in self._parts:
                if data:
                    return data
            self._body.close()
        except PhiError:
            self._body.abort()
            raise
        except Exception as error:
            self._body.abort()
            raise translated(as_httpx(error), self._attempt) from error
        except BaseException:
            self._body.abort()
            raise
        return None

    def drain(self) -> None:
        """Take the end of a stream whose last event has come, if it is there at once: then the connection is kept."""
        self._attempt.limits.shorten_reads(END_LIMIT_S)
        with suppress(PhiError):
            self.read()

    def close(self) -> None:
        """Be done with the answer."""
        self._body.abort()

    def __del__(self) -> None:
        # At once: what httpx makes of an answer is a ring, which waits for the collector.
        body: Body | None = getattr(self, "_body", None)
        if body is not None:
            body.abort()


@lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    # A client has few URLs, and parsing one takes a twentieth of a request's time.
    return httpx.URL(url)


def own_request(step: Send, attempt: Attempt) -> httpx.Request:
    """The request of `step`, for our transport.

    Raises:
        httpx.InvalidURL: the URL is none.
        ConfigurationError: a header can't be sent.
    """
    limits = step.limits
    timeout = {phase: limits.left_s(phase) for phase in ("connect", "read", "write", "pool")}
    # What httpcore is given is never looked at but for whether it is there.
    given = {phase: float("inf") if limit_s is None else limit_s for phase, limit_s in timeout.items()}
    try:
        # Not by the client, which merges URLs, headers and cookies of its own for a tenth of a request's time.
        return httpx.Request(
            step.method,
            _parsed(step.url),
            headers=merge_headers(_ALWAYS, step.headers),
            content=step.content,
            extensions={"timeout": given, ATTEMPT: attempt},
        )
    except (UnicodeError, TypeError, AttributeError):
        raise ConfigurationError("a header has characters that can't be sent") from None


def can_be_unpacked(headers: dict[str, str]) -> bool:
    """Whether a body is compressed, in a way that was asked for; any other is taken as it comes."""
    return codings(headers) in (["gzip"], ["deflate"])
