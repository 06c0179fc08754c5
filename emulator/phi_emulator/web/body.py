"""Reads the body of a request within bounds of size and time, and of what all of them hold. It must not look inside."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from starlette.requests import Request

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_client.contract.service import Surface
from phi_client.contract.service.refusals import front_door_status
from phi_emulator.service.errors import ServiceError

__all__ = ["Room", "RoomTakenError", "read_body", "read_json_body"]

_READ_S: Final = 60.0
"""Time for a body to come in: any of the size that is taken does so in far less."""
_SMALL: Final = 64 * 1024
_RETRY_AFTER_S: Final = 1


class RoomTakenError(Exception):
    """As many bytes are held as may be."""


class Room:
    """Memory for bodies that come in or wait to be read: `most_bytes` for large ones; small ones have it always."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    @contextmanager
    def part(self) -> Generator[Callable[[int], None]]:
        """A part of it for one body, as long as it is entered; it is to be told each size that the body comes to.

        That raises `RoomTakenError`.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            more = max(size - _SMALL, 0) - held
            if more > self._left:
                raise RoomTakenError
            self._left -= more
            held += more

        try:
            yield hold
        finally:
            self._left += held


async def read_json_body(
    request: Request,
    dialect: Surface,
    max_bytes: int,
    *,
    hold: Callable[[int], None] = lambda _size: None,
    seconds: float = _READ_S,
    clock: Clock = SYSTEM_CLOCK,
) -> bytes:
    """The body of a request that says it is JSON. `hold` hears each size that it comes to, and may raise.

    Raises:
        ServiceError: 415 for another content type, 413 for more than `max_bytes`, 408 for one that doesn't come, 429
            where others take up all room.
        ClientDisconnect: the client left before the end.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        # A web page can send any other type across origins without asking first.
        raise ServiceError(dialect.unsupported_media_type)
    try:
        return await read_body(request, dialect, max_bytes, hold=hold, seconds=seconds, clock=clock)
    except RoomTakenError:
        raise ServiceError(dialect.rate_limited(_RETRY_AFTER_S, limit="concurrency")) from None


async def read_body(
    request: Request,
    dialect: Surface,
    max_bytes: int,
    *,
    hold: Callable[[int], None] = lambda _size: None,
    seconds: float = _READ_S,
    clock: Clock = SYSTEM_CLOCK,
) -> bytes:
    """The body of a request, whatever it is. `hold` hears each size that it comes to, and may raise.

    Raises:
        ServiceError: 413 for more than `max_bytes`, 408 for one that isn't there after so many seconds.
        ClientDisconnect: the client left before the end.
    """
    announced = request.headers.get("content-length", "")
    # The server lets digits pass alone, as many as twenty.
    if announced.isdecimal() and int(announced) > max_bytes:
        raise ServiceError(dialect.payload_too_large)
    body = bytearray()
    try:
        async with clock.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    raise ServiceError(dialect.payload_too_large)
                hold(len(body))
    except TimeoutError:
        late = front_door_status(408, "The body did not come in time")
        # What is still to come of it must not be read as a request.
        raise ServiceError(replace(late, headers={"Connection": "close"})) from None
    return bytes(body)
