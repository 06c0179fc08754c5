"""Turns away heads that no front door takes, and what a web page could make a browser send here.

It must not know keys, routes or bodies. Two lengths are how a request is smuggled past a proxy that reads the other one
(RFC 9112, 6.1). A page that rebinds its own name to 127.0.0.1 still sends that name as `Host`, and a page that posts
across origins sends its `Origin`. What is no host and port by RFC 3986, or has somebody's name before an `@`, is
nobody's.

Whoever is turned away has nothing else to ask for here, so the connection is closed, and nothing that was sent is
repeated.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from starlette.types import Scope

from phi_client.contract.loopback import is_loopback
from phi_client.contract.service.refusals import front_door_status
from phi_client.contract.wire import get_header
from phi_emulator.service.errors import ServiceError

__all__ = ["check_message", "check_source"]

_MOST_HEADERS: Final = 100
_MOST_HEADER_BYTES: Final = 32 * 1024
_MOST_TARGET_BYTES: Final = 16 * 1024
_MOST_PORT: Final = 65_535
_FOREIGN: Final = "foreign-hosts-and-origins"

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,15}\.?))(?::(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}://(?P<authority>.{1,300})", re.IGNORECASE | re.ASCII)
"""What a browser sends; `null` stands for a page that has none to tell."""


def check_message(scope: Scope) -> None:
    """Let a request pass whose head is in order.

    Raises:
        ServiceError: 400, 414 or 431; the connection is closed.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    names = [name for name, _ in headers]
    if b"transfer-encoding" in names and (b"content-length" in names or scope.get("http_version") == "1.0"):
        raise _closing(400, "A request has a Content-Length or a Transfer-Encoding, not both")
    if names.count(b"origin") > 1:
        raise _closing(400, "A request has one Origin at most")
    target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if target > _MOST_TARGET_BYTES:
        raise _closing(414, "Request target too long")
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > _MOST_HEADERS or size > _MOST_HEADER_BYTES:
        raise _closing(431, "Request header fields too large")


def check_source(headers: Mapping[str, str], bound_host: str) -> None:
    """Let a request pass whose `Host`, and `Origin` if it has one, are loopback or the host that is bound.

    Where every interface is bound, any name may be the right one, and the key alone protects.

    Raises:
        ServiceError: 403; the connection is closed.
    """
    if not _is_ours(get_header(headers, "host") or "", bound_host):
        raise _closing(
            403, "The Host header does not name this emulator; use 127.0.0.1 or localhost.", differs=_FOREIGN
        )
    origin = get_header(headers, "origin")
    if origin is not None:
        found = _ORIGIN.fullmatch(origin)
        if found is None or not _is_ours(found["authority"], bound_host):
            raise _closing(403, "Requests from other web origins are not accepted.", differs=_FOREIGN)


def _is_ours(authority: str, bound_host: str) -> bool:
    name = _hostname(authority)
    bound = _address(bound_host)
    is_everywhere = bound is not None and bound.is_unspecified
    return bool(name) and (is_everywhere or is_loopback(name) or name == bound_host.lower())


def _hostname(authority: str) -> str:
    """The name or address in a host with or without a port, in lower case; nothing where it is malformed."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None or int(found["port"] or 0) > _MOST_PORT:
        return ""
    return str(found["address"] or found["name"]).lower()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _closing(status: int, text: str, *, differs: str = "") -> ServiceError:
    refusal = replace(front_door_status(status, text), headers={"Connection": "close"})
    return ServiceError(refusal, differs=differs)
