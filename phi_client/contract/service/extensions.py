"""What an emulator with extensions takes beyond the hosted model: answers in a form, and tools.

It must not be used for a surface as it is: the hosted model has neither, and the surfaces say what it answers.
Names and shapes are the OpenAPI's (2024-05-01-preview), which are OpenAI's. `regex` is in neither: it stands in
`response_format` like the others, under the name that vLLM and SGLang give to a parameter of theirs.
"""

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.refusals import RefusedError, invalid_input
from phi_client.contract.wire_model import WireModel

__all__ = ["EXTENDED_FORMATS", "Wishes", "read_wishes"]

EXTENDED_FORMATS: Final = ("text", "json_object", "json_schema", "regex")
"""The types of `response_format`."""

_MOST_TOOLS: Final = 128
_Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class _JsonSchema(WireModel):
    name: _Name
    json_schema: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class _Format(WireModel):
    type: str
    json_schema: _JsonSchema | None = None
    regex: str | None = None

    @model_validator(mode="after")
    def _check_member(self) -> Self:
        kind = self.type.lower()
        if kind in ("json_schema", "regex") and getattr(self, kind) is None:
            raise ValueError(f"Response format is {kind} but {kind} is not provided.")
        return self


class _Function(WireModel):
    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        if self.parameters and self.parameters.get("type", "object") != "object":
            raise ValueError("parameters must be the schema of an object")
        return self


class _Tool(WireModel):
    type: Literal["function"]
    function: _Function


class _Named(WireModel):
    name: str


class _NamedChoice(WireModel):
    type: Literal["function"]
    function: _Named


class Wishes(WireModel):
    """What a request asks for beyond text."""

    response_format: _Format | None = None
    tools: Annotated[list[_Tool], Field(min_length=1, max_length=_MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | _NamedChoice | None = None
    parallel_tool_calls: bool | None = None

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        names = [tool.function.name for tool in self.tools or ()]
        if len(set(names)) < len(names):
            raise ValueError("tools must have different names")
        if not names and self.tool_choice not in (None, "none"):
            raise ValueError("tool_choice is only allowed when tools are specified")
        if self.named not in (None, *names):
            raise ValueError(f"tool_choice names {self.named!r}, which is not in tools")
        return self

    @property
    def named(self) -> str | None:
        """The one function that is to be called."""
        return self.tool_choice.function.name if isinstance(self.tool_choice, _NamedChoice) else None

    @property
    def format(self) -> str:
        """The type of the answer's form, in lower case."""
        return "text" if self.response_format is None else self.response_format.type.lower()

    @property
    def schema_of_answer(self) -> dict[str, Any]:
        """The JSON schema of the answer, where the form is JSON."""
        wanted = None if self.response_format is None else self.response_format.json_schema
        return {"type": "object"} if self.format == "json_object" or wanted is None else wanted.json_schema

    @property
    def pattern(self) -> str:
        """The expression that the answer matches, where the form is one."""
        return (None if self.response_format is None else self.response_format.regex) or ""

    @property
    def functions(self) -> list[_Function]:
        """The functions that may be called: none where `tool_choice` says so, one where it names it."""
        if self.tool_choice == "none":
            return []
        functions = [tool.function for tool in self.tools or ()]
        return [one for one in functions if self.named in (None, one.name)]

    @property
    def must_call(self) -> bool:
        """Whether a function has to be called."""
        return self.named is not None or self.tool_choice == "required"

    @property
    def single_call(self) -> bool:
        """Whether an answer has one call at most."""
        return self.named is not None or self.parallel_tool_calls is False


def read_wishes(request: ChatRequest) -> Wishes:
    """What a valid request asks for beyond text.

    Raises:
        RefusedError: 422 with the list of what is wrong.
    """
    asked = {name: value for name, value in request.to_wire().items() if name in Wishes.model_fields}
    try:
        return Wishes.model_validate(asked)
    except ValidationError as error:
        details: list[dict[str, Any]] = json.loads(error.json(include_url=False, include_context=False))
        raise RefusedError(
            invalid_input([{**item, "loc": ["body", *item["loc"]]} for item in details])
        ) from None
