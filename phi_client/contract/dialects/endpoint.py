"""From whatever URL is pasted to a dialect, a base URL and a route, or to what is wrong with it.

It must not connect to anything. Names of hosts are those of the Azure documentation.

    https://name.region.models.ai.azure.com/v1/chat/completions?api-version=2024-05-01-preview
    scheme  host: which dialects    base path  route             kept; any other parameter is refused
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from phi_client.contract.dialects.base import Dialect
from phi_client.contract.dialects.foundry_models import FOUNDRY_MODELS
from phi_client.contract.dialects.managed_compute import MANAGED_COMPUTE
from phi_client.contract.dialects.openai_v1 import OPENAI_V1
from phi_client.contract.dialects.serverless import SERVERLESS
from phi_client.contract.emulator import EMULATOR_ALIAS, EMULATOR_ENDPOINT
from phi_client.contract.loopback import is_loopback

__all__ = ["DIALECTS", "Endpoint", "EndpointError", "resolve_endpoint"]

DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.name: dialect for dialect in (SERVERLESS, MANAGED_COMPUTE, OPENAI_V1, FOUNDRY_MODELS)
}
"""The dialects by name; of two that one host speaks, the first is meant where the path doesn't say."""

_SHAPES: Final = (
    "`https://<name>.<region>.models.ai.azure.com` (serverless), "
    "`https://<name>.<region>.inference.ml.azure.com` (managed compute), "
    "`https://<resource>.services.ai.azure.com/openai/v1` or `https://<resource>.openai.azure.com/openai/v1`, "
    "and `emulator`"
)
_MOST_CHARACTERS: Final = 2048
_MOST_OF_HOST: Final = 253
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_IPV4: Final = re.compile(r"[\d.]+")
_PORTALS: Final = ("ai.azure.com", "ml.azure.com", "portal.azure.com", "oai.azure.com")
# A project of a Foundry resource has the v1 API too, under a path of its own.
_PROJECT: Final = re.compile(r"/api/projects/[^/]+")
# The older form of Azure OpenAI, which the portal still shows as the target URI: it names the deployment.
_DEPLOYMENT: Final = re.compile(r"(?P<base>.*)/openai/deployments/(?P<model>[^/]+)(/chat/completions)?")


_PathCheck = Callable[[str], object]
"""Whether a path may stand before the route: anything that is true or false."""


class EndpointError(ValueError):
    """An endpoint that can't work; the message says which part and what to write instead."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. `base_url` has no trailing slash; routes of the dialect are appended to it.

    `api_version` and `model` are those that the URL itself names.
    """

    dialect: Dialect
    base_url: str
    route: str
    api_version: str | None = None
    model: str | None = None
    is_emulator: bool = False

    @property
    def is_score(self) -> bool:
        """True when the score route was asked for, which can't stream."""
        return self.route == self.dialect.score_route

    @property
    def is_loopback(self) -> bool:
        """True when requests never leave this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def speaks_tls(self) -> bool:
        """True for `https`."""
        return self.base_url.startswith("https://")


def resolve_endpoint(url: str, dialect: str | None = None, *, allow_http: bool = False) -> Endpoint:
    """Resolve an endpoint as pasted: with or without route, query, trailing slash.

    `dialect` names the dialect of a host that Azure does not give; for a host of Azure it must agree. `allow_http`
    takes plain `http` to a host that is not this machine and not Azure's; then, as on this machine, the path may say
    the dialect.

    Raises:
        EndpointError: no endpoint of a dialect can be meant.
    """
    wanted = _dialect_named(dialect)
    is_emulator = url.strip().lower() == EMULATOR_ALIAS
    if is_emulator:
        # Its root may speak any dialect; a dialect that is asked for by name has a place of its own.
        url = EMULATOR_ENDPOINT + (wanted.emulator_prefix if wanted else "")
    parts = _split(url.strip())
    host = parts.hostname or ""
    path = parts.path.rstrip("/")
    is_local = is_loopback(host)
    if parts.scheme == "http" and not is_local:
        is_local = _checked_open_host(host, allow_http=allow_http)
    if is_local:
        chosen, may_precede = _local_dialect(path, wanted)
    else:
        chosen, may_precede = _hosted_dialect(host, path, wanted)
    base_path, route, model = _split_path(path, chosen)
    if base_path and not may_precede(base_path):
        raise EndpointError(
            f"the path {base_path!r} of the endpoint is not a route of {chosen.name} on {host!r}: "
            f"give the URL without a path, or with one of {_quoted(_routes(chosen))}"
        )
    return Endpoint(
        dialect=chosen,
        base_url=f"{parts.scheme}://{parts.netloc}{base_path}",
        route=route,
        api_version=_api_version_in(parts.query),
        model=model,
        is_emulator=is_emulator,
    )


def _split(url: str) -> SplitResult:
    _check_text(url)
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
    if not parts.hostname.isascii():
        raise EndpointError("the endpoint's host is not in ASCII: write the form that begins with `xn--`")
    if not _is_host(parts.hostname, in_brackets="[" in parts.netloc):
        raise EndpointError("the endpoint's host is no name and no address: copy the URL once more")
    if parts.fragment:
        raise EndpointError("the endpoint holds a `#` with text after it, which no request can carry")
    return parts


def _check_text(url: str) -> None:
    if not url:
        raise EndpointError("the endpoint is empty")
    if any(character.isspace() for character in url):
        raise EndpointError("the endpoint holds white space")
    if not url.isprintable():
        raise EndpointError("the endpoint holds characters that no URL can carry")
    if len(url) > _MOST_CHARACTERS:
        raise EndpointError(f"the endpoint is longer than {_MOST_CHARACTERS} characters")
    if "://" not in url:
        scheme = "http" if is_loopback(re.split("[:/]", url)[0]) else "https"
        raise EndpointError(f"the endpoint has no scheme: write `{scheme}://` before the host, or `emulator`")


def _is_host(host: str, *, in_brackets: bool) -> bool:
    """Whether a resolver could be asked for it: an address, or labels of ASCII letters and digits."""
    if in_brackets or _IPV4.fullmatch(host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return in_brackets == (":" in host)
    if len(host) > _MOST_OF_HOST or not _HOST.fullmatch(host):
        return False
    try:
        host.encode().decode("idna")
    except UnicodeError:
        return False
    return True


def _checked_open_host(host: str, *, allow_http: bool) -> bool:
    """Refuse plain `http` beyond this machine, over which everybody can read along; true where it is allowed."""
    if host in _PORTALS or any(host.endswith(dialect.host_suffixes) for dialect in DIALECTS.values()):
        raise EndpointError(f"Azure's {host!r} is not spoken to over plain `http`: use `https`")
    if not allow_http:
        raise EndpointError(
            f"the endpoint is plain `http`, over which key and prompts to {host!r} travel unencrypted: use `https`, "
            "or, for a container or a gateway of your own, pass `allow_http=True` (`PHI_ALLOW_HTTP=1`)"
        )
    return True


def _api_version_in(query: str) -> str | None:
    """The version in a pasted query. Other parameters have no place in a request, and may be secrets."""
    given = parse_qs(query, keep_blank_values=True)
    versions = given.pop("api-version", [])
    if given:
        raise EndpointError(
            f"the query of the endpoint holds {_quoted(sorted(given))}: only `api-version` can be there "
            "(for a gateway's key, pass `headers=`)"
        )
    return versions[0] or None if versions else None


def _dialect_named(name: str | None) -> Dialect | None:
    if name is None:
        return None
    if name not in DIALECTS:
        raise EndpointError(f"`dialect` {name!r} is not one of {_quoted(DIALECTS)}")
    return DIALECTS[name]


def _hosted_dialect(host: str, path: str, wanted: Dialect | None) -> tuple[Dialect, _PathCheck]:
    if host in _PORTALS:
        raise EndpointError(
            f"{host!r} is a page of the portal, not an endpoint: copy the deployment's target URI from it"
        )
    spoken = [dialect for dialect in DIALECTS.values() if host.endswith(dialect.host_suffixes)]
    if spoken:
        if wanted is not None and wanted not in spoken:
            names = _quoted(dialect.name for dialect in spoken)
            raise EndpointError(f"the host {host!r} speaks {names}, but `dialect` is {wanted.name!r}")
        by_path = [dialect for dialect in spoken if dialect.root and _is_under(path, dialect.root)]
        chosen = wanted or (by_path or spoken)[0]
        is_project = ".services.ai." in host and chosen is OPENAI_V1
        return chosen, _PROJECT.fullmatch if is_project else _nothing
    if wanted is None:
        raise EndpointError(
            f"the host {host!r} is none of Azure's: name its `dialect`, one of {_quoted(DIALECTS)}, "
            f"or use one of {_SHAPES}"
        )
    # Before a host of one's own a gateway may add a path.
    return wanted, _anything


def _local_dialect(path: str, wanted: Dialect | None) -> tuple[Dialect, _PathCheck]:
    """On a loopback address the path says which dialect is meant; the root speaks serverless."""
    for dialect in DIALECTS.values():
        prefix = dialect.emulator_prefix
        if prefix and _is_under(path, prefix):
            return wanted or dialect, _anything if wanted else prefix.__eq__
    if wanted is not None:
        return wanted, _anything
    if _is_under(path, "/openai") or _is_under(path, "/api/projects"):
        return OPENAI_V1, _PROJECT.fullmatch
    if _is_under(path, FOUNDRY_MODELS.root):
        return FOUNDRY_MODELS, _nothing
    return MANAGED_COMPUTE if path == MANAGED_COMPUTE.score_route else SERVERLESS, _nothing


def _split_path(path: str, dialect: Dialect) -> tuple[str, str, str | None]:
    """The path before the route, the route, and the deployment that the path names.

    A bare `/v1` asks for the chat route under it; the path that all routes begin with stands for the first.
    """
    if dialect is OPENAI_V1 and (named := _DEPLOYMENT.fullmatch(path)):
        return named["base"], dialect.chat_routes[0], unquote(named["model"])
    for route in sorted(_routes(dialect), key=len, reverse=True):
        if path.endswith(route):
            return path.removesuffix(route), route, None
    if not dialect.root and path.endswith("/v1"):
        return path.removesuffix("/v1"), "/v1/chat/completions", None
    shorter = (dialect.info_route, dialect.root, "/openai" if dialect is OPENAI_V1 else "/swagger.json")
    for ending in shorter:
        if ending and path.endswith(ending):
            return path.removesuffix(ending), dialect.chat_routes[0], None
    return path, dialect.chat_routes[0], None


def _routes(dialect: Dialect) -> tuple[str, ...]:
    return (*dialect.chat_routes, *filter(None, (dialect.score_route,)))


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def _nothing(path: str) -> bool:
    del path
    return False


def _anything(path: str) -> bool:
    del path
    return True


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
