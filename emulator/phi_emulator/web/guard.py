"""Turns away what a web page could make a browser send here: foreign `Host` and `Origin` headers.

It must not know keys, routes or bodies. A page that rebinds its own name to 127.0.0.1 still sends that name as `Host`,
and a page that posts across origins sends its `Origin`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from phi_client.contract.service.refusals import front_door_status
from phi_client.contract.wire import get_header
from phi_emulator.service.errors import ServiceError

__all__ = ["check_source", "is_loopback"]


def is_loopback(host: str) -> bool:
    """True for the addresses and names that never leave this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def check_source(headers: Mapping[str, str], bound_host: str) -> None:
    """Let a request pass whose `Host`, and `Origin` if it has one, are loopback or the host that is bound.

    Where every interface is bound, any name may be the right one, and the key alone protects.

    Raises:
        ServiceError: 403.
    """
    host = get_header(headers, "host") or ""
    if not _is_ours(_hostname(f"//{host}"), bound_host):
        raise _forbidden(f"The Host header {host!r} does not name this emulator; use 127.0.0.1 or localhost.")
    origin = get_header(headers, "origin")
    if origin is not None and not _is_ours(_hostname(origin), bound_host):
        raise _forbidden(f"Requests from the web origin {origin!r} are not accepted.")


def _is_ours(name: str, bound_host: str) -> bool:
    bound = _address(bound_host)
    is_everywhere = bound is not None and bound.is_unspecified
    return bool(name) and (is_everywhere or is_loopback(name) or name == bound_host.lower())


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _forbidden(text: str) -> ServiceError:
    return ServiceError(front_door_status(403, text))
