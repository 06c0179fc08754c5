"""What can be set, where it comes from, and which wins: call over client, client over environment.

It must not know HTTP libraries, and must not read any file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self, TypedDict, cast

from phi_client.contract.dialects import Endpoint, EndpointError, resolve_endpoint
from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.limits import (
    RECOMMENDED_MAX_TOKENS,
    RECOMMENDED_TEMPERATURE,
    RECOMMENDED_TOP_P,
)
from phi_client.errors import ConfigurationError

__all__ = ["CompletionOptions", "Settings", "Timeout", "body_fields", "resolve_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """Time limits in seconds by phase; `None` is no limit.

    `connect`: until the connection stands. `read`: the longest silence, which in a stream is the time between
    two data events. Its default is above the 180 s after which managed compute gives up itself, and allows
    for serverless being silent while a whole answer is generated. `write`: sending the request. `pool`:
    waiting for a free connection.
    """

    connect: float | None = 10.0
    read: float | None = 300.0
    write: float | None = 60.0
    pool: float | None = 60.0

    @classmethod
    def of(cls, value: "Timeout | float | None") -> Self | "Timeout":
        """A number is the limit of every phase whose default is longer, and of `read`; `None` is none."""
        if isinstance(value, Timeout):
            return value
        if value is None:
            return cls(connect=None, read=None, write=None, pool=None)
        _check_positive("timeout", value)
        return cls(connect=min(10.0, value), read=value, write=min(60.0, value), pool=min(60.0, value))


class CompletionOptions(TypedDict, total=False):
    """Options of a call, under the wire's own names. `None` sends nothing and leaves it to the service.

    Sent by default, because the services' own defaults cut or spoil the answer: `temperature` 0.8, `top_p`
    0.95, `max_tokens` 32768 (all three from the model card).

    `max_tokens`: budget in tokens, reasoning included. `stop`: strings that end the answer. `seed`: for
    repeatable sampling. `response_format`, `tools`, `tool_choice`: sent as they are, although the hosted
    model supports none. `extra`: keys outside the schema, merged into the body; they also send the header
    `extra-parameters: pass-through`. `headers`: added to the request. `timeout`: seconds, or by phase.
    `max_retries`: tries after the first, default 3. `deadline`: seconds for the whole call, retries included.
    """

    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    response_format: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    extra: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    timeout: Timeout | float | None
    max_retries: int
    deadline: float | None


_TRANSPORT_NAMES: Final = frozenset({"extra", "headers", "timeout", "max_retries", "deadline"})
_ADDED_NAMES: Final[tuple[Literal["extra", "headers"], ...]] = ("extra", "headers")
_ALL_NAMES: Final = frozenset(CompletionOptions.__annotations__)
_DEFAULTS: Final[CompletionOptions] = {
    "temperature": RECOMMENDED_TEMPERATURE,
    "top_p": RECOMMENDED_TOP_P,
    "max_tokens": RECOMMENDED_MAX_TOKENS,
    "timeout": Timeout(),
    "max_retries": 3,
    "deadline": None,
}
_API_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_CREDENTIAL_HEADERS: Final = frozenset({"authorization", "api-key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A client's settings, resolved. The key is not shown by `repr`."""

    endpoint: Endpoint
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    deployment: str | None = None
    api_version: str | None = None
    options: CompletionOptions

    def with_options(self, options: Mapping[str, Any]) -> "Settings":
        """These settings with other defaults for the options of a call.

        Raises:
            TypeError: an option has an unknown name.
            ConfigurationError: an option can't work.
        """
        return replace(self, options=self.merged(options))

    def merged(self, options: Mapping[str, Any]) -> CompletionOptions:
        """The options of one call; headers and extra keys add to the client's, all others replace them."""
        for name in options:
            if name not in _ALL_NAMES:
                raise TypeError(
                    f"unknown option {name!r}: keys that the schema does not name go into `extra={{…}}`"
                )
        merged: dict[str, Any] = {**self.options, **options}
        for name in _ADDED_NAMES:
            own: Mapping[str, Any] = self.options.get(name) or {}
            merged[name] = {**own, **(options.get(name) or {})}
        merged["timeout"] = Timeout.of(merged["timeout"])
        _check_transport(merged)
        return cast("CompletionOptions", merged)


def body_fields(options: CompletionOptions) -> dict[str, Any]:
    """The part of the options that goes into the body, without what is `None`; `extra` last."""
    named = {
        name: value for name, value in options.items() if name not in _TRANSPORT_NAMES and value is not None
    }
    return named | dict(options.get("extra") or {})


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
    """Fill what was not given from `PHI_ENDPOINT` and its sisters, and check what builds the URL.

    Raises:
        ConfigurationError: a part is missing or can't work; the message says what to set.
    """

    def chosen(given: str | None, variable: str) -> str | None:
        return given if given is not None else environ.get(variable, "").strip() or None

    url = chosen(endpoint, "PHI_ENDPOINT")
    if url is None:
        raise ConfigurationError(
            "no endpoint: set `PHI_ENDPOINT` (or pass `endpoint=`) to the URL of an Azure deployment, "
            "or to `emulator` after starting `phi-emulator serve`"
        )
    try:
        resolved = resolve_endpoint(url, chosen(dialect, "PHI_DIALECT"))
    except EndpointError as error:
        raise ConfigurationError(str(error)) from error
    if not resolved.is_secure:
        raise ConfigurationError(
            "the endpoint is plain `http`, over which no key or token is sent except on this machine: use `https`"
        )
    version = chosen(api_version, "PHI_API_VERSION") or resolved.api_version
    if version is not None and not _API_VERSION.fullmatch(version):
        raise ConfigurationError(f"`api_version` {version!r} is not a date such as `2024-05-01-preview`")
    settings = Settings(
        endpoint=resolved,
        api_key=_resolve_key(resolved, api_key, environ, has_credential=has_credential),
        model=chosen(model, "PHI_MODEL"),
        deployment=chosen(deployment, "PHI_DEPLOYMENT"),
        api_version=version,
        options=_DEFAULTS,
    )
    _check_headers({"deployment": settings.deployment or "", "model": settings.model or ""})
    return settings.with_options(options)


def _resolve_key(
    endpoint: Endpoint, given: str | None, environ: Mapping[str, str], *, has_credential: bool
) -> str | None:
    if given is not None and has_credential:
        raise ConfigurationError("both `api_key` and `credential` are given: give one of them")
    if has_credential:
        return None
    if given is None:
        # The word `emulator` stands for its key too, and a key meant for Azure must not go to it.
        variable = environ.get("PHI_API_KEY", "").strip() or None
        given = EMULATOR_KEY if endpoint.is_emulator else variable
    if given is None:
        return None
    key = given.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("the API key is empty or holds characters that no header can carry")
    return key


def _check_transport(options: Mapping[str, Any]) -> None:
    taken = {"messages", "stream"} & set(options["extra"])
    if taken:
        raise ConfigurationError(f"`extra` holds {sorted(taken)}, which the call itself sets")
    if options["max_retries"] < 0:
        raise ConfigurationError(f"`max_retries` is {options['max_retries']!r}: give 0 or more")
    if options["deadline"] is not None:
        _check_positive("deadline", options["deadline"])
    _check_headers(options["headers"])


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(f"the header {name!r} has a name or a value that HTTP can't carry")
        if name.lower() in _CREDENTIAL_HEADERS:
            raise ConfigurationError(
                f"the header {name!r} is set by `api_key` or `credential`: give it there"
            )


def _check_positive(name: str, seconds: float) -> None:
    if not seconds > 0:
        raise ConfigurationError(f"`{name}` is {seconds!r}: give a number of seconds above 0")
