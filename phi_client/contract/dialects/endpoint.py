"""From whatever URL is pasted to a dialect, a base URL and a route, or to what is wrong with it.

It must not connect to anything. Names of hosts are those of the Azure documentation.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from phi_client.contract.dialects.base import Dialect
from phi_client.contract.dialects.managed_compute import MANAGED_COMPUTE
from phi_client.contract.dialects.serverless import SERVERLESS
from phi_client.contract.emulator import EMULATOR_ALIAS, EMULATOR_ENDPOINT

__all__ = ["DIALECTS", "Endpoint", "EndpointError", "resolve_endpoint"]

DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (SERVERLESS, MANAGED_COMPUTE)}
"""The dialects of this version by name."""

_NOT_YET: Final = (
    (".services.ai.azure.com", "a Foundry resource (`/models` or `/openai/v1`)"),
    (".openai.azure.com", "an Azure OpenAI resource"),
    (".cognitiveservices.azure.com", "an Azure AI services resource"),
)
_SHAPES: Final = (
    "`https://<name>.<region>.models.ai.azure.com` (serverless), "
    "`https://<name>.<region>.inference.ml.azure.com` (managed compute) and `emulator`"
)


class EndpointError(ValueError):
    """An endpoint that can't work; the message says which part and what to write instead."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. `base_url` has no trailing slash; routes of the dialect are appended to it."""

    dialect: Dialect
    base_url: str
    route: str
    api_version: str | None = None
    is_emulator: bool = False

    @property
    def is_score(self) -> bool:
        """True when the score route was asked for, which can't stream."""
        return self.route == self.dialect.score_route

    @property
    def is_loopback(self) -> bool:
        """True when requests never leave this machine."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def is_secure(self) -> bool:
        """True when a credential may be sent: https, or a loopback address."""
        return self.base_url.startswith("https://") or self.is_loopback


def resolve_endpoint(url: str, dialect: str | None = None) -> Endpoint:
    """Resolve an endpoint as pasted: with or without route, query, trailing slash.

    `dialect` names the dialect of a host that Azure does not give; for a host of Azure it must agree.

    Raises:
        EndpointError: no endpoint of a dialect of this version can be meant.
    """
    wanted = _dialect_named(dialect)
    is_emulator = url.strip().lower() == EMULATOR_ALIAS
    if is_emulator:
        # Its root may speak any dialect; a dialect that is asked for by name has a place of its own.
        url = EMULATOR_ENDPOINT + (wanted.emulator_prefix if wanted else "")
    parts = _split(url.strip())
    host = parts.hostname or ""
    path = parts.path.rstrip("/")
    if _is_loopback(host):
        chosen, prefix = _emulator_dialect(path, wanted)
    else:
        chosen, prefix = _hosted_dialect(host, wanted), None
    base_path, route = _split_route(path, chosen)
    # Before a custom host a gateway may add a path of its own; Azure's hosts have none.
    may_have_path = wanted is not None and not host.endswith(chosen.host_suffixes)
    if base_path and base_path != prefix and not may_have_path:
        raise EndpointError(
            f"the path {base_path!r} of the endpoint is not a route of {chosen.name} on {host!r}: "
            f"give the URL without a path, or with one of {_quoted(_routes(chosen))}"
        )
    versions = parse_qs(parts.query).get("api-version", [])
    return Endpoint(
        dialect=chosen,
        base_url=f"{parts.scheme}://{parts.netloc}{base_path}",
        route=route,
        api_version=versions[0] if versions else None,
        is_emulator=is_emulator,
    )


def _split(url: str) -> SplitResult:
    if not url:
        raise EndpointError("the endpoint is empty")
    if "://" not in url:
        raise EndpointError("the endpoint has no scheme: write `https://` before the host, or `emulator`")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise EndpointError(f"the endpoint is not a URL: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise EndpointError(f"the scheme {parts.scheme!r} of the endpoint is not `https`")
    if "@" in parts.netloc:
        raise EndpointError("the endpoint holds a user or password: give the key as `api_key` instead")
    if not parts.hostname:
        raise EndpointError("the endpoint has no host")
    if any(character.isspace() for character in url):
        raise EndpointError("the endpoint holds white space")
    return parts


def _dialect_named(name: str | None) -> Dialect | None:
    if name is None:
        return None
    if name not in DIALECTS:
        raise EndpointError(f"`dialect` {name!r} is not one of {_quoted(DIALECTS)}")
    return DIALECTS[name]


def _hosted_dialect(host: str, wanted: Dialect | None) -> Dialect:
    for dialect in DIALECTS.values():
        if host.endswith(dialect.host_suffixes):
            if wanted is not None and wanted is not dialect:
                raise EndpointError(
                    f"the host {host!r} speaks {dialect.name}, but `dialect` is {wanted.name!r}: leave it out"
                )
            return dialect
    for suffix, what in _NOT_YET:
        if host.endswith(suffix):
            raise EndpointError(f"the host {host!r} is {what}; this version supports {_SHAPES}")
    if wanted is None:
        raise EndpointError(
            f"the host {host!r} is none of Azure's: name its `dialect`, one of {_quoted(DIALECTS)}, "
            f"or use one of {_SHAPES}"
        )
    return wanted


def _emulator_dialect(path: str, wanted: Dialect | None) -> tuple[Dialect, str | None]:
    """On a loopback address the path says which dialect is meant; the root speaks serverless."""
    for prefix in ("/models", "/openai"):
        if _is_under(path, prefix) and wanted is None:
            raise EndpointError(f"the path {prefix!r} is a Foundry route; this version supports {_SHAPES}")
    for dialect in DIALECTS.values():
        if _is_under(path, dialect.emulator_prefix):
            return wanted or dialect, dialect.emulator_prefix
    if wanted is None and path == MANAGED_COMPUTE.score_route:
        return MANAGED_COMPUTE, None
    return wanted or SERVERLESS, None


def _split_route(path: str, dialect: Dialect) -> tuple[str, str]:
    """The path before the route, and the route; a bare `/v1` asks for the chat route under it."""
    for route in sorted(_routes(dialect), key=len, reverse=True):
        if path.endswith(route):
            return path.removesuffix(route), route
    for route in (dialect.info_route, "/swagger.json"):
        if path.endswith(route):
            return path.removesuffix(route), dialect.chat_routes[0]
    if path.endswith("/v1"):
        return path.removesuffix("/v1"), "/v1/chat/completions"
    return path, dialect.chat_routes[0]


def _routes(dialect: Dialect) -> tuple[str, ...]:
    return (*dialect.chat_routes, *filter(None, (dialect.score_route,)))


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
