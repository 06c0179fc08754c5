"""What a caller may give as messages, and what of it is sent.

It must not know endpoints. Messages of azure-ai-inference are mappings, those of openai models of pydantic: both are
taken as they are, since who changes the SDK has them at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from phi_client._call.completion import Completion
from phi_client._call.errors import ConfigurationError
from phi_client._call.json_values import as_json, is_collection, kind_of
from phi_client.contract.reasoning import split_reasoning

if TYPE_CHECKING:
    from phi_client._call.request_types import Message

__all__ = ["as_messages", "fields_of", "is_message", "sent_messages"]


def as_messages(messages: str | Sequence[Message]) -> Sequence[Message]:
    """A prompt or messages as messages.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    given = cast("object", messages)
    if is_message(given):
        raise ConfigurationError("`messages` is a single message: give a list of them, or a string")
    if not (is_collection(given) and isinstance(given, Sequence)):
        raise ConfigurationError(f"`messages` is {kind_of(given)}: give a string or a list of messages")
    if not given:
        raise ConfigurationError("`messages` is empty: give at least one message")
    return messages


def is_message(value: object) -> bool:
    """Whether it may be meant as one message."""
    if isinstance(value, type):
        return False
    return isinstance(value, Mapping | Completion) or any(
        callable(getattr(value, name, None)) for name in ("to_wire", "model_dump")
    )


def fields_of(message: Message) -> dict[str, Any]:
    """A copy of what the message is on the wire, in plain JSON.

    Raises:
        ConfigurationError: it is no message.
    """
    given = cast("object", message)
    if isinstance(given, str):
        raise ConfigurationError(
            'a message is a string: give `{"role": "user", "content": …}`; for several prompts at once use `map()`'
        )
    if not is_message(given):
        raise ConfigurationError(f"a message is {kind_of(given)}: give a mapping with `role` and `content`")
    held = given.message if isinstance(given, Completion) else given
    found = as_json("a message", held)
    if not isinstance(found, dict):
        raise ConfigurationError("a message holds no `role` and `content`: give a mapping")
    fields = cast("dict[str, Any]", found)
    if not callable(getattr(held, "to_wire", None)):
        # The models of openai write every field that an answer can have, and not every service takes a null.
        kept = ("content",) if isinstance(held, Mapping) else ()
        fields = {name: value for name, value in fields.items() if value is not None or name in kept}
    _check_form(fields)
    return fields


def sent_messages(messages: str | Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as they are sent: without an earlier answer's reasoning, which must not be sent back.

    Raises:
        ConfigurationError: they are none.
    """
    return [_without_reasoning(fields_of(message)) for message in as_messages(messages)]


def _check_form(fields: Mapping[str, Any]) -> None:
    """Refuse what no service takes for a message. Which roles and parts there are is the service's to judge."""
    if not isinstance(fields.get("role"), str):
        hint = ": the list that it holds is what to give" if "messages" in fields else ""
        raise ConfigurationError(f"a message has no `role`{hint or ', such as `user`'}")
    content = fields.get("content")
    if isinstance(content, str) or content is None:
        return
    parts = cast("list[object]", content) if isinstance(content, list) else [content]
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in parts):
        raise ConfigurationError(
            "the `content` of a message is neither a string nor a list of parts such as "
            '`{"type": "text", "text": …}`'
        )


def _without_reasoning(fields: dict[str, Any]) -> dict[str, Any]:
    content = fields.get("content")
    if fields.get("role") == "assistant":
        elsewhere = [fields.pop(name, None) for name in ("reasoning_content", "reasoning")]
        if isinstance(content, str) and "think>" in content:
            fields["content"] = split_reasoning(content, reasoning_elsewhere=any(elsewhere)).content
    return fields
