"""Forwards each request to a real endpoint, hands the answer on as it comes, and records both.

The exchange is on the disk before its end is sent: whoever has an answer has it recorded. The key that callers present
is a local one; the endpoint's own goes to that endpoint alone, which is why no redirect is followed. It must not write
anything in which a secret can still be read.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

import httpx
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_client.contract.dialects.endpoint import Endpoint
from phi_client.contract.events import DONE, encode_event
from phi_client.contract.secrets import letters_in
from phi_client.contract.service import Surface
from phi_emulator.recordings.exchanges import (
    End,
    RecordedChunk,
    RecordedExchange,
    RecordedHead,
    RecordedRequest,
)
from phi_emulator.recordings.file import STATUSES, RecordingError, RecordingFile, lines_of
from phi_emulator.recordings.secrets import SHORTEST_SECRET, Vault
from phi_emulator.service.unforeseen import log_unforeseen
from phi_emulator.web.chain import abort
from phi_emulator.web.disconnect import run_unless_gone
from phi_emulator.web.exchange import Exchange

__all__ = ["Recorder", "Upstream", "entra_token"]

logger = logging.getLogger("phi_emulator.recordings")

_MOST_BYTES: Final = 16 * 2**20
"""Of an answer that is recorded; a longer one is handed on, and not kept."""
_TIMEOUT: Final = httpx.Timeout(30, read=900)
_NOT_FORWARDED: Final = frozenset(
    (
        *(
            "accept-encoding",
            "authorization",
            "api-key",
            "connection",
            "content-length",
            "cookie",
            "expect",
            "host",
        ),
        *(
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ),
    )
)
_NOT_HANDED_ON: Final = frozenset(
    (
        *(
            "connection",
            "content-encoding",
            "date",
            "keep-alive",
            "proxy-authenticate",
            "set-cookie",
            "trailer",
        ),
        *("transfer-encoding", "upgrade"),
    )
)
_READABLE: Final = frozenset(("", "deflate", "gzip", "identity"))
"""How an answer may be encoded, for its secrets to be found."""
_LAST_EVENT: Final = encode_event(DONE)


class Upstream:
    """The endpoint to which requests go, with `credential`, which gives its key or token and may block.

    `is_token` says which of the two. Each request has a connection of its own.

    Raises:
        RecordingError: the key is so short that it could not be told from other text.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credential: Callable[[], str],
        *,
        is_token: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not is_token and len(letters_in(credential())) < SHORTEST_SECRET:
            raise RecordingError(
                f"the endpoint's key has fewer than {SHORTEST_SECRET} letters and digits: it could not be found in "
                "what is recorded, to be taken out"
            )
        self._endpoint = endpoint
        self._credential = credential
        self._is_token = is_token
        self._transport = transport
        self._tls = httpx.create_ssl_context() if endpoint.speaks_tls else False

    @property
    def surface(self) -> str:
        """The name of the surface that it speaks."""
        return self._endpoint.dialect.name

    def client(self) -> httpx.AsyncClient:
        """A client for one exchange."""
        return httpx.AsyncClient(
            follow_redirects=False,
            timeout=_TIMEOUT,
            verify=self._tls,
            transport=self._transport,
            # A proxy has no way to this machine, nor a place before a transport of the caller's own.
            trust_env=self._transport is None and not self._endpoint.is_loopback,
        )

    async def credential_of(self, surface: Surface) -> tuple[str, str]:
        """The header, name and value, by which a request is let in."""
        credential = await asyncio.to_thread(self._credential)
        return ("Authorization", f"Bearer {credential}") if self._is_token else surface.write_key(credential)

    def url_of(self, surface: Surface, path: str, query: str) -> httpx.URL:
        """Where a path of a surface is."""
        base = httpx.URL(self._endpoint.base_url)
        # Another surface is another API of the same resource.
        before = base.path.rstrip("/") if surface.name == self.surface else ""
        # A target need not begin with a slash, and must not end up in the host.
        target = f"{before}/{path.removeprefix('/')}"
        return base.copy_with(path=target, query=query.encode() or None)


def entra_token(scope: str) -> Callable[[], str]:
    """What gives a token of whoever is signed in (`DefaultAzureCredential`); the first one takes a while."""
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - few use it, and it is slow to import

    credential = DefaultAzureCredential()
    return lambda: credential.get_token(scope).token


@dataclass(slots=True)
class _Tape:
    """What came back so far, with its times."""

    started: float
    clock: Callable[[], float]
    head: RecordedHead | None = None
    chunks: list[RecordedChunk] = field(default_factory=list[RecordedChunk])
    size: int = 0
    problem: str = ""
    """Why it can't be recorded."""
    is_kept: bool = False
    held: bytes = b""
    """The last bytes of an answer whose length was told, which are its end."""

    @property
    def ms(self) -> int:
        """Milliseconds since the request."""
        return round((self.clock() - self.started) * 1000)

    def add(self, data: bytes) -> None:
        """Note a piece of the answer, unless it is too long to be kept."""
        self.size += len(data)
        if self.size > _MOST_BYTES:
            self.problem = f"its answer has more than {_MOST_BYTES} bytes"
        else:
            self.chunks.append(RecordedChunk(data, self.ms))

    def recorded(self, asked: RecordedRequest, end: End) -> RecordedExchange:
        """All of it, once."""
        self.is_kept = True
        return RecordedExchange(asked, self.head, tuple(self.chunks), end, self.ms)

    @property
    def is_said(self) -> bool:
        """Whether a stream has said its last word."""
        last = b"".join(chunk.data for chunk in self.chunks[-2:])
        return last.endswith(_LAST_EVENT)


class Recorder:
    """Forwards to `upstream` and records into `file`; `clock` tells their times."""

    def __init__(self, upstream: Upstream, file: RecordingFile, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._upstream = upstream
        self._file = file
        self._clock = clock
        self._writing = threading.Lock()
        self.recorded = 0
        """Exchanges that are in the file."""
        self.lost = 0
        """Exchanges that are not; the log says why."""

    async def answer(self, asked: RecordedRequest, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Forward one request.

        Raises:
            ClientDisconnect: the client left before the end; what came until then is recorded.
        """
        tape = _Tape(self._clock.now(), self._clock.now)
        surface = exchange.dialect
        name, value = await self._upstream.credential_of(surface)
        headers = {name: value for name, value in exchange.headers.items() if name != "host"}
        given = [headers, exchange.request.query_params, {name: value}]
        vault = reduce(Vault.and_of, given, Vault())
        end = End.CUT_OFF
        try:
            end = await run_unless_gone(receive, self._forward(asked, exchange, {name: value}, tape, send))
        except ClientDisconnect:
            end = End.COMPLETE if tape.is_said else End.CLIENT_LEFT
            raise
        except asyncio.CancelledError:
            # The server stops, and would not wait for a thread.
            self._keep(tape.recorded(asked, end), vault, exchange.request_id, tape.problem)
            raise
        finally:
            if not tape.is_kept:
                kept = tape.recorded(asked, end)
                await asyncio.to_thread(self._keep, kept, vault, exchange.request_id, tape.problem)
        if end is End.COMPLETE:
            await send({"type": "http.response.body", "body": tape.held, "more_body": False})
        else:
            await abort(exchange, send, reset=False)

    async def _forward(
        self,
        asked: RecordedRequest,
        exchange: Exchange,
        credential: Mapping[str, str],
        tape: _Tape,
        send: Send,
    ) -> End:
        """Hand the answer on, but for its end."""
        request = exchange.request
        url = self._upstream.url_of(exchange.dialect, asked.path, request.url.query)
        headers = {name: value for name, value in exchange.headers.items() if name not in _NOT_FORWARDED}
        headers |= {"accept-encoding": "identity", **credential}
        try:
            async with (
                self._upstream.client() as client,
                client.stream(asked.method, url, headers=headers, content=asked.body or None) as response,
            ):
                if response.status_code not in STATUSES:
                    raise httpx.RemoteProtocolError("no status of an answer")
                encoding = response.headers.get("content-encoding", "").lower()
                is_read = encoding in _READABLE
                if not is_read:
                    tape.problem = "its answer is encoded in a way in which no secret can be found"
                tape.head = _head_of(response, tape.ms, is_read=is_read)
                await send(
                    {
                        "type": "http.response.start",
                        "status": response.status_code,
                        "headers": [
                            (name.encode("latin-1"), value.encode("latin-1"))
                            for name, value in tape.head.headers.items()
                        ],
                    }
                )
                length = tape.head.headers.get("content-length")
                async for data in response.aiter_bytes() if is_read else response.aiter_raw():
                    tape.add(data)
                    if str(tape.size) == length:
                        # With these bytes the client has all of it.
                        tape.held = data
                    else:
                        await send({"type": "http.response.body", "body": data, "more_body": True})
        except httpx.HTTPError as error:
            # By its kind alone: its words may quote an address.
            kind = type(error).__name__
            logger.warning(
                "request %s: the endpoint gave no answer to its end (%s)", exchange.request_id, kind
            )
            return End.UNREACHABLE if tape.head is None else End.CUT_OFF
        return End.COMPLETE

    def _keep(self, exchange: RecordedExchange, vault: Vault, request_id: str, problem: str) -> None:
        """Write an exchange, or say why not. Blocks."""
        try:
            if problem:
                raise RecordingError(problem)  # noqa: TRY301 - there is one way to say so
            lines = lines_of(vault.without_secrets(exchange))
            if vault.survivors(lines):
                raise RecordingError("a secret could still be read in it")  # noqa: TRY301 - as above
            with self._writing:
                self._file.add(lines)
                self.recorded += 1
        except RecordingError as error:
            self._lose(f"request {request_id} is not recorded: {error}")
        except Exception as error:  # noqa: BLE001 - the client is owed its answer, and the log the truth
            log_unforeseen(logger, f"request {request_id} could not be looked through", error)
            self._lose(f"request {request_id} is not recorded: its secrets could not be looked for")

    def _lose(self, why: str) -> None:
        with self._writing:
            self.lost += 1
        logger.error(why)


def _head_of(response: httpx.Response, ms: int, *, is_read: bool) -> RecordedHead:
    """The head of an answer as it is handed on, and recorded; `is_read` says that its body is decoded."""
    headers: dict[str, str] = {}
    is_encoded = "content-encoding" in response.headers
    for raw_name, raw_value in response.headers.raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in _NOT_HANDED_ON or (
            is_read and is_encoded and name in ("content-encoding", "content-length")
        ):
            continue
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return RecordedHead(response.status_code, headers, ms)
