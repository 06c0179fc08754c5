"""Where a client sends its calls, and from where it learns that: arguments win over the environment.

It must not know HTTP libraries, and must not read any file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from phi_client._call.errors import ConfigurationError
from phi_client._call.options import CallOptions, check_headers
from phi_client.contract.dialects import Endpoint, EndpointError, resolve_endpoint
from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.limits import (
    RECOMMENDED_MAX_TOKENS,
    RECOMMENDED_TEMPERATURE,
    RECOMMENDED_TOP_P,
)

__all__ = ["NONE_WORD", "Settings", "Target", "resolve_settings"]

NONE_WORD: Final = "-"
"""In a list with one word for each endpoint, the word for none."""

_API_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_WORDS: Final = ("api_key", "dialect", "model", "deployment", "api_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One endpoint with all that belongs to it. The key is not shown by `repr`."""

    endpoint: Endpoint
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    deployment: str | None = None
    api_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A client's settings, resolved: the endpoints in the order in which they are tried."""

    targets: tuple[Target, ...]
    options: CallOptions
    fallback_on: frozenset[int | str] = frozenset()

    def with_options(self, options: Mapping[str, Any]) -> "Settings":
        """These settings with other defaults for the options of a call; errors as of `CallOptions.merged`."""
        return replace(self, options=self.options.merged(options))


def resolve_settings(
    *,
    endpoint: str | None,
    api_key: str | None,
    has_credential: bool,
    dialect: str | None,
    model: str | None,
    deployment: str | None,
    api_version: str | None,
    options: Mapping[str, Any],
    environ: Mapping[str, str],
) -> Settings:
    """Fill what was not given from `PHI_ENDPOINT` and its sisters, and check what builds the URLs.

    `endpoint` may list several, separated by spaces. Then each of the others is one word for all, or one word
    for each endpoint, `-` standing for none; a key is never shared, because it would go to another's host.

    Raises:
        ConfigurationError: a part is missing or can't work; the message says what to set.
    """
    if api_key is not None and has_credential:
        raise ConfigurationError("both `api_key` and `credential` are given: give one of them")
    given = {
        "api_key": api_key,
        "dialect": dialect,
        "model": model,
        "deployment": deployment,
        "api_version": api_version,
    }
    urls = _chosen(endpoint, "endpoint", environ)
    if urls is None:
        raise ConfigurationError(
            "no endpoint: set `PHI_ENDPOINT` (or pass `endpoint=`) to the URL of an Azure deployment, "
            "or to `emulator` after starting `phi-emulator serve`"
        )
    if has_credential:
        environ = {name: value for name, value in environ.items() if name != "PHI_API_KEY"}
    words = urls.split() or [""]
    spread = {name: _spread(name, _chosen(given[name], name, environ), len(words)) for name in _WORDS}
    targets = [
        _target(
            url,
            **{name: values[index] for name, values in spread.items()},
            has_credential=has_credential,
            is_key_argument=api_key is not None,
        )
        for index, url in enumerate(words)
    ]
    settings = Settings(
        targets=tuple(targets),
        options=CallOptions(
            body={
                "temperature": RECOMMENDED_TEMPERATURE,
                "top_p": RECOMMENDED_TOP_P,
                "max_tokens": RECOMMENDED_MAX_TOKENS,
            }
        ),
    )
    return settings.with_options(options)


def _chosen(given: str | None, name: str, environ: Mapping[str, str]) -> str | None:
    return given if given is not None else environ.get(f"PHI_{name.upper()}", "").strip() or None


def _spread(name: str, value: str | None, count: int) -> list[str | None]:
    """The value for each endpoint."""
    if value is None or count == 1:
        return [value] * count
    words = [None if word == NONE_WORD else word for word in value.split()]
    if len(words) == count:
        return list(words)
    if len(words) == 1 and name != "api_key":
        return list(words) * count
    expected = "as many words" if name == "api_key" else "one word, or as many"
    raise ConfigurationError(
        f"`{name}` has {len(words)} words for {count} endpoints: give {expected} as there are endpoints, "
        f"`{NONE_WORD}` for none"
    )


def _target(
    url: str,
    *,
    api_key: str | None,
    dialect: str | None,
    model: str | None,
    deployment: str | None,
    api_version: str | None,
    has_credential: bool,
    is_key_argument: bool,
) -> Target:
    try:
        endpoint = resolve_endpoint(url, dialect)
    except EndpointError as error:
        raise ConfigurationError(str(error)) from error
    if not endpoint.is_secure:
        raise ConfigurationError(
            "the endpoint is plain `http`, over which no key or token is sent except on this machine: use `https`"
        )
    spoken = endpoint.dialect
    version = (api_version or endpoint.api_version) if spoken.api_version is not None else None
    if version is not None and not _API_VERSION.fullmatch(version):
        raise ConfigurationError(f"`api_version` {version!r} is not a date such as `2024-05-01-preview`")
    check_headers({"deployment": deployment or ""})
    named = model or endpoint.model
    if spoken.needs_model and named is None:
        # A deployment is what this surface's `model` names.
        named = deployment
        if named is None:
            raise ConfigurationError(
                f"{spoken.name} serves several models: set `PHI_MODEL` (or pass `model=`) to your deployment's name"
            )
    if endpoint.is_emulator and not (is_key_argument and api_key):
        # The word `emulator` stands for its key too, and a key meant for Azure must not go to it.
        api_key = EMULATOR_KEY
    return Target(
        endpoint=endpoint,
        api_key=None if has_credential else _checked_key(api_key),
        model=named,
        deployment=deployment,
        api_version=version,
    )


def _checked_key(given: str | None) -> str | None:
    if given is None:
        return None
    key = given.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("the API key is empty or holds characters that no header can carry")
    return key
