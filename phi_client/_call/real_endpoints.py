"""Whether a request may leave this machine: where `PHI_ALLOW_REAL` is 0, as it is in tests, none does.

It must not send anything. A mock in the place of the network is asked as ever: those who are about to send look here
once it is sure that what they send goes out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from phi_client._call.errors import ConfigurationError
from phi_client.contract.loopback import is_loopback

__all__ = ["ALLOW_REAL", "RealEndpointError", "async_trace_for", "is_allowed", "refuse_entra", "trace_for"]

ALLOW_REAL: Final = "PHI_ALLOW_REAL"
_YES: Final = frozenset({"", "1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})
_ENTRA_PLACES: Final = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "IDENTITY_ENDPOINT", "AZURE_AUTHORITY_HOST")
"""The variables that lead azure-identity to another place than Entra ID."""

Trace = Callable[[str, dict[str, Any]], None]
AsyncTrace = Callable[[str, dict[str, Any]], Coroutine[Any, Any, None]]


class RealEndpointError(ConfigurationError):
    """A real endpoint would have been asked where that is not allowed, as in a test; nothing was sent."""


RealEndpointError.__module__ = "phi_client.testing"


def trace_for(url: str) -> Trace | None:
    """What refuses a request to `url` when HTTP's own library is about to send it; `None` where it may be sent.

    It is a `trace` as httpcore calls it, which no mock does.

    Raises:
        ConfigurationError: `PHI_ALLOW_REAL` says neither yes nor no.
    """
    host = _refused_host(url)
    if host is None:
        return None

    def refuse(event: str, info: dict[str, Any]) -> None:
        del event, info
        raise _refusal(f"the endpoint {host!r}")

    return refuse


def async_trace_for(url: str) -> AsyncTrace | None:
    """As `trace_for`, for async requests."""
    refuse = trace_for(url)
    if refuse is None:
        return None

    async def refuse_async(event: str, info: dict[str, Any]) -> None:
        refuse(event, info)

    return refuse_async


def refuse_entra(credential: object) -> None:
    """Refuse to have a credential of azure-identity ask for a token, unless a variable leads it to this machine.

    `None` stands for the default one. Whatever else gives tokens may be a test's own.

    Raises:
        RealEndpointError: that is not allowed here.
        ConfigurationError: `PHI_ALLOW_REAL` says neither yes nor no.
    """
    if is_allowed(os.environ):
        return
    if credential is not None and not type(credential).__module__.startswith("azure.identity"):
        return
    places = (os.environ.get(name, "") for name in _ENTRA_PLACES)
    if not any(is_loopback(urlsplit(place).hostname or "") for place in places):
        raise _refusal("Entra ID")


def _refused_host(url: str) -> str | None:
    if is_allowed(os.environ):
        return None
    host = urlsplit(url).hostname or ""
    return None if is_loopback(host) else host


def is_allowed(environ: Mapping[str, str]) -> bool:
    """Whether real endpoints may be asked.

    Raises:
        ConfigurationError: `PHI_ALLOW_REAL` says neither yes nor no.
    """
    word = environ.get(ALLOW_REAL, "").strip().lower()
    if word not in _YES | _NO:
        raise ConfigurationError(f"`{ALLOW_REAL}` is {word!r}: give 1 or 0")
    return word in _YES


def _refusal(what: str) -> RealEndpointError:
    return RealEndpointError(
        f"{what} is real, and `{ALLOW_REAL}` is 0, as it is in tests: nothing was sent. Use the fixture "
        "`phi_emulator`, or allow it: `@pytest.mark.phi_real` for one test, `pytest --phi-real` for all"
    )
