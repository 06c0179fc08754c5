"""The messages of a chat request, as models: checked as the service checks them when they are made.

It must not be needed to send one: a mapping is sent as it is, and pydantic takes longer to load than a first answer
takes to come.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, Self, cast

from pydantic import ValidationInfo, field_validator, model_validator

from phi_client.contract.wire_model import WireModel

__all__ = ["ChatMessage", "ContentPart", "MessageToolCall", "PartType", "Role"]

_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Role(StrEnum):
    """Who speaks. `developer` is in the OpenAPI, but the containers refuse it with 422 (reported live)."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class PartType(StrEnum):
    """What a part of a message holds (source of the serving container); this model reads text only."""

    TEXT = "text"
    IMAGE = "image"
    IMAGE_URL = "image_url"
    AUDIO_URL = "audio_url"
    INPUT_AUDIO = "input_audio"


class _Url(WireModel):
    url: str


class _ImageUrl(_Url):
    detail: Literal["auto", "low", "high"] | None = None


class ContentPart(WireModel):
    """A part of a user message; what its type announces must be there (source of the serving container).

    The class and its check are named as the container's own, because pydantic names both in the place of an error.
    """

    type: PartType
    text: str | None = None
    image: dict[str, Any] | None = None
    image_url: _ImageUrl | None = None
    audio_url: _Url | None = None
    input_audio: dict[str, Any] | None = None

    @model_validator(mode="after")
    def validate_content_part(self) -> Self:
        """Refuse a part without what its type announces."""
        if not getattr(self, self.type):
            raise ValueError(f"Content part type is {self.type} but {self.type} is not provided.")
        return self


class _FunctionCall(WireModel):
    name: str
    arguments: dict[str, Any] | str

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _FUNCTION_NAME.fullmatch(name):
            raise ValueError(
                f"Function name was {name} but must be a-z, A-Z, 0-9, or contain underscores and dashes, "
                "with a maximum length of 64."
            )
        return name


class MessageToolCall(WireModel):
    """A call of a tool in the history of a conversation.

    Required keys are the OpenAPI's; the rule for the name is that of the serving container (its source).
    """

    id: str
    type: Literal["function"]
    function: _FunctionCall


class ChatMessage(WireModel):
    """A message of a request.

    `content` is a string, for a user also a list of parts; assistant and tool may leave it out
    (OpenAPI 2024-05-01-preview). Where the context of the validation says `parts`, every role may have them (the OpenAI
    API, and the source of the containers).
    """

    role: Role
    content: str | list[ContentPart] | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _check_content(self, info: ValidationInfo) -> Self:
        context = cast("Mapping[str, object]", info.context or {})
        if self.content is None and self.role in (Role.SYSTEM, Role.USER):
            raise ValueError(f"content is required for the role {self.role.value}")
        if isinstance(self.content, list) and self.role is not Role.USER and not context.get("parts"):
            raise ValueError(f"content must be a string for the role {self.role.value}")
        if isinstance(self.content, list) and not self.content:
            raise ValueError("content can not be an empty list")
        if self.tool_call_id is None and self.role is Role.TOOL:
            raise ValueError("tool_call_id is required for the role tool")
        return self

    @property
    def parts(self) -> Sequence[ContentPart]:
        """The parts of the content, where it is made of parts."""
        return self.content if isinstance(self.content, list) else ()

    @property
    def text(self) -> str:
        """The text of the message, its parts joined as they stand."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or "" for part in self.parts)
