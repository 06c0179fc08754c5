"""The HTTP server around the application. With its protocol the only importer of uvicorn, which is slow to import.

It must not know models, signals or command lines.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Literal

import uvicorn

from phi_client.contract.service import MANAGED_COMPUTE_OLDER, SURFACES, Surface
from phi_emulator.config import EmulatorConfig
from phi_emulator.engine.serving.source import AnswerSource
from phi_emulator.service.chat import ChatService
from phi_emulator.service.entra import Authority
from phi_emulator.service.rate_limits import Limits
from phi_emulator.service.unforeseen import log_unforeseen
from phi_emulator.web.app import App
from phi_emulator.web.http_protocol import MOST_HEAD_BYTES, BoundedProtocol

__all__ = ["HttpServer", "LoopErrors"]

logger = logging.getLogger("phi_emulator.web")

_KEEP_ALIVE_S: Final = 75
"""Longer than HTTP clients keep an idle connection, so that none of them writes into one that just closed."""
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_QUIET_S: Final = 60.0


class LoopErrors:
    """Logs what reaches nobody but the event loop, without what it quotes.

    Where no connection can be accepted any more, asyncio says so thousands of times a second, and tries to accept as
    often once the server has closed: once a minute is enough for each kind of error.
    """

    def __init__(self) -> None:
        self._quiet_until: dict[type[BaseException], float] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log one, as `loop.set_exception_handler` wants it."""
        error: BaseException | None = context.get("exception")
        if error is None:
            logger.error("the event loop says: %s", context.get("message"))
            return
        if loop.time() < self._quiet_until.get(type(error), 0.0):
            return
        self._quiet_until[type(error)] = loop.time() + _QUIET_S
        if isinstance(error, OSError) and error.errno in _FULL:
            logger.error("as many connections are open as the system allows: others wait (`ulimit -n`)")
        else:
            # Not asyncio's message: it may hold the arguments of a callback.
            log_unforeseen(logger, "something failed in the event loop", error)


class HttpServer(uvicorn.Server):
    """Serves one emulator; `ready` is set when it accepts requests, and when it never will.

    `clock` tells seconds, and is the one of `source`; without it `time.monotonic`, and `time.time` for tokens' ends.
    """

    def __init__(
        self, config: EmulatorConfig, source: AnswerSource, *, clock: Callable[[], float] | None = None
    ) -> None:
        dialects = _dialects(config)
        limits = Limits(
            requests_per_minute=config.requests_per_minute,
            tokens_per_minute=config.tokens_per_minute,
            max_concurrent=config.max_concurrent,
        )
        app = App(
            ChatService(
                source,
                limits,
                config.rules,
                max_output_tokens=config.max_output_tokens,
                has_extensions=config.extensions,
            ),
            root=dialects[config.dialect],
            dialects=dialects.values(),
            key=config.key,
            surface_keys=config.surface_keys,
            authority=Authority(config.tenant, lifetime_s=config.token_seconds, clock=clock or time.time),
            bound_host=config.host,
            max_body_bytes=config.max_body_bytes,
            loose=config.loose,
            deployments=config.deployments,
            request_timeout_ms=config.request_timeout_ms,
            clock=clock or time.monotonic,
        )
        # Everything is named that uvicorn would otherwise choose by what happens to be installed.
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=BoundedProtocol,
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
            )
        )
        self.ready = threading.Event()
        self.event_loop: asyncio.AbstractEventLoop | None = None
        """The loop that serves, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start accepting and say so."""
        self.event_loop = asyncio.get_running_loop()
        self.event_loop.set_exception_handler(LoopErrors())
        await super().startup(sockets=sockets)
        self.ready.set()

    def serve_until_stopped(self, listening: socket.socket) -> None:
        """Serve on the calling thread until `should_exit`."""
        try:
            asyncio.run(self.serve(sockets=[listening]))
        finally:
            self.ready.set()


def _dialects(config: EmulatorConfig) -> dict[str, Surface]:
    """The dialects as this emulator speaks them."""
    spoken = dict(SURFACES)
    if config.image == "older":
        spoken[MANAGED_COMPUTE_OLDER.name] = MANAGED_COMPUTE_OLDER
    if config.help_text:
        spoken = {name: replace(dialect, has_help_text=True) for name, dialect in spoken.items()}
    if config.extensions:
        spoken = {name: replace(dialect, has_extensions=True) for name, dialect in spoken.items()}
    if config.reasoning is not None:
        spoken = {name: _with_reasoning(dialect, config.reasoning) for name, dialect in spoken.items()}
    return spoken


def _with_reasoning(dialect: Surface, place: Literal["content", "reasoning_content"]) -> Surface:
    """`dialect` with the reasoning in one place, whatever the api-version."""
    known = dialect.versions
    fixed = None if known is None else replace(known, with_reasoning_field=())
    return replace(dialect, reasoning_in=place, versions=fixed)
