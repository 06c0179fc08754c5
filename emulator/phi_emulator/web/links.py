"""Links that are of no other module: the line in the log, the last word of a stopping service, the limit of time.

They must not know routes or bodies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from phi_client.contract.service.refusals import container_error
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.responses import Answer
from phi_emulator.web.chain import Link, Step, abort, answer_error
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.transport import ABORT

__all__ = ["checked", "limit_time", "log_exchange", "say_stopping"]

logger = logging.getLogger("phi_emulator.web")


def checked(*checks: Callable[[Exchange], None]) -> Link:
    """A link that lets pass what none of `checks`, in their order, raises for."""

    async def link(following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        for check in checks:
            check(exchange)
        await following(exchange, receive, send)

    return link


async def log_exchange(following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
    """One line for each request: never its text, never its key."""

    ending = ""

    async def told(message: Message) -> None:
        nonlocal ending
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            ending = str(exchange.status)
        elif message["type"] == ABORT:
            ending += " cut off"
        await send(message)

    try:
        await following(exchange, receive, told)
    except ClientDisconnect:
        ending = ending if ending.endswith("cut off") else "client left"
        raise
    finally:
        logger.info(
            "%s %s %s %.0f ms%s",
            exchange.request.method[:20],
            exchange.path,
            ending.strip() or "client left",
            exchange.elapsed_ms,
            "" if exchange.answer is None else _told(exchange.answer),
        )


async def say_stopping(following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
    """Answer whom a shutdown cuts off that could wait no longer; nothing else cancels an exchange."""
    try:
        await following(exchange, receive, send)
    except asyncio.CancelledError:
        if exchange.status is not None:
            await abort(exchange, send, reset=False)
        stopping = ServiceError(container_error(503, "The service is stopping."))
        await answer_error(exchange, stopping, receive, send)


async def limit_time(following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
    """Answer 408 for what takes longer than it may, or break the answer off; the engine is free then."""
    # What the emulator tells of itself is no answer: a feed lasts as long as somebody looks.
    seconds = exchange.behaviour.answer_seconds if exchange.place.is_of_surface else None
    try:
        async with exchange.clock.timeout(seconds):
            await following(exchange, receive, send)
    except TimeoutError:
        raise ServiceError(exchange.dialect.timed_out, f"it took longer than {seconds} s") from None


def _told(answer: Answer) -> str:
    """What an answer took that came to its end: prompt and answer in tokens, its wait in the queue, its first token."""
    usage, times = answer.usage, answer.times
    if usage is None or times is None:
        return ""
    first = (
        "" if times.first_token is None else f" first={(times.first_token - times.received) * 1000:.0f} ms"
    )
    waited = (times.admitted - times.queued) * 1000
    late = answer.pace.lateness.told if answer.pace is not None else ""
    return (
        f" tokens={usage.prompt_tokens}+{usage.completion_tokens} waited={waited:.0f} ms{first}"
        f"{late and f' ({late})'}"
    )
