"""The chain around every exchange: links, each of which sees all that goes in and all that goes out.

It must not know what a link does. A link is called with what follows it, and hands on ASGI's messages as it likes:

    async def link(following, exchange, receive, send): await following(exchange, receive, send)

    receive() ◄── http.request (a piece of the body), http.disconnect
    send() ──► http.response.start, http.response.body, ABORT: the connection is cut where the answer stands

What a link raises is answered where it stands: those outside of it see the bytes of that answer like any other's. An
answer that fails half-way is aborted. What goes out through all of them is `ClientDisconnect` and a task's end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NoReturn, Protocol, TypeAlias

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Send

from phi_client.contract.service.refusals import RefusedError
from phi_emulator.service.errors import ServiceError, internal_error, log_unforeseen
from phi_emulator.web.bounds import bounded
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.header_values import safe_headers
from phi_emulator.web.transport import ABORT

__all__ = ["Link", "Step", "abort", "answer_error", "chained", "pass_through"]

logger = logging.getLogger("phi_emulator.web")

Step: TypeAlias = Callable[[Exchange, Receive, Send], Awaitable[None]]
"""A link with all that follows it."""


class Link(Protocol):
    """One link; it may also answer itself, or raise a `ServiceError`, and leave what follows out."""

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send, /) -> None:
        """Let an exchange pass."""
        ...


def chained(links: Sequence[Link], end: Step) -> Step:
    """`links` around `end`, the first one outermost."""
    step = _answered(end)
    for link in reversed(links):
        step = _answered(partial(link, step))
    return step


async def pass_through(chain: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
    """Let an exchange pass its chain; nothing comes out of it to whoever serves."""
    try:
        await chain(exchange, receive, send)
    except (ClientDisconnect, asyncio.CancelledError):
        return
    except Exception as error:  # noqa: BLE001 - the server would log it with all that it quotes
        log_unforeseen(logger, f"request {exchange.request_id} could not be answered", error)


async def abort(exchange: Exchange, send: Send, *, reset: bool, last: bytes = b"") -> NoReturn:
    """Cut the connection after what was sent so far: with a reset, or as if the server had ended.

    `last` goes out before that as it stands, whatever HTTP would say.

    A server without `ABORT` closes the connection too, of an answer that has no end.

    Raises:
        ClientDisconnect: always, which ends the exchange.
    """
    if ABORT in exchange.request.scope.get("extensions", ()):
        await send({"type": ABORT, "reset": reset, "last": last})
    raise ClientDisconnect


async def answer_error(exchange: Exchange, error: ServiceError, receive: Receive, send: Send) -> None:
    """Answer with `error` in the dialect's envelope and within bounds. The only place that makes bytes of one."""
    dialect = exchange.dialect
    exchange.differs = error.differs
    wire = dialect.write_error(bounded(error.refusal))
    headers: dict[str, str] = {}
    rules = dialect.token_rules
    of_tokens = () if rules.are_named else (rules.wrong_token, rules.no_role)
    if error.refusal not in (dialect.missing_key, dialect.malformed_key, dialect.wrong_key, *of_tokens):
        # The front door refuses a key before the request has an id (recorded: no `X-Request-ID` on 401).
        headers |= safe_headers(
            dialect.response_headers(
                request_id=exchange.request_id, session=exchange.session, deployment=exchange.deployment
            )
        )
        headers |= dialect.echoed_headers(exchange.headers)
    response = Response(wire.body, wire.status, headers | dict(wire.headers))
    await response(exchange.request.scope, receive, send)


def _answered(step: Step) -> Step:
    """`step`, whose failure is answered."""

    async def whole(exchange: Exchange, receive: Receive, send: Send) -> None:
        # A link that hands on what it was given has its answer begun when the one outside of it has.
        told = send if isinstance(send, _Told) else _Told(send)
        try:
            await step(exchange, receive, told)
        except ClientDisconnect:
            raise
        except RefusedError as error:
            refusal = ServiceError(error.refusal)
        except ServiceError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged without what it quotes
            log_unforeseen(logger, f"request {exchange.request_id} failed", error)
            refusal = internal_error()
        else:
            return
        if told.has_begun:
            logger.warning("the answer to request %s was broken off: %s", exchange.request_id, refusal)
            await abort(exchange, told, reset=False)
        else:
            await answer_error(exchange, refusal, receive, told)

    return whole


class _Told:
    """ASGI's `send`, which knows whether anything was sent."""

    __slots__ = ("_send", "has_begun")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    def __call__(self, message: Message) -> Awaitable[None]:
        self.has_begun = True
        return self._send(message)
