"""The types of what a request may hold: messages, tools, which of them, and the form of the answer.

It must not be needed to send one: what these types describe is sent as it is, and the models among them take longer to
load than a first answer takes to come.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, Protocol, TypedDict

from phi_client._call.completion import Completion
from phi_client.contract.messages import ChatMessage, Role

__all__ = [
    "AssistantMessageDict",
    "FunctionTool",
    "Message",
    "MessageDict",
    "ResponseFormat",
    "SystemMessageDict",
    "ToolChoice",
    "ToolMessageDict",
    "UserMessageDict",
]


class SystemMessageDict(TypedDict):
    """What the model is told beforehand."""

    role: Literal["system", Role.SYSTEM]
    content: str


class TextPartDict(TypedDict):
    """A part of a user's message; this model reads no other kind."""

    type: Literal["text"]
    text: str


class UserMessageDict(TypedDict):
    """What is asked."""

    role: Literal["user", Role.USER]
    content: str | Sequence[TextPartDict | Mapping[str, Any]]


class AssistantMessageDict(TypedDict):
    """An earlier answer, such as `Completion.message`."""

    role: Literal["assistant", Role.ASSISTANT]
    content: NotRequired[str | None]
    tool_calls: NotRequired[Sequence[Mapping[str, Any]]]


class ToolMessageDict(TypedDict):
    """What a function gave that the model wanted called."""

    role: Literal["tool", Role.TOOL]
    content: str
    tool_call_id: str


MessageDict = SystemMessageDict | UserMessageDict | AssistantMessageDict | ToolMessageDict
"""A message as a mapping, each form of it with its keys."""


class MessageModel(Protocol):
    """A message as an object, such as those of the openai package."""

    @property
    def role(self) -> str:
        """Who speaks."""
        ...

    def model_dump(self) -> dict[str, Any]:
        """The message as a mapping."""
        ...


Message = MessageDict | Mapping[str, Any] | ChatMessage | MessageModel | Completion
"""A message: a mapping with `role` and `content`, a model of one, or a `Completion`, which stands for its `message`."""


class FunctionDefinition(TypedDict):
    """A function: `parameters` is a JSON schema."""

    name: str
    description: NotRequired[str]
    parameters: NotRequired[Mapping[str, Any]]
    strict: NotRequired[bool]


class FunctionTool(TypedDict):
    """A tool, of which functions are the only kind."""

    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(TypedDict):
    """The name of a function."""

    name: str


class NamedToolChoice(TypedDict):
    """The function that must be called."""

    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["auto", "none", "required"] | NamedToolChoice
"""Which tool the model may or must call."""


class PlainFormat(TypedDict):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]


class JsonSchema(TypedDict):
    """A named JSON schema."""

    name: str
    schema: Mapping[str, Any]
    description: NotRequired[str]
    strict: NotRequired[bool]


class JsonSchemaFormat(TypedDict):
    """JSON that fits a schema. The containers that serve this model do not know it (their source)."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class RegexFormat(TypedDict):
    """Text that an expression matches. No service knows it, only an emulator with extensions."""

    type: Literal["regex"]
    regex: str


ResponseFormat = PlainFormat | JsonSchemaFormat | RegexFormat
"""The form of the answer."""
