"""The proxy that the environment wants between us and an endpoint.

It must not connect to anything. An endpoint is one host, so what is to be done is decided once.
"""

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from phi_client._call.errors import ConfigurationError

__all__ = ["Proxy", "proxy_for"]

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_CONTROLS: Final = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the setting that names it. Its user and password are secrets."""

    scheme: str
    host: str
    port: int
    user: tuple[bytes, bytes] | None = field(repr=False)
    setting: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password, by itself and as it is sent: what a proxy refuses it may repeat."""
        if self.user is None:
            return ()
        sent = b64encode(b":".join(self.user)).decode()
        return tuple(filter(None, (self.user[1].decode(), sent)))

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS."""
        return self.scheme.startswith("socks")

    @property
    def speaks_tls(self) -> bool:
        """Whether it is itself spoken to under TLS."""
        return self.scheme == "https"


def proxy_for(base_url: str, *, is_loopback: bool) -> Proxy | None:
    """The proxy on the way to `base_url`, if there is one. What stays on this machine is shown to none.

    Raises:
        ConfigurationError: a setting can't work; the message names it, without its value, which may hold a password.
    """
    if is_loopback:
        return None
    parts = urlsplit(base_url)
    settings = getproxies()
    kind = next((kind for kind in (parts.scheme, "all") if settings.get(kind)), None)
    if kind is None:
        return None
    if any(_CONTROLS.search(part) for part in settings.get("no", "").strip(" ").split(" ")):
        name = _name_of("no", settings["no"])
        raise ConfigurationError(f"{name} has line breaks or control characters: separate hosts by commas")
    listed = _listed(settings.get("no", ""))
    port = parts.port or _PORTS[parts.scheme]
    if any(_names(entry, parts.hostname or "", port) for entry in listed):
        return None
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return _read(settings[kind], _name_of(kind, settings[kind]))


def _read(value: str, name: str) -> Proxy:
    advice = "write it as `http://host:port`, or unset it"
    if _CONTROLS.search(value):
        raise ConfigurationError(f"{name} has spaces, line breaks or control characters: {advice}")
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        ascii_host = (host or "").encode("ascii" if ":" in (host or "") else "idna").decode()
    except (ValueError, UnicodeError):
        raise ConfigurationError(f"{name} is no URL of a proxy: {advice}") from None
    if scheme not in _PORTS:
        known = ", ".join(f"`{one}`" for one in _PORTS)
        raise ConfigurationError(f"{name} has the scheme `{scheme}`, but a proxy can have {known}: {advice}")
    if not ascii_host or port == 0:
        raise ConfigurationError(f"{name} names no host and port: {advice}")
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            f"{name} names a SOCKS proxy, which needs socksio: run `pip install socksio`, or {advice}"
        )
    return Proxy(scheme, ascii_host, port or _PORTS[scheme], _user(parts), name)


def _user(parts: SplitResult) -> tuple[bytes, bytes] | None:
    if not parts.username and not parts.password:
        return None
    return unquote(parts.username or "").encode(), unquote(parts.password or "").encode()


def _listed(hosts: str) -> Iterator[str]:
    return (host.strip() for host in hosts.split(","))


def _names(entry: str, host: str, port: int) -> bool:
    """Whether an entry of `NO_PROXY` names a host: also in the forms that Python's own reading does not know, which
    are `*.domain`, the usual port of a scheme, and a network such as `10.0.0.0/8`.
    """
    with suppress(ValueError):
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    name, _, its_port = entry.lower().partition(":")
    domain = name.removeprefix("*").removeprefix(".")
    is_meant = name == "*" or (domain and f".{host}".endswith(f".{domain}"))
    return bool(is_meant) and its_port in ("", str(port))


def _name_of(kind: str, value: str) -> str:
    """The variable that a setting came from, which may be written in either case."""
    name = f"{kind}_proxy"
    for one in (name, name.upper()):
        if os.environ.get(one) == value:
            return f"`{one}`"
    found = next((one for one in os.environ if one.lower() == name), None)
    return f"`{found}`" if found else "the system's proxy setting"
