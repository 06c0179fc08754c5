"""Chat completions as they are on the wire: request and completion.

It must not know routes, headers or how one surface differs from another: that is a surface's.

Requests are checked when they are read (`ChatRequest.model_validate…`), as the service checks them, and are
not when a client writes them (`model_construct`): the service validates its own input. Answers are read
tolerantly, since recorded traffic leaves out, nulls and adds keys (recordings in azure-sdk-assets).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from phi_client.contract.answers import FinishReason, KnownFinishReason
from phi_client.contract.messages import ChatMessage
from phi_client.contract.wire_model import WireModel

__all__ = [
    "AssistantMessage",
    "ChatCompletion",
    "ChatRequest",
    "Choice",
    "FinishReason",
    "KnownFinishReason",
    "RequestedFormat",
    "WireUsage",
]

_NullAsEmpty = BeforeValidator(lambda value: [] if value is None else value)
_NullAsObject = BeforeValidator(lambda value: {} if value is None else value)
_NullAsZero = BeforeValidator(lambda value: 0 if value is None else value)

_Objects = Annotated[list[dict[str, Any]], Field(min_length=1)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]
_Fraction = Annotated[float, Field(ge=0, le=1)]


class RequestedFormat(WireModel):
    """`json_schema` is in the OpenAPI, but the containers know these two only, in either case (their source).

    Other ones than these are known where the context of the validation has `formats`.
    """

    type: str

    @field_validator("type")
    @classmethod
    def _check_type(cls, name: str, info: ValidationInfo) -> str:
        context = cast("Mapping[str, Sequence[str]]", info.context or {})
        known = context.get("formats", ("text", "json_object"))
        if name.lower() not in known:
            *others, last = (f"'{one}'" for one in known)
            raise ValueError(f"Response format was {name} but must be either {', '.join(others)} or {last}.")
        return name


class ChatRequest(WireModel):
    """The body of a chat completion request; ranges and defaults from the OpenAPI 2024-05-01-preview.

    Which keys may be `null`, and the words of an error, are the container's (its source).

    Keys that the schema does not name are in `extra`; whether they are refused, dropped or passed on is
    decided by the `extra-parameters` header and the surface.
    """

    messages: list[ChatMessage]
    model: str | None = None
    temperature: _Fraction = 0.7
    top_p: _Fraction = 1
    max_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    stop: str | Annotated[list[str], Field(min_length=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: _Penalty = 0
    frequency_penalty: _Penalty = 0
    stream: bool | None = None
    response_format: RequestedFormat | None = None
    tools: _Objects | None = None
    tool_choice: str | dict[str, Any] | None = None

    @field_validator("messages")
    @classmethod
    def _check_messages(cls, messages: list[ChatMessage]) -> list[ChatMessage]:
        if not messages:
            raise ValueError("messages can not be an empty list")
        return messages

    @property
    def extra(self) -> Mapping[str, Any]:
        """The keys that the schema does not name."""
        return self.model_extra or {}

    @property
    def wants_usage(self) -> bool:
        """Whether a stream's usage is asked for, as the OpenAI API has it."""
        options = self.extra.get("stream_options")
        return isinstance(options, dict) and bool(cast("dict[str, object]", options).get("include_usage"))

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """`stop` in one form."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


class WireUsage(WireModel):
    """Tokens counted by the service. Reasoning counts as completion tokens (Azure documentation)."""

    prompt_tokens: Annotated[int, _NullAsZero] = 0
    completion_tokens: Annotated[int, _NullAsZero] = 0
    total_tokens: Annotated[int, _NullAsZero] = 0


class AssistantMessage(WireModel):
    """The message of an answer. `content` is missing when the output was filtered."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class Choice(WireModel):
    """One answer of a completion."""

    index: Annotated[int, _NullAsZero] = 0
    message: Annotated[AssistantMessage, _NullAsObject] = AssistantMessage()
    finish_reason: FinishReason | None = None
    content_filter_results: dict[str, Any] | None = None


class ChatCompletion(WireModel):
    """A whole answer. `model` and `created` are not reliable on every surface (recorded live traffic)."""

    id: str | None = None
    object: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: Annotated[list[Choice], _NullAsEmpty] = Field(default_factory=list[Choice])
    usage: WireUsage | None = None
    prompt_filter_results: list[dict[str, Any]] | None = None
