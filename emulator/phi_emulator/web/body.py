"""Reads the body of a request within bounds of size and time. It must not look inside."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from starlette.requests import Request

from phi_client.contract.service import Surface
from phi_client.contract.service.refusals import front_door_status
from phi_emulator.service.errors import ServiceError

__all__ = ["read_body", "read_json_body"]

_READ_S: Final = 60.0
"""Time for a body to come in: any of the size that is taken does so in far less."""


async def read_json_body(
    request: Request, dialect: Surface, max_bytes: int, *, seconds: float = _READ_S
) -> bytes:
    """The body of a request that says it is JSON.

    Raises:
        ServiceError: 415 for another content type, 413 for more than `max_bytes`, 408 for one that doesn't come.
        ClientDisconnect: the client left before the end.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        # A web page can send any other type across origins without asking first.
        raise ServiceError(dialect.unsupported_media_type)
    return await read_body(request, dialect, max_bytes, seconds=seconds)


async def read_body(request: Request, dialect: Surface, max_bytes: int, *, seconds: float = _READ_S) -> bytes:
    """The body of a request, whatever it is.

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
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    raise ServiceError(dialect.payload_too_large)
    except TimeoutError:
        late = front_door_status(408, "The body did not come in time")
        # What is still to come of it must not be read as a request.
        raise ServiceError(replace(late, headers={"Connection": "close"})) from None
    return bytes(body)
