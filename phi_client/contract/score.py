"""The `/score` payloads of managed compute, both body forms and both generations of answers.

It must not know routes or headers. The shapes are those of the two serving containers' source: the older one
answers `{"output": text}` and renames parameters, the newer one adds message, finish reason and usage.
Both answer 200 with `{}` where they fail, so an answer without output is a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from phi_client.contract.error_body import ErrorBody, error_from_object, read_error_body
from phi_client.contract.parameters import SCHEMA_KEYS
from phi_client.contract.wire import ContractError, load_object

if TYPE_CHECKING:
    from phi_client.contract.chat import ChatCompletion

__all__ = ["chat_body_of_score", "completion_of_score", "score_body_of_chat", "score_of_completion"]

_RENAMED: Final = {"max_new_tokens": "max_tokens", "max_gen_len": "max_tokens"}
_KNOWN: Final = SCHEMA_KEYS - {"messages", "stream", "model"}


def score_body_of_chat(request: Mapping[str, Any]) -> dict[str, Any]:
    """The body that asks `/score` for a chat completion.

    Parameters keep the chat route's names, `max_tokens` included: the older container knows them beside its
    own, and the newer one knows no others.
    """
    parameters = {key: value for key, value in request.items() if key not in ("messages", "stream")}
    return {"input_data": {"input_string": request.get("messages", []), "parameters": parameters}}


def chat_body_of_score(body: bytes) -> dict[str, Any]:
    """The body of a chat request, not checked yet, that either form of a `/score` body stands for.

    Parameters that the older container does not know are dropped, as it drops them.

    Raises:
        ContractError: the body has neither form.
    """
    value = load_object(body, "the body")
    data = value.get("input_data")
    parameters = value.get("params")
    if isinstance(data, dict):
        inner = cast("dict[str, Any]", data)
        data = inner.get("input_string")
        parameters = inner.get("parameters", parameters)
    if not isinstance(parameters or {}, dict):
        raise ContractError("the parameters are not an object")
    given = cast("Mapping[str, Any]", parameters or {})
    return {"messages": _messages(data), **_chat_parameters(given)}


def score_of_completion(completion: ChatCompletion, *, older: bool = False) -> dict[str, Any]:
    """The answer of `/score`: `older` gives the text alone."""
    from phi_client.contract.chat import Choice

    choice = completion.choices[0] if completion.choices else Choice()
    output: dict[str, Any] = {"output": choice.message.content}
    if older:
        return output
    output["message"] = choice.message.to_wire()
    output["finish_reason"] = choice.finish_reason
    output["usage"] = None if completion.usage is None else completion.usage.to_wire()
    output["model"] = completion.model
    output["id"] = completion.id
    for name in ("tool_calls", "reasoning_content"):
        member = getattr(choice.message, name)
        if member:
            output[name] = member
    return output


def completion_of_score(body: bytes) -> dict[str, Any] | ErrorBody:
    """The JSON of the completion in an answer of `/score`, or the engine's error that came with status 200.

    An older answer has no finish reason and no usage.

    Raises:
        ContractError: there is no output: `{}` is how the containers report that they failed.
    """
    value = load_object(body, "the answer of `/score`")
    error = value.get("error")
    if isinstance(error, dict):
        return _engine_error(cast("dict[str, Any]", error))
    output = value.get("output")
    if not isinstance(output, str):
        raise ContractError(
            "`/score` answered without output, which is how it reports a failure or a body it can't read"
        )
    message = value.get("message")
    members = cast("dict[str, Any]", message) if isinstance(message, dict) else {"role": "assistant"}
    reasoning = value.get("reasoning_content")
    if reasoning is not None:
        members = {"reasoning_content": reasoning, **members}
    message = {"content": output, **members}
    if value.get("tool_calls"):
        message = {"tool_calls": value["tool_calls"], **message}
    choice = {"index": 0, "message": message, "finish_reason": value.get("finish_reason")}
    return {
        "id": value.get("id"),
        "object": "chat.completion",
        "model": value.get("model"),
        "choices": [choice],
        "usage": value.get("usage"),
    }


def _messages(data: object) -> list[object]:
    """A list of messages as it is; a single prompt as a user's message."""
    if not isinstance(data, list) or not data:
        raise ContractError("`input_data` is neither a list nor an object with `input_string`")
    items = cast("list[object]", data)
    if len(items) == 1 and isinstance(items[0], str):
        return [{"role": "user", "content": items[0]}]
    return items


def _chat_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {name: value for name, value in given.items() if name in _KNOWN}
    for old, new in _RENAMED.items():
        if old in given:
            chosen.setdefault(new, given[old])
    if given.get("do_sample") is False:
        chosen["temperature"] = 0
    return chosen


def _engine_error(error: Mapping[str, Any]) -> ErrorBody:
    """`{"status_code": n, "body": …}`, where the body is the engine's JSON or a text."""
    status = error.get("status_code")
    body = error.get("body")
    if isinstance(body, dict):
        read = error_from_object(cast("dict[str, Any]", body))
    else:
        read = read_error_body(str(body or "the engine gave no reason"))
    return replace(read, status=status if type(status) is int else read.status, raw="")
