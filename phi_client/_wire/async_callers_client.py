"""Sending with an async client of httpx that the caller gave. Its twin is `callers_client.py`.

It must not touch what is inside of that client: it may be of any kind. A wait is ended by cancelling it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import httpx

from phi_client._call.deadline import Limits
from phi_client._call.errors import PhiError
from phi_client._call.real_endpoints import async_trace_for
from phi_client._call.steps import Send
from phi_client._wire.async_waiting import running_loop
from phi_client._wire.callers_client import codings, given_request
from phi_client._wire.connection_state import END_LIMIT_S, bounded
from phi_client._wire.faults import Attempt, translated

__all__ = ["AsyncGiven", "AsyncGivenReply"]

_GRACE_S: Final = 0.1


class AsyncGiven:
    """A caller's client, which stays the caller's."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def send(self, step: Send) -> "AsyncGivenReply":
        """The reply to `step`, its body still to come.

        Raises:
            APIConnectionError: there is no answer, or a limit was reached.
            ConfigurationError: the client is closed, or no event loop of asyncio runs.
        """
        running_loop()
        attempt = Attempt(step.limits, step.secrets)
        limit = asyncio.timeout(_last_resort_s(step.limits))
        try:
            request = given_request(self._http, step)
            trace = async_trace_for(step.url)
            if trace is not None:
                request.extensions["trace"] = trace
            async with limit:
                response = await self._http.send(request, stream=True, follow_redirects=False)
        except PhiError:
            raise
        except (
            httpx.HTTPStatusError
        ) as error:  # a hook of the caller's raises for a status, which is an answer
            response = error.response
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            if limit.expired():
                raise step.limits.reached("read", request_sent=True) from None
            raise translated(error, attempt) from error
        return AsyncGivenReply(response, attempt)

    def cut(self) -> None:
        """Nothing: other calls may be on the same connections."""

    def close(self) -> None:
        """Nothing: the client is the caller's."""


class AsyncGivenReply:
    """An answer that a caller's client brought."""

    def __init__(self, response: httpx.Response, attempt: Attempt) -> None:
        self.status = response.status_code
        self.headers = dict(response.headers.items())
        self.secrets = attempt.secrets
        self._response = response
        self._attempt = attempt
        self._limit_s: float | None = None
        is_raw = len(codings(self.headers)) > 1 and not response.is_stream_consumed
        self._parts: AsyncIterator[bytes] = response.aiter_raw() if is_raw else response.aiter_bytes()

    async def read(self) -> bytes | None:
        """The next bytes; `None` at the end.

        Raises:
            APIConnectionError: the connection failed, or a limit was reached.
        """
        limits = self._attempt.limits
        limits.deadline.check(request_sent=True)
        left_s = _last_resort_s(limits)
        ends = [one for one in (left_s, self._limit_s) if one is not None]
        limit = asyncio.timeout(min(ends, default=None))
        try:
            async with limit:
                async for part in self._parts:
                    if part:
                        return part
            await self.close()
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            await self.close()
            if limit.expired():
                raise limits.reached("read", request_sent=True) from None
            raise translated(error, self._attempt) from error
        return None

    async def drain(self) -> None:
        """Take the end of a stream whose last event has come, if it is there at once: then the connection is kept.

        Not where many answers share a connection, as with HTTP/2.
        """
        if self._response.http_version == "HTTP/1.1":
            self._limit_s = END_LIMIT_S
            with suppress(PhiError):
                await self.read()

    async def close(self) -> None:
        """Be done with the answer."""
        parts: Any = self._parts
        with suppress(httpx.HTTPError, OSError):
            try:
                await parts.aclose()
            finally:
                await self._response.aclose()


def _last_resort_s(limits: Limits) -> float | None:
    """When a wait is cancelled from outside, a moment after its own limits should have ended it.

    httpcore closes what a limit of its own ends, but leaves a connection open that is cancelled in its handshake.
    """
    left_s = bounded(limits.deadline.left_s)
    return None if left_s is None else left_s + _GRACE_S
