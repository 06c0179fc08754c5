"""Where a client sends its calls, and from where it learns that: arguments win over the environment.

It must not know HTTP libraries, and must not read any file. An argument and its sister in the environment are checked
alike, and a message says which of the two it is about.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, cast

from phi_client._call.errors import ConfigurationError
from phi_client._call.json_values import kind_of, shown
from phi_client._call.options import CallOptions
from phi_client._call.values import as_failures, as_word, one_of
from phi_client._call.wrong_words import unknown_argument
from phi_client.contract.dialects import DIALECTS, Endpoint, EndpointError, resolve_endpoint
from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.limits import (
    RECOMMENDED_MAX_TOKENS,
    RECOMMENDED_TEMPERATURE,
    RECOMMENDED_TOP_P,
)

__all__ = [
    "NONE_WORD",
    "VARIABLES",
    "KeyCredential",
    "Settings",
    "Target",
    "chosen_model",
    "resolve_settings",
]

NONE_WORD: Final = "-"
"""In a text with one word for each endpoint, the word for none."""

_API_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_WORDS: Final = ("api_key", "dialect", "model", "deployment", "api_version", "credential_scope")
VARIABLES: Final = tuple(f"PHI_{name.upper()}" for name in ("endpoint", *_WORDS, "allow_http", "fallback_on"))
"""What of the environment is read."""

_ARGUMENTS: Final = frozenset(
    {
        *_WORDS,
        "endpoint",
        "credential",
        "timeout",
        "max_retries",
        "deadline",
        "http_client",
        "headers",
        "on_retry",
    }
    | {"allow_http", "fallback_on"}
)
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


class KeyCredential(Protocol):
    """A key in an object, such as `azure.core.credentials.AzureKeyCredential`."""

    @property
    def key(self) -> str:
        """The key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One endpoint with all that belongs to it. The key is not shown by `repr`.

    `scope` is what a token of Entra ID is asked for.
    """

    endpoint: Endpoint
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    deployment: str | None = None
    api_version: str | None = None
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A client's settings, resolved: the endpoints in the order in which they are tried.

    `fallback_on`: what goes on to the next endpoint beside what is worth a retry: statuses, `timeout`, `response`.
    `credential`: the caller's credential for tokens; a key in an object has become the targets' key.
    """

    targets: tuple[Target, ...]
    options: CallOptions
    fallback_on: frozenset[int | str] = frozenset()
    credential: Any = field(default=None, repr=False)

    def with_options(self, options: Mapping[str, Any]) -> "Settings":
        """These settings with other defaults for the options of a call; errors as of `CallOptions.merged`."""
        return replace(self, options=self.options.merged(options))


@dataclass(frozen=True, slots=True)
class _Given:
    """A value with the name under which it was given: an argument's, or a variable's of the environment."""

    value: object = field(repr=False)
    name: str

    @property
    def is_argument(self) -> bool:
        return not self.name.startswith("`PHI_")


def resolve_settings(
    *,
    environ: Mapping[str, str],
    endpoint: object = None,
    api_key: object = None,
    credential: object = None,
    dialect: object = None,
    model: object = None,
    deployment: object = None,
    api_version: object = None,
    credential_scope: object = None,
    allow_http: object = None,
    fallback_on: object = None,
    on_retry: object = None,
    options: Mapping[str, Any] | None = None,
    unknown: Collection[str] = (),
) -> Settings:
    """Fill what was not given from `PHI_ENDPOINT` and its sisters, and check all of it.

    `endpoint` may name several, in a list or separated by spaces. Then each of the others is one for all, or one
    for each endpoint, `None` (in a text `-`) standing for none; a key is never shared, because it would go to another's
    host. `unknown` are the names of arguments that there are not.

    Raises:
        ConfigurationError: a part is missing or can't work; the message says what to set.
    """
    for name in unknown:
        raise ConfigurationError(unknown_argument(name, _ARGUMENTS))
    if on_retry is not None and not callable(on_retry):
        raise ConfigurationError(
            f"`on_retry` is {kind_of(on_retry)}: give a function that takes a `RetryEvent`"
        )
    if api_key is not None and credential is not None:
        raise ConfigurationError("both `api_key` and `credential` are given: give one of them")
    key = _key_in(credential)
    if key is not None:
        api_key, credential = key, None
    _check_credential(credential)
    if credential is not None:
        environ = {name: value for name, value in environ.items() if name != "PHI_API_KEY"}
    urls = _chosen("endpoint", endpoint, environ)
    if urls.value is None:
        raise ConfigurationError(
            "no endpoint: set `PHI_ENDPOINT` (or pass `endpoint=`) to the URL of an Azure deployment, "
            "or to `emulator` after starting `phi-emulator serve`"
        )
    listed = _endpoints(urls)
    given = {
        "api_key": api_key,
        "dialect": dialect,
        "model": model,
        "deployment": deployment,
        "api_version": api_version,
        "credential_scope": credential_scope,
    }
    spread = {name: _spread(name, _chosen(name, given[name], environ), len(listed)) for name in _WORDS}
    may_be_open = _switch(_chosen("allow_http", allow_http, environ))
    failures = _chosen("fallback_on", fallback_on, environ)
    targets = [
        _target(
            _Given(url, urls.name),
            {name: values[place] for name, values in spread.items()},
            has_credential=credential is not None,
            allow_http=may_be_open,
        )
        for place, url in enumerate(listed)
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
        fallback_on=frozenset() if failures.value is None else as_failures(failures.name, failures.value),
        credential=credential,
    )
    return settings.with_options(options or {})


def chosen_model(target: Target, options: CallOptions) -> str | None:
    """The body's `model` for a call to this endpoint: the call's own before the endpoint's.

    Raises:
        ConfigurationError: there is none, and this surface serves several.
    """
    model = options.model or target.model
    dialect = target.endpoint.dialect
    if model is None and dialect.needs_model:
        raise ConfigurationError(
            f"{dialect.name} serves several models: set `PHI_MODEL` (or pass `model=`, to the client or to the "
            "call) to your deployment's name"
        )
    return model


def _chosen(name: str, given: object, environ: Mapping[str, str]) -> _Given:
    if given is not None:
        return _Given(given, f"`{name}`")
    variable = f"PHI_{name.upper()}"
    return _Given(environ.get(variable, "").strip() or None, f"`{variable}`")


def _endpoints(given: _Given) -> list[object]:
    """The endpoints that are named, at least one."""
    if isinstance(given.value, str):
        return list(given.value.split()) or [""]
    listed = _listed(given.value)
    if listed is None:
        raise ConfigurationError(
            f"{given.name} is {kind_of(given.value)}: give a string, or a list of strings"
        )
    if not listed:
        raise ConfigurationError(f"{given.name} is an empty list: give at least one endpoint")
    return listed


def _spread(name: str, given: _Given, count: int) -> list[_Given]:
    """The value for each endpoint."""
    value = given.value
    each = _listed(value)
    if each is None and isinstance(value, str) and count > 1:
        each = [None if word == NONE_WORD else word for word in value.split()]
    elif each is None:
        each = [value] * (count if value is None else 1)
    if len(each) == 1 and name != "api_key":
        each = each * count
    if len(each) != count:
        expected = "as many" if name == "api_key" else "one, or as many"
        raise ConfigurationError(
            f"{given.name} has {len(each)} words for {count} endpoints: give {expected} as there are endpoints, "
            f"`{NONE_WORD}` for none (in a list `None`)"
        )
    return [_Given(one, given.name) for one in each]


def _listed(value: object) -> list[object] | None:
    """What a list or a tuple holds; `None` for anything else, since the order counts."""
    return list(cast("list[object]", value)) if isinstance(value, list | tuple) else None


def _switch(given: _Given) -> bool:
    value = given.value
    if isinstance(value, bool) or value is None:
        return bool(value)
    if not given.is_argument and isinstance(value, str) and value.lower() in _YES | _NO:
        return value.lower() in _YES
    right = "True or False" if given.is_argument else "1 or 0"
    raise ConfigurationError(f"{given.name} is {shown(value)}: give {right}")


def _target(url: _Given, given: Mapping[str, _Given], *, has_credential: bool, allow_http: bool) -> Target:
    if not isinstance(url.value, str):
        raise ConfigurationError(
            f"{url.name} holds an endpoint {kind_of(url.value)}: give its URL as a string"
        )
    spoken = _word(given["dialect"], lambda name, value: one_of(name, value, tuple(DIALECTS)))
    try:
        endpoint = resolve_endpoint(url.value, spoken, allow_http=allow_http)
    except EndpointError as error:
        raise ConfigurationError(str(error) if url.is_argument else f"{error} ({url.name})") from error
    dialect = endpoint.dialect
    version = _word(given["api_version"], _version) or endpoint.api_version
    if version is not None and not _API_VERSION.fullmatch(version):
        raise ConfigurationError(
            f"the `api-version` {shown(version)} in {url.name} is not a date such as `2024-05-01-preview`"
        )
    # A deployment is what `model` names where a surface serves several.
    deployment = _word(given["deployment"], _ascii_word)
    model = _word(given["model"], as_word) or endpoint.model or (deployment if dialect.needs_model else None)
    key_given = given["api_key"]
    if endpoint.is_emulator and not (key_given.is_argument and key_given.value):
        # The word `emulator` stands for its key too, and a key meant for Azure must not go to it.
        key_given = _Given(EMULATOR_KEY, "`emulator`")
    return Target(
        endpoint=endpoint,
        api_key=None if has_credential else _checked_key(key_given),
        model=model,
        deployment=deployment,
        api_version=version if dialect.api_version is not None else None,
        scope=_word(given["credential_scope"], _ascii_word) or dialect.token_scope,
    )


def _word(given: _Given, check: Callable[[str, object], str | None]) -> str | None:
    return None if given.value is None else check(given.name, given.value)


def _ascii_word(name: str, value: object) -> str | None:
    """A word that a header can carry, and one only."""
    word = as_word(name, value)
    if word is not None and not (word.isascii() and " " not in word):
        raise ConfigurationError(f"{name} holds characters that no header can carry")
    return word


def _version(name: str, value: object) -> str:
    if not isinstance(value, str) or not _API_VERSION.fullmatch(value.strip()):
        raise ConfigurationError(f"{name} is {shown(value)}: give a date such as `2024-05-01-preview`")
    return value.strip()


def _key_in(value: object) -> str | None:
    """The key in an object that holds one."""
    if value is None or isinstance(value, str | type):
        return None
    key: object = getattr(value, "key", None)
    return key if isinstance(key, str) else None


def _checked_key(given: _Given) -> str | None:
    value = given.value
    if value is None:
        return None
    found = _key_in(value) if not isinstance(value, str) else value
    if found is None:
        hint = "give the key itself; for tokens of Entra ID pass `credential=`"
        raise ConfigurationError(f"the API key, {given.name}, is {kind_of(value)}: {hint}")
    key = found.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"the API key, {given.name}, is empty or holds characters that no header can carry"
        )
    return key


def _check_credential(credential: object) -> None:
    """Refuse what is no credential; whether it is of the client's kind is looked at where it is asked."""
    if credential is None:
        return
    if isinstance(credential, str):
        raise ConfigurationError(
            "`credential` is a string, which has no `get_token`: a key is given as `api_key`"
        )
    if isinstance(credential, type):
        raise ConfigurationError(f"`credential` is the class `{credential.__name__}`: give an instance of it")
    if not callable(getattr(credential, "get_token", None)):
        hint = (
            "a function that gives tokens is not needed" if callable(credential) else "it has no `get_token`"
        )
        raise ConfigurationError(
            f"`credential` is {kind_of(credential)}: {hint}; pass a credential of azure-identity, such as "
            "`DefaultAzureCredential()`, or an `AzureKeyCredential`"
        )
