"""The types of what a request may ask for beyond text: tools, which of them, and the form of the answer.

It must not be needed at run time: these are mappings, sent as they are.
"""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

__all__ = ["FunctionTool", "ResponseFormat", "ToolChoice"]


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
