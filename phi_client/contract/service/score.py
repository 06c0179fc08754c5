"""The `/score` payloads of managed compute, as the containers read and write them, both body forms among them.

It must not know routes or headers. The other half of each pair is the client's, in `contract.score`.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from phi_client.contract.parameters import SCHEMA_KEYS
from phi_client.contract.service.chat import ChatCompletion, Choice
from phi_client.contract.wire import ContractError, load_object

__all__ = ["chat_body_of_score", "score_of_completion"]

_RENAMED: Final = {"max_new_tokens": "max_tokens", "max_gen_len": "max_tokens"}
_KNOWN: Final = SCHEMA_KEYS - {"messages", "stream", "model"}


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
