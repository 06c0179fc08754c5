"""The options of a call, and how a call's go over a client's.

It must not know HTTP libraries, endpoints or the environment.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from phi_client._call.errors import ConfigurationError

if TYPE_CHECKING:
    from phi_client._call.tools import FunctionTool, ResponseFormat, ToolChoice

__all__ = [
    "DEFAULT_CONCURRENCY",
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_REASKS",
    "CallOptions",
    "CompletionOptions",
    "Timeout",
    "check_headers",
    "merge_headers",
]

DEFAULT_MAX_RETRIES: Final = 3
DEFAULT_REASKS: Final = 2
DEFAULT_CONCURRENCY: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """Time limits in seconds by phase; `None` is no limit.

    Where an option takes a `Timeout`, a number is the limit of `read`, and of each phase whose default is longer.

    `connect`: until the connection stands. `read`: the longest silence, which in a stream is the time between
    two data events. Its default is above the 180 s after which managed compute gives up itself, and allows
    for serverless being silent while a whole answer is generated. `write`: sending the request. `pool`:
    waiting for a free connection.
    """

    connect: float | None = 10.0
    read: float | None = 300.0
    write: float | None = 60.0
    pool: float | None = 60.0


class CompletionOptions(TypedDict, total=False):
    """Options of a call, under the wire's own names. `None` sends nothing and leaves it to the service.

    Sent by default, because the services' own defaults cut or spoil the answer: `temperature` 0.8, `top_p`
    0.95, `max_tokens` 32768 (all three from the model card).

    `max_tokens`: budget in tokens, reasoning included. `stop`: strings that end the answer. `seed`: for
    repeatable sampling. `response_format`, `tools`, `tool_choice`: sent as they are, although the hosted
    model supports none. `logprobs`, `top_logprobs`: ask for `Completion.logprobs`; only `/openai/v1` has them in its
    schema, so elsewhere they are sent as `extra` is. `extra`: keys outside the schema, merged into the body; they
    also send the header `extra-parameters: pass-through`. `headers`: added to the request. `timeout`: seconds, or
    by phase. `max_retries`: tries after the first, default 3. `deadline`: seconds for the whole call, retries
    included. `on_truncation`: when the budget ends inside the reasoning, `raise` `ReasoningTruncatedError` (the
    default) or `return` what came.
    """

    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    response_format: "ResponseFormat | Mapping[str, Any] | None"
    tools: "Sequence[FunctionTool | Mapping[str, Any]] | None"
    tool_choice: "ToolChoice | Mapping[str, Any] | None"
    logprobs: bool | None
    top_logprobs: int | None
    extra: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    timeout: Timeout | float | None
    max_retries: int
    deadline: float | None
    on_truncation: Literal["raise", "return"]


_TRANSPORT_NAMES: Final = frozenset(
    {"extra", "headers", "timeout", "max_retries", "deadline", "on_truncation"}
)
_ALL_NAMES: Final = frozenset(CompletionOptions.__annotations__)
_API_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_CREDENTIAL_HEADERS: Final = frozenset({"authorization", "api-key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The options of a call, resolved. `body` keeps a `None`, which takes back a client's default."""

    body: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout: Timeout = Timeout()
    max_retries: int = DEFAULT_MAX_RETRIES
    deadline_s: float | None = None
    on_truncation: Literal["raise", "return"] = "raise"

    def merged(self, options: Mapping[str, Any]) -> "CallOptions":
        """These options with others over them; headers and extra keys are added, all else is replaced.

        Raises:
            TypeError: an option has an unknown name.
            ConfigurationError: an option can't work.
        """
        for name in options:
            if name not in _ALL_NAMES:
                raise TypeError(f"unknown option {name!r}: keys outside the schema go into `extra={{…}}`")
        merged = CallOptions(
            body={**self.body, **{key: options[key] for key in options if key not in _TRANSPORT_NAMES}},
            extra={**self.extra, **(options.get("extra") or {})},
            headers=merge_headers(self.headers, options.get("headers") or {}),
            timeout=_timeout_of(options.get("timeout", self.timeout)),
            max_retries=options.get("max_retries", self.max_retries),
            deadline_s=options.get("deadline", self.deadline_s),
            on_truncation=options.get("on_truncation", self.on_truncation),
        )
        _check_options(merged)
        return merged

    def body_fields(self) -> dict[str, Any]:
        """What goes into the body: no `None`, and extra keys last."""
        return {key: value for key, value in self.body.items() if value is not None} | dict(self.extra)


def merge_headers(headers: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """`headers` with `others` over them, whatever the case of a name: two of one name would both be sent."""
    replaced = {name.lower() for name in others}
    return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **others}


def _check_options(options: CallOptions) -> None:
    taken = {"messages", "stream"} & set(options.extra)
    if taken:
        raise ConfigurationError(f"`extra` holds {sorted(taken)}, which the call itself sets")
    if options.max_retries < 0:
        raise ConfigurationError(f"`max_retries` is {options.max_retries!r}: give 0 or more")
    if options.on_truncation not in ("raise", "return"):
        raise ConfigurationError(f"`on_truncation` is {options.on_truncation!r}: give 'raise' or 'return'")
    if options.deadline_s is not None:
        _check_positive("deadline", options.deadline_s)
    check_headers(options.headers)


def _timeout_of(value: Timeout | float | None) -> Timeout:
    """A number is the limit of `read`, and of each phase whose default is longer; `None` is no limit."""
    if isinstance(value, Timeout):
        return value
    if value is None:
        return Timeout(connect=None, read=None, write=None, pool=None)
    _check_positive("timeout", value)
    return Timeout(connect=min(10.0, value), read=value, write=min(60.0, value), pool=min(60.0, value))


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that HTTP can't carry, and those that carry a credential.

    Raises:
        ConfigurationError: names the header, never its value.
    """
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
