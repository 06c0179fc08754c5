"""The HTTP server around an application. With its protocol the only importer of uvicorn, which is slow to import.

It must not know the application, signals or command lines.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from functools import partial
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_emulator.service.unforeseen import log_unforeseen
from phi_emulator.web.http_protocol import MOST_HEAD_BYTES, BoundedProtocol
from phi_emulator.web.virtual_loop import run_by

__all__ = ["HttpServer", "LoopErrors"]

logger = logging.getLogger("phi_emulator.web")

_KEEP_ALIVE_S: Final = 75
"""Longer than HTTP clients keep an idle connection, so that none of them writes into one that just closed."""
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_QUIET_S: Final = 60.0


class LoopErrors:
    """Logs what reaches nobody but the event loop, without what it quotes.

    Where no connection can be accepted any more, asyncio says so thousands of times a second, and tries again for each
    of them, on a socket that may be closed by then: what was said is said again after a minute.
    """

    def __init__(self) -> None:
        self._quiet_until: dict[object, float] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log one, as `loop.set_exception_handler` wants it."""
        error: BaseException | None = context.get("exception")
        is_full = isinstance(error, OSError) and error.errno in _FULL
        what = "full" if is_full else context.get("message") if error is None else type(error)
        if loop.time() < self._quiet_until.get(what, float("-inf")):
            return
        self._quiet_until[what] = loop.time() + _QUIET_S
        if is_full:
            logger.error("as many connections are open as the system allows: others wait (`ulimit -n`)")
        elif error is not None:
            # Not asyncio's message: it may hold the arguments of a callback.
            log_unforeseen(logger, "something failed in the event loop", error)
        else:
            logger.error("the event loop says: %s", context.get("message"))


class HttpServer(uvicorn.Server):
    """Serves one application; `ready` is set when it accepts requests, and when it never will.

    `clock` is what the waits for a request go through, and what its answers are dated by.
    """

    def __init__(self, app: ASGIApp, clock: Clock = SYSTEM_CLOCK) -> None:
        # Everything is named that uvicorn would otherwise choose by what happens to be installed.
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, clock=clock)),
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,  # the protocol's, which knows the clock
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
            )
        )
        self.ready = threading.Event()
        self._clock = clock
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
            run_by(self._clock, self.serve(sockets=[listening]))
        finally:
            self.ready.set()
