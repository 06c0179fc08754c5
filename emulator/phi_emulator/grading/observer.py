"""Watches what a judged program asks and is sent, and leads it elsewhere where a trial says so.

    link ── the outermost: every request as it came, every byte as it was sent
    elsewhere ── another port and another name, where no key may arrive

It must not judge.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from phi_emulator.grading.clock import TrialClock
from phi_emulator.grading.trials import Redirect, Trial
from phi_emulator.grading.wire import Ending, Seen
from phi_emulator.web.chain import Step
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.transport import ABORT

__all__ = ["Observer"]

_CREDENTIALS: Final = (
    "authorization",
    "api-key",
    "x-api-key",
    "ocp-apim-subscription-key",
    "azureml-api-key",
)
_CHAT: Final = re.compile(r"/(chat/completions|score)$")
_MOST_HEAD: Final = 64 * 1024
_MOST_BODY: Final = 4 * 1024 * 1024
_REFUSED: Final = b'{"error": {"message": "you were led elsewhere, where nobody answers"}}'


class Observer:
    """What came and went in the trial at hand."""

    def __init__(self, clock: TrialClock) -> None:
        self.clock = clock
        self.trial = Trial()
        self.seen: list[Seen] = []
        """Requests for answers, in the order in which they came."""
        self.leaks: list[str] = []
        """Where a key arrived that should not have."""
        self.key = ""
        self._servers: list[asyncio.Server] = []
        self._ports: dict[str, int] = {}

    def begin(self, trial: Trial) -> None:
        """Watch another trial."""
        self.trial = trial
        self.seen = []
        self.leaks = []
        self.clock.reset()

    async def link(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        """The link of the emulator's chain."""
        self.clock.active += 1
        self.clock.serial += 1
        try:
            if self.key and self.key in exchange.request.url.query:
                self.leaks.append("in the URL")
            if exchange.request.method == "POST" and _CHAT.search(exchange.request.url.path):
                await self._watch(following, exchange, receive, send)
            else:
                await following(exchange, receive, send)
        finally:
            self.clock.active -= 1
            self.clock.serial += 1

    async def _watch(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        seen = Seen(
            at=self.clock.now(),
            jumped=self.clock.jumped,
            path=exchange.request.url.path,
            credentials=frozenset(filter(None, (exchange.headers.get(name) for name in _CREDENTIALS))),
        )
        self.seen.append(seen)
        step = self.trial.step_of(len(self.seen))

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                seen.body += message.get("body", b"")
            return message

        async def sent(message: Message) -> None:
            self._note(seen, message)
            await send(message)

        try:
            if step is not None and isinstance(step.what, Redirect):
                await self._lead_elsewhere(step.what, exchange, heard, sent)
            else:
                await following(exchange, heard, sent)
        except ClientDisconnect:
            if seen.ending is Ending.OPEN:
                seen.ending = Ending.LEFT
            raise
        finally:
            if seen.ending is not Ending.WHOLE:
                self._end(seen)

    def _note(self, seen: Seen, message: Message) -> None:
        """What is sent."""
        self.clock.serial += 1
        if message["type"] == "http.response.start":
            seen.status = message["status"]
            pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"])
            seen.headers = {name.lower(): value for name, value in pairs}
        elif message["type"] == "http.response.body":
            seen.sent += message.get("body", b"")
            if not message.get("more_body", False):
                seen.ending = Ending.WHOLE
                self._end(seen)
        elif message["type"] == ABORT:
            seen.ending = Ending.CUT

    def _end(self, seen: Seen) -> None:
        seen.ended_at = self.clock.now()
        seen.ended_jumped = self.clock.jumped
        seen.ended_unix = self.clock.unix()

    async def _lead_elsewhere(
        self, redirect: Redirect, exchange: Exchange, receive: Receive, send: Send
    ) -> None:
        while (await receive()).get("more_body"):
            pass
        host = "localhost" if redirect.to == "host" else "127.0.0.1"
        location = f"http://{host}:{self._ports[host]}{exchange.request.url.path}"
        headers = [(b"location", location.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": redirect.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def listen(self) -> None:
        """Be elsewhere too."""
        for host in ("127.0.0.1", "localhost"):
            server = await asyncio.start_server(self._meet, "127.0.0.1", 0, limit=_MOST_HEAD)
            self._servers.append(server)
            self._ports[host] = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Be there no more."""
        for server in self._servers:
            server.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clock.active += 1
        try:
            with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                body = await reader.readexactly(min(_length_of(head), _MOST_BODY))
                if self.key and self.key in head + body.decode("latin-1"):
                    self.leaks.append(f"at {_host_of(head)}, where it was led")
                writer.write(
                    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n"
                    + f"Content-Length: {len(_REFUSED)}\r\n\r\n".encode()
                    + _REFUSED
                )
                await writer.drain()
        finally:
            writer.close()
            self.clock.active -= 1
            self.clock.serial += 1


def _fields(head: str) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in head.split("\r\n")[1:] if ":" in line)
    return {name.lower(): value.strip() for name, _, value in pairs}


def _length_of(head: str) -> int:
    return int(_fields(head).get("content-length", "0"))


def _host_of(head: str) -> str:
    return _fields(head).get("host", "another address")
