"""Turns away requests whose head no front door takes: of two lengths, too long, or with too many headers.

It must not know routes or bodies. Two lengths are how a request is smuggled past a proxy that reads the other one
(RFC 9112, 6.1), so the connection is closed, and nothing more is read from it.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from phi_client.contract.service.refusals import Refusal, front_door_status
from phi_emulator.service.errors import ServiceError

__all__ = ["check_message"]

_MOST_HEADERS: Final = 100
_MOST_HEADER_BYTES: Final = 32 * 1024
_MOST_TARGET_BYTES: Final = 16 * 1024
_CLOSE: Final = {"Connection": "close"}


def check_message(scope: Scope) -> None:
    """Let a request pass whose head is in order.

    Raises:
        ServiceError: 400, 414 or 431; the connection is closed.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    names = [name for name, _ in headers]
    if b"transfer-encoding" in names and (b"content-length" in names or scope.get("http_version") == "1.0"):
        raise _closing(400, "A request has a Content-Length or a Transfer-Encoding, not both")
    target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if target > _MOST_TARGET_BYTES:
        raise _closing(414, "Request target too long")
    if (
        len(headers) > _MOST_HEADERS
        or sum(len(name) + len(value) for name, value in headers) > _MOST_HEADER_BYTES
    ):
        raise _closing(431, "Request header fields too large")


def _closing(status: int, text: str) -> ServiceError:
    refusal: Refusal = front_door_status(status, text)
    return ServiceError(Refusal(refusal.status, refusal.body, _CLOSE, by_model=False))
