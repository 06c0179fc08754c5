"""Turns away what a web page could make a browser send here: foreign `Host` and `Origin` headers.

It must not know keys, routes or bodies. A page that rebinds its own name to 127.0.0.1 still sends that name as `Host`,
and a page that posts across origins sends its `Origin`.

What is no host and port by RFC 3986, or has somebody's name before an `@`, is nobody's, and is not repeated. Whoever is
turned away has nothing else to ask for here, so the connection is closed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from phi_client.contract.loopback import is_loopback
from phi_client.contract.service.refusals import front_door_status
from phi_client.contract.wire import get_header
from phi_emulator.service.errors import ServiceError

__all__ = ["check_source"]

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,15}\.?))(?::[0-9]{1,5})?",
    re.IGNORECASE | re.ASCII,
)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}://(?P<authority>.{1,300})", re.IGNORECASE | re.ASCII)
"""What a browser sends; `null` stands for a page that has none to tell."""


def check_source(headers: Mapping[str, str], bound_host: str) -> None:
    """Let a request pass whose `Host`, and `Origin` if it has one, are loopback or the host that is bound.

    Where every interface is bound, any name may be the right one, and the key alone protects.

    Raises:
        ServiceError: 403; the connection is closed.
    """
    host = get_header(headers, "host") or ""
    name = _hostname(host)
    if not _is_ours(name, bound_host):
        raise _forbidden(
            f"The Host header{_told(name)} does not name this emulator; use 127.0.0.1 or localhost."
        )
    origin = get_header(headers, "origin")
    if origin is not None:
        found = _ORIGIN.fullmatch(origin)
        name = "" if found is None else _hostname(found["authority"])
        if not _is_ours(name, bound_host):
            raise _forbidden(f"Requests from the web origin{_told(name)} are not accepted.")


def _is_ours(name: str, bound_host: str) -> bool:
    bound = _address(bound_host)
    is_everywhere = bound is not None and bound.is_unspecified
    return bool(name) and (is_everywhere or is_loopback(name) or name == bound_host.lower())


def _hostname(authority: str) -> str:
    """The name or address in a host with or without a port, in lower case; nothing where it is malformed."""
    found = _AUTHORITY.fullmatch(authority)
    return "" if found is None else (found["address"] or found["name"]).lower()


def _told(name: str) -> str:
    """A name that is one, in the words of a refusal."""
    return f" {name!r}" if name else ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _forbidden(text: str) -> ServiceError:
    return ServiceError(replace(front_door_status(403, text), headers={"Connection": "close"}))
