"""The local end of recording and replaying: requests pass the emulator's own links, and one step answers them.

It must not know which of the two that step is.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_client.contract.emulator import EMULATOR_HOST, EMULATOR_KEY
from phi_client.contract.service import Surface
from phi_emulator.recordings.exchanges import KEPT_HEADERS, RecordedRequest
from phi_emulator.recordings.places import place_of
from phi_emulator.service.behaviour import Behaviour
from phi_emulator.service.entra import Authority
from phi_emulator.web.auth import Gate
from phi_emulator.web.body import read_body
from phi_emulator.web.chain import chained, pass_through
from phi_emulator.web.exchange import Exchange, Place
from phi_emulator.web.guard import check_message, check_source
from phi_emulator.web.health import health_answer
from phi_emulator.web.links import checked, log_exchange, say_stopping
from phi_emulator.web.listening import listen, root_url
from phi_emulator.web.server import HttpServer

__all__ = ["AnswerStep", "LocalApp", "LocalServer"]

_MOST_BODY_BYTES: Final = 4 * 2**20
_GRACE_S: Final = 1.0
"""For connections on which nothing is asked."""
_SESSION: Final = "recording"


class AnswerStep(Protocol):
    """Answers what has passed; the body of the request was read."""

    async def answer(self, asked: RecordedRequest, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Answer one request."""
        ...


class LocalApp:
    """An ASGI application: the checks of the emulator, and `step`.

    `root` is the surface of the paths that are nobody's, `host` where it listens. Callers must present `key`, one of
    their surface's `surface_keys` where it has some, or a token of `authority`.
    """

    def __init__(
        self,
        step: AnswerStep,
        *,
        root: Surface,
        key: str = EMULATOR_KEY,
        surface_keys: Mapping[str, Collection[str]] | None = None,
        authority: Authority | None = None,
        host: str = EMULATOR_HOST,
        max_body_bytes: int = _MOST_BODY_BYTES,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._root = root
        self.clock = clock
        """What each wait of an exchange goes through."""
        self._behaviour = Behaviour()
        self._step = step
        self._max_body_bytes = max_body_bytes
        self._chain = chained(
            (
                log_exchange,
                say_stopping,
                checked(lambda exchange: check_message(exchange.request.scope)),
                checked(lambda exchange: check_source(exchange.headers, host)),
                Gate(key, authority or Authority(clock=clock.unix), surface_keys),
            ),
            self._answer,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if (answer := health_answer(scope)) is not None:
            await answer(scope, receive, send)
            return
        surface, path = place_of(scope["path"], self._root)
        place = Place(surface, path, {})
        exchange = Exchange(Request(scope), place, surface, self._behaviour, _SESSION, self.clock)
        await pass_through(self._chain, exchange, receive, send)

    async def _answer(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        request = Request(exchange.request.scope, receive)
        body = await read_body(request, exchange.dialect, self._max_body_bytes, clock=self.clock)
        asked = RecordedRequest(
            surface=exchange.dialect.name,
            method=request.method,
            path=exchange.place.route,
            api_version=request.query_params.get("api-version"),
            headers={name: value for name, value in request.headers.items() if name in KEPT_HEADERS},
            body=body,
        )
        await self._step.answer(asked, exchange, receive, send)


class LocalServer:
    """Serves an application on a thread of its own; a context manager that starts and stops it.

    Port 0 takes a free one. `drain_seconds` is how long running exchanges may go on at the end.

    Raises:
        ListenError: the port can't be listened on.
    """

    def __init__(
        self, app: LocalApp, *, host: str = EMULATOR_HOST, port: int = 0, drain_seconds: float = 0
    ) -> None:
        self._socket = listen(host, port)
        self._server = HttpServer(app, app.clock)
        self._drain_seconds = drain_seconds
        self._thread = threading.Thread(
            target=self._server.serve_until_stopped,
            args=(self._socket,),
            name="phi-emulator-recordings",
            daemon=True,
        )
        self.root = root_url(host, self._socket.getsockname()[1])
        """The URL of the root."""

    def endpoint_of(self, surface: Surface) -> str:
        """The URL at which a surface is spoken, as a client recognises it."""
        return self.root + surface.emulator_prefix + surface.root

    @property
    def is_running(self) -> bool:
        """True from the start to the end."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Refuse new connections, let running exchanges go on for a while, then end them. Blocks."""
        self._server.config.timeout_graceful_shutdown = math.ceil(self._drain_seconds + _GRACE_S)
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server.ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
