"""Reads the body of a request within bounds. It must not look inside."""

from __future__ import annotations

from starlette.requests import Request

from phi_client.contract.service import Surface
from phi_emulator.service.errors import ServiceError

__all__ = ["read_body", "read_json_body"]


async def read_json_body(request: Request, dialect: Surface, max_bytes: int) -> bytes:
    """The body of a request that says it is JSON.

    Raises:
        ServiceError: 415 for another content type, 413 for more than `max_bytes`.
        ClientDisconnect: the client left before the end.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        # A web page can send any other type across origins without asking first.
        raise ServiceError(dialect.unsupported_media_type)
    return await read_body(request, dialect, max_bytes)


async def read_body(request: Request, dialect: Surface, max_bytes: int) -> bytes:
    """The body of a request, whatever it is.

    Raises:
        ServiceError: 413 for more than `max_bytes`.
        ClientDisconnect: the client left before the end.
    """
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise ServiceError(dialect.payload_too_large)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise ServiceError(dialect.payload_too_large)
    return bytes(body)
