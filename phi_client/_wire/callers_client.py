"""Sending with a client of httpx that the caller gave, sync. Its twin is `async_callers_client.py`.

It must not touch what is inside of that client: it may be of any kind. Only what httpx and httpcore document is
used: the extensions `timeout`, `trace` and `network_stream`.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx

from phi_client._call.deadline import Limits
from phi_client._call.errors import ConfigurationError, PhiError
from phi_client._call.real_endpoints import trace_for
from phi_client._call.steps import Send
from phi_client._wire.connection_state import END_LIMIT_S, bounded
from phi_client._wire.faults import Attempt, translated

__all__ = ["Given", "GivenReply", "LiveTimeout", "codings", "given_request"]


class LiveTimeout(dict[str, float | None]):
    """The limits as HTTP libraries read them: looked at when a phase begins, not when the request does."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        super().__init__({phase: self.get(phase) for phase in ("connect", "read", "write", "pool")})

    def __getitem__(self, phase: Any) -> float | None:
        return bounded(self._limits.left_s(phase))

    def get(self, phase: Any, default: Any = None) -> Any:  # noqa: ARG002  # every phase has one
        """The limit of a phase, now."""
        return self[phase]


class Given:
    """A caller's client, which stays the caller's."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def send(self, step: Send) -> "GivenReply":
        """The reply to `step`, its body still to come.

        Raises:
            APIConnectionError: there is no answer, or a limit was reached.
            ConfigurationError: the client is closed, or a real endpoint is not to be asked.
        """
        attempt = Attempt(step.limits, step.secrets)
        watch = _Watch(step.limits)
        try:
            request = given_request(self._http, step)
            trace = trace_for(step.url)
            if trace is not None:
                request.extensions["trace"] = trace
            elif step.limits.deadline.limit_s is not None:
                request.extensions["trace"] = watch.trace
            response = self._http.send(request, stream=True, follow_redirects=False)
        except (
            httpx.HTTPStatusError
        ) as error:  # a hook of the caller's raises for a status, which is an answer
            response = error.response
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            watch.end()
            if watch.has_fired:
                raise step.limits.reached("read", request_sent=True) from None
            raise translated(error, attempt) from error
        except BaseException:
            watch.end()
            raise
        return GivenReply(response, attempt, watch)

    def cut(self) -> None:
        """Nothing: other calls may be on the same connections."""

    def close(self) -> None:
        """Nothing: the client is the caller's."""


class GivenReply:
    """An answer that a caller's client brought."""

    def __init__(self, response: httpx.Response, attempt: Attempt, watch: "_Watch | None" = None) -> None:
        self.status = response.status_code
        self.headers = dict(response.headers.items())
        self.secrets = attempt.secrets
        self._response = response
        self._attempt = attempt
        self._watch = watch or _Watch(attempt.limits)
        is_raw = len(codings(self.headers)) > 1 and not response.is_stream_consumed
        self._parts: Iterator[bytes] = response.iter_raw() if is_raw else response.iter_bytes()
        self._watch.look_at(response)

    def read(self) -> bytes | None:
        """The next bytes; `None` at the end.

        Raises:
            APIConnectionError: the connection failed, or a limit was reached.
        """
        limits = self._attempt.limits
        try:
            limits.deadline.check(request_sent=True)
            data = next((part for part in self._parts if part), None)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            self.close()
            if self._watch.has_fired:
                raise limits.reached("read", request_sent=True) from None
            raise translated(error, self._attempt) from error
        except BaseException:
            self.close()
            raise
        if data is None:
            self.close()
            if self._watch.has_fired:
                # A body without a length ends where its connection does, also where we ended it.
                raise limits.reached("read", request_sent=True)
        return data

    def drain(self) -> None:
        """Take the end of a stream whose last event has come, if it is there at once: then the connection is kept.

        Not where many answers share a connection (HTTP/2), nor where nothing could end the wait.
        """
        if self._watch.begin_end():
            with suppress(PhiError):
                self.read()

    def close(self) -> None:
        """Be done with the answer."""
        self._watch.end()
        with suppress(httpx.HTTPError, OSError):
            self._response.close()

    def __del__(self) -> None:
        watch: _Watch | None = getattr(self, "_watch", None)
        if watch is not None:
            watch.end()


class _Watch:
    """Ends what waits in a caller's client when the deadline passes, by shutting down the socket, where that is known
    and this request's alone (HTTP/1.1). Where no thread can be started, the limits that httpx knows must do.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._stream: Any = None
        self._is_alone = False
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._is_over = False
        self.has_fired = False

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Listen to httpcore."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = info.get("return_value")
        elif event == "http11.send_request_headers.started":
            self._is_alone = True
            self._start(self._limits.deadline.left_s)

    def look_at(self, response: httpx.Response) -> None:
        """Learn which connection an answer came over."""
        self._stream = response.extensions.get("network_stream", self._stream)
        self._is_alone = response.http_version == "HTTP/1.1"
        if self._timer is None and self._is_alone and self._socket() is not None:
            self._start(self._limits.deadline.left_s)

    def begin_end(self) -> bool:
        """Let what is read from here on take no longer than the end of a stream may; false where that can't be."""
        if self._is_over or not self._is_alone or self._socket() is None:
            return False
        if self._timer is not None:
            self._timer.cancel()
        return self._start(END_LIMIT_S)

    def end(self) -> None:
        """The answer is over: the connection may be another's."""
        with self._lock:
            self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _start(self, limit_s: float | None) -> bool:
        limit_s = bounded(limit_s)
        if limit_s is None:
            return False
        timer = threading.Timer(max(0.0, limit_s), self._fire)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            return False
        self._timer = timer
        return True

    def _fire(self) -> None:
        with self._lock:
            found = self._socket()
            if self._is_over or not self._is_alone or found is None:
                return
            self.has_fired = True
            with suppress(OSError):
                # Past TLS, which is not for two threads at once.
                socket.socket.shutdown(found, socket.SHUT_RDWR)

    def _socket(self) -> socket.socket | None:
        look: Any = getattr(self._stream, "get_extra_info", None)
        found: object = look("socket") if callable(look) else None
        return found if isinstance(found, socket.socket) else None


def given_request(http: httpx.Client | httpx.AsyncClient, step: Send) -> httpx.Request:
    """The request of `step`, with what the caller's client adds to its requests.

    Raises:
        ConfigurationError: the client is closed, or a header can't be sent.
        httpx.InvalidURL: the URL is none.
    """
    if http.is_closed:
        raise ConfigurationError(
            "the `http_client` is closed: give one that is open, and close it after this client"
        )
    try:
        return http.build_request(
            step.method,
            httpx.URL(step.url),
            headers=dict(step.headers),
            content=step.content,
            extensions={"timeout": LiveTimeout(step.limits)},
        )
    except (UnicodeError, TypeError, AttributeError):
        raise ConfigurationError("a header has characters that can't be sent") from None


def codings(headers: dict[str, str]) -> list[str]:
    """How a body is packed. One that is packed more than once is left so: it could grow a millionfold in one step."""
    named = (coding.strip() for coding in headers.get("content-encoding", "").lower().split(","))
    return [coding for coding in named if coding not in ("", "identity")]
