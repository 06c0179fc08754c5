"""Interim."""

from typing import Any

import httpx
from httpx import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "check_client", "Connections", "AsyncConnections"]

from phi_client._call.steps import Send
from phi_client._wire.http import AsyncPool, Pool, check_client, parsed_url
from phi_client._wire.http import translated_errors as _te
from phi_client.contract.dialects import Endpoint


class _L:
    def __init__(self, limits: Any) -> None:
        self.l = limits

    def for_http(self) -> Any:
        return httpx.Timeout(**{p: self.l.left_s(p) for p in ("connect", "read", "write", "pool")})

    def reached(self, phase: Any, *, request_sent: bool) -> Any:
        return self.l.reached(phase, request_sent=request_sent)


class SyncReply:
    def __init__(self, r: Any, limits: Any) -> None:
        self._r = r
        self._l = _L(limits)
        self.status = r.status_code
        self.headers = dict(r.headers.items())
        self._it = r.iter_bytes()

    def read(self) -> Any:
        with _te(self._l):
            return next(self._it, None)

    def drain(self) -> None:
        pass

    def close(self) -> None:
        self._r.close()


class Connections:
    def __init__(self, given: Any, endpoint: Endpoint) -> None:
        self._a = (given, endpoint)
        self._pool = Pool(given, is_loopback=endpoint.is_loopback, speaks_tls=endpoint.speaks_tls)

    def send(self, s: Send) -> SyncReply:
        l = _L(s.limits)
        h = self._pool.get()
        with _te(l):
            q = h.build_request(
                s.method, parsed_url(s.url), headers=dict(s.headers), content=s.content, timeout=l.for_http()
            )
            return SyncReply(h.send(q, stream=True, follow_redirects=False), s.limits)

    def twin(self) -> "Connections":
        return Connections(*self._a)

    def cut(self) -> None:
        self._pool.cut()

    def close(self) -> None:
        self._pool.close()


class AsyncReply:
    def __init__(self, r: Any, limits: Any) -> None:
        self._r = r
        self._l = _L(limits)
        self.status = r.status_code
        self.headers = dict(r.headers.items())
        self._it = r.aiter_bytes()

    async def read(self) -> Any:
        with _te(self._l):
            return await anext(self._it, None)

    async def drain(self) -> None:
        pass

    async def close(self) -> None:
        await self._r.aclose()


class AsyncConnections:
    def __init__(self, given: Any, endpoint: Endpoint) -> None:
        self._a = (given, endpoint)
        self._pool = AsyncPool(given, is_loopback=endpoint.is_loopback, speaks_tls=endpoint.speaks_tls)

    async def send(self, s: Send) -> AsyncReply:
        l = _L(s.limits)
        h = self._pool.get()
        with _te(l):
            q = h.build_request(
                s.method, parsed_url(s.url), headers=dict(s.headers), content=s.content, timeout=l.for_http()
            )
            return AsyncReply(await h.send(q, stream=True, follow_redirects=False), s.limits)

    def twin(self) -> "AsyncConnections":
        return AsyncConnections(*self._a)

    def cut(self) -> None:
        pass

    async def close(self) -> None:
        await self._pool.aclose()
