"""Sends an answer as server-sent events, as they come. It must not know how they come about.

No comments are sent to keep a connection alive: azure-ai-inference 1.0.0b9 fails on them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from starlette.types import Receive, Scope, Send

from phi_client.contract.service import Surface
from phi_emulator.service.errors import ServiceError, log_unforeseen
from phi_emulator.service.responses import Answer
from phi_emulator.web.bounds import bounded_text
from phi_emulator.web.disconnect import run_unless_gone

__all__ = ["ChatStreamResponse"]

logger = logging.getLogger("phi_emulator.web")

_CONTENT_TYPE: Final = "text/event-stream; charset=utf-8"  # recorded


class ChatStreamResponse:
    """An ASGI response whose status is 200 before the first token exists, as the service's is."""

    def __init__(self, dialect: Surface, answer: Answer, headers: Mapping[str, str]) -> None:
        self._dialect = dialect
        self._answer = answer
        self._headers = {"Content-Type": _CONTENT_TYPE, **headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send until the answer is through.

        Raises:
            ClientDisconnect: the client hung up; the engine is free again.
        """
        await run_unless_gone(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._headers.items()
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with aclosing(self._events()) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncGenerator[bytes]:
        try:
            async for events in self._answer.events():
                yield events
        except ServiceError as error:
            yield self._failure(str(error))
        except Exception as error:  # noqa: BLE001 - as above all: logged without what it quotes
            log_unforeseen(logger, "a stream failed", error)
            yield self._failure("internal error")

    def _failure(self, reason: str) -> bytes:
        # The container's words (its source); the status is sent already.
        words = f"Error parsing decoded stream: {bounded_text(reason)}"
        return self._dialect.write_stream_error(words) + self._dialect.write_done()
