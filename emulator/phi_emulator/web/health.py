"""Whether an emulator lives, and whether it is ready: two routes that answer from the first moment on.

It lives unless nothing but a new start would help; it is ready once a model is loaded that answers. Who restarts what
is dead asks the first, who sends requests the second. It must not know engines or surfaces.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from phi_client.contract.emulator import EMULATOR_LIVE, EMULATOR_READY

__all__ = ["Opening", "health_answer", "live_answer", "ready_answer"]

_READY: Final = "ready"
_BROKEN: Final = "broken"


def live_answer(state: str = _READY) -> JSONResponse:
    """200 unless only a new start would help; `state` is `ready`, or why it is not."""
    is_broken = state == _BROKEN
    return _answer(_BROKEN if is_broken else "live", holds=not is_broken)


def ready_answer(state: str = _READY) -> JSONResponse:
    """200 while requests are answered; `state` is `ready`, or why it is not."""
    return _answer(state, holds=state == _READY)


def health_answer(scope: Scope, state: str = _READY) -> JSONResponse | None:
    """What a request for one of the two is answered; `None` for all others."""
    if scope["type"] == "http" and scope["method"] == "GET":
        if scope["path"] == EMULATOR_LIVE:
            return live_answer(state)
        if scope["path"] == EMULATOR_READY:
            return ready_answer(state)
    return None


def _answer(state: str, *, holds: bool) -> JSONResponse:
    status = HTTPStatus.OK if holds else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"status": state}, status, {"Cache-Control": "no-store"})


class Opening:
    """An ASGI application that is served while the one that it stands for is still being made.

    It answers the two routes by itself until then; all other requests wait, and are the other's.
    """

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._is_decided = asyncio.Event()

    def decide(self, app: ASGIApp | None, loop: asyncio.AbstractEventLoop) -> None:
        """Hand everything on to `app` from now on, or refuse it where there will be none; from any thread."""
        self._app = app or _refuse
        loop.call_soon_threadsafe(self._is_decided.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it wait for who does."""
        app = self._app or health_answer(scope, "loading")
        if app is None:
            await self._is_decided.wait()
            app = self._app or _refuse
        await app(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await _answer(_BROKEN, holds=False)(scope, receive, send)
