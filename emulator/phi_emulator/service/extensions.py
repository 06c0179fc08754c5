"""What a request wishes beyond text, in the engine's words: messages, a grammar, and who finds calls in the answer.

It must not know HTTP, nor what a surface says to a wish that can't be fulfilled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from phi_client.contract.messages import ChatMessage
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.extensions import Wishes, read_wishes
from phi_emulator.engine.protocol import Marks, Message
from phi_emulator.forms.grammar import MOST_CALLS, Calls, Form, JsonForm, RegexForm, Tool, write_grammar
from phi_emulator.forms.tool_calls import ToolCallReader, write_calls

__all__ = ["AnswerPlan", "plan_answer"]

_NO_PARAMETERS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """How a request is put to the engine; `reader` is for answers that may hold calls of tools."""

    messages: Sequence[Message]
    grammar: str | None = None
    reader: ToolCallReader | None = None


def plan_answer(request: ChatRequest, marks: Marks) -> AnswerPlan:
    """How to fulfil what `request` wishes.

    Raises:
        RefusedError: a wish is malformed.
        GuidanceError: a schema or an expression is too much for the engine.
    """
    wishes = read_wishes(request)
    functions = wishes.functions
    messages = [_message(message, marks) for message in request.messages]
    calls = None
    if functions:
        calls = Calls(
            [Tool(one.name, _parameters(one.parameters)) for one in functions],
            must=wishes.must_call,
            at_most=1 if _has_one_call(wishes) else MOST_CALLS,
        )
        told = [one.to_wire() for one in functions]
        messages = _with_tools(messages, json.dumps(told, ensure_ascii=False))
    form = _form(wishes)
    if form is None and calls is None:
        return AnswerPlan(messages)
    reader = None if calls is None else ToolCallReader(marks.call, opens_reasoning=marks.opens_reasoning)
    return AnswerPlan(messages, write_grammar(marks, form, calls), reader)


def _has_one_call(wishes: Wishes) -> bool:
    """Whether one call is all that an answer may have.

    Where calls are free, the model ends them when it has no more to ask. Where one must come, nothing but the grammar
    ends them, so that more are made only for those who ask for several.
    """
    return wishes.single_call or (wishes.must_call and not wishes.parallel_tool_calls)


def _form(wishes: Wishes) -> Form | None:
    match wishes.format:
        case "text":
            return None
        case "regex":
            return RegexForm(wishes.pattern)
        case _:
            return JsonForm(wishes.schema_of_answer)


def _parameters(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The schema of a function's arguments; without one it takes none (the OpenAI API)."""
    return _NO_PARAMETERS if schema is None else {"type": "object", **schema}


def _message(message: ChatMessage, marks: Marks) -> Message:
    role = marks.tool_role if message.role.value == "tool" else message.role.value
    if not message.tool_calls:
        return Message(role, message.text)
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls]
    written = [(name, given if isinstance(given, str) else json.dumps(given)) for name, given in calls]
    return Message(role, message.text, calls=write_calls(written))


def _with_tools(messages: Sequence[Message], tools: str) -> list[Message]:
    """The messages with the tools at the first system message, or at one of their own."""
    place = next((number for number, message in enumerate(messages) if message.role == "system"), None)
    if place is None:
        return [Message("system", "", tools=tools), *messages]
    return [*messages[:place], messages[place]._replace(tools=tools), *messages[place + 1 :]]
