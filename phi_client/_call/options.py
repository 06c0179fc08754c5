"""The options of a call, and how a call's go over a client's.

It must not know HTTP libraries, endpoints or the environment.
"""

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict

from phi_client._call.errors import ConfigurationError
from phi_client._call.json_values import kind_of
from phi_client._call.values import (
    as_choice,
    as_extra,
    as_flag,
    as_format,
    as_headers,
    as_number,
    as_seconds,
    as_stops,
    as_tools,
    as_tries,
    as_whole,
    as_word,
    one_of,
)
from phi_client._call.wrong_words import unknown_option

if TYPE_CHECKING:
    from phi_client._call.request_types import FunctionTool, ResponseFormat, ToolChoice

__all__ = [
    "DEFAULT_CONCURRENCY",
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_REASKS",
    "CallOptions",
    "CompletionOptions",
    "PhaseLimits",
    "Timeout",
    "merge_headers",
]

DEFAULT_MAX_RETRIES: Final = 3
DEFAULT_REASKS: Final = 2
DEFAULT_CONCURRENCY: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """Time limits in seconds by phase; `None` is no limit. They are checked where they are used.

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


class PhaseLimits(Protocol):
    """Limits by phase of another package, such as an `httpx.Timeout`: taken as a `Timeout` is."""

    @property
    def connect(self) -> float | None: ...
    @property
    def read(self) -> float | None: ...
    @property
    def write(self) -> float | None: ...
    @property
    def pool(self) -> float | None: ...


class CompletionOptions(TypedDict, total=False):
    """Options of a call, under the wire's own names. `None` sends nothing and leaves it to the service.

    Sent by default, because the services' own defaults cut or spoil the answer: `temperature` 0.8, `top_p`
    0.95, `max_tokens` 32768 (all three from the model card).

    `model`: the body's `model` for this call, in the place of the client's. `max_tokens`: budget in tokens, reasoning
    included; `max_completion_tokens` is another word for it. `stop`: strings that end the answer. `seed`: for
    repeatable sampling. `response_format`, `tools`, `tool_choice`: sent as they are, although the hosted
    model supports none. `logprobs`, `top_logprobs`: ask for `Completion.logprobs`; only `/openai/v1` has them in its
    schema, so elsewhere they are sent as `extra` is. `extra`: keys that are no options, merged into the body; they
    also send the header `extra-parameters: pass-through`. `headers`: added to the request. `timeout`: seconds, or
    by phase. `max_retries`: tries after the first, default 3. `deadline`: seconds for the whole call, retries
    included. `on_truncation`: when the budget ends inside the reasoning, `raise` `ReasoningTruncatedError` (the
    default) or `return` what came.
    """

    model: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    max_completion_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    response_format: "ResponseFormat | Mapping[str, Any] | Literal['text', 'json_object'] | None"
    tools: "Sequence[FunctionTool | Mapping[str, Any]] | None"
    tool_choice: "ToolChoice | Mapping[str, Any] | None"
    logprobs: bool | None
    top_logprobs: int | None
    extra: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    timeout: Timeout | PhaseLimits | float | None
    max_retries: int
    deadline: float | None
    on_truncation: Literal["raise", "return"]


_ALL_NAMES: Final = frozenset(CompletionOptions.__annotations__)
_PHASES: Final = ("connect", "read", "write", "pool")
_BODY: Final[Mapping[str, Callable[[str, object], object]]] = MappingProxyType(
    {
        "temperature": as_number,
        "top_p": as_number,
        "max_tokens": as_whole,
        "stop": as_stops,
        "seed": as_whole,
        "presence_penalty": as_number,
        "frequency_penalty": as_number,
        "response_format": as_format,
        "tools": as_tools,
        "tool_choice": as_choice,
        "logprobs": as_flag,
        "top_logprobs": as_whole,
    }
)
"""What goes into the body under its own name, and what each may be."""
_HAVE_A_PLACE: Final = frozenset({*_BODY, "model"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The options of a call, checked. `body` keeps a `None`, which takes back a client's default.

    `model` is the call's own; without one the endpoint's is sent.
    """

    body: Mapping[str, Any]
    model: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout: Timeout = Timeout()
    max_retries: int = DEFAULT_MAX_RETRIES
    deadline_s: float | None = None
    on_truncation: Literal["raise", "return"] = "raise"

    def merged(self, options: Mapping[str, Any]) -> "CallOptions":
        """These options with others over them; headers and extra keys are added, all else is replaced.

        Raises:
            ConfigurationError: an option has an unknown name, or can't work.
        """
        if not options:
            return self
        for name in options:
            if name not in _ALL_NAMES:
                raise ConfigurationError(unknown_option(name, _ALL_NAMES))
        given = _with_one_budget(options)
        changes: dict[str, Any] = {
            name: check(given[name]) for name, check in _CHECKS.items() if name in given
        }
        body = {name: check(f"`{name}`", given[name]) for name, check in _BODY.items() if name in given}
        if body:
            changes["body"] = {**self.body, **body}
        if "extra" in changes:
            changes["extra"] = {**self.extra, **changes["extra"]}
        if "headers" in changes:
            changes["headers"] = merge_headers(self.headers, changes["headers"])
        if "deadline" in changes:
            changes["deadline_s"] = changes.pop("deadline")
        return replace(self, **changes)

    def body_fields(self) -> dict[str, Any]:
        """What goes into the body beside messages and model: no `None`, and extra keys last."""
        return {key: value for key, value in self.body.items() if value is not None} | dict(self.extra)


def merge_headers(headers: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """`headers` with `others` over them, whatever the case of a name: two of one name would both be sent."""
    replaced = {name.lower() for name in others}
    return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **others}


def _with_one_budget(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """`options` with the newer word for `max_tokens` as that one, which all surfaces know."""
    if "max_completion_tokens" not in options:
        return options
    others = {name: value for name, value in options.items() if name != "max_completion_tokens"}
    newer = as_whole("`max_completion_tokens`", options["max_completion_tokens"])
    if newer is None:
        return {"max_tokens": None, **others}
    if others.get("max_tokens") is not None:
        raise ConfigurationError(
            "both `max_tokens` and `max_completion_tokens` are given, which mean the same: give one of them"
        )
    return {**others, "max_tokens": newer}


def _timeout_of(value: object) -> Timeout:
    """A number is the limit of `read`, and of each phase whose default is longer; `None` is no limit."""
    if value is None:
        return Timeout(connect=None, read=None, write=None, pool=None)
    if isinstance(value, tuple | list):
        raise ConfigurationError("`timeout` holds several: give `Timeout(connect=…, read=…)`")
    if not isinstance(value, type) and all(hasattr(value, phase) for phase in _PHASES):
        # A `Timeout`, or one of httpx, which who comes from the openai package has at hand.
        return Timeout(
            **{phase: as_seconds(f"`timeout`'s `{phase}`", getattr(value, phase)) for phase in _PHASES}
        )
    if not isinstance(value, numbers.Real):
        raise ConfigurationError(
            f"`timeout` is {kind_of(value)}: give a number of seconds, `Timeout(connect=…, read=…)`, or None"
        )
    seconds = as_seconds("`timeout`", value) or 0.0
    return Timeout(
        connect=min(10.0, seconds), read=seconds, write=min(60.0, seconds), pool=min(60.0, seconds)
    )


_CHECKS: Final[Mapping[str, Callable[[object], object]]] = MappingProxyType(
    {
        "model": partial(as_word, "`model`"),
        "extra": partial(as_extra, "`extra`", taken=_HAVE_A_PLACE),
        "headers": partial(as_headers, "`headers`"),
        "timeout": _timeout_of,
        "max_retries": partial(as_tries, "`max_retries`"),
        "deadline": partial(as_seconds, "`deadline`"),
        "on_truncation": partial(one_of, "`on_truncation`", choices=("raise", "return")),
    }
)
"""What is no part of the body, and what each may be."""
