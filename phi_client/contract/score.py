"""The `/score` payloads of managed compute, as a client writes and reads them, in both generations of answers.

It must not know routes or headers. The shapes are those of the two serving containers' source: the older one
answers `{"output": text}` and renames parameters, the newer one adds message, finish reason and usage.
Both answer 200 with `{}` where they fail, so an answer without output is a failure.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from phi_client.contract.answers import REASONING_FIELDS
from phi_client.contract.error_body import ErrorBody, error_from_object, read_error_body
from phi_client.contract.wire import ContractError, load_object

__all__ = ["completion_of_score", "score_body_of_chat"]


def score_body_of_chat(request: Mapping[str, Any]) -> dict[str, Any]:
    """The body that asks `/score` for a chat completion.

    Parameters keep the chat route's names, `max_tokens` included: the older container knows them beside its
    own, and the newer one knows no others.
    """
    parameters = {key: value for key, value in request.items() if key not in ("messages", "stream")}
    return {"input_data": {"input_string": request.get("messages", []), "parameters": parameters}}


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
    output, given = value.get("output"), value.get("message")
    said = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    # A message may say nothing: with calls of tools, or where the budget ended inside the reasoning.
    if not isinstance(output, str) and not (output is None and said):
        raise ContractError(
            "`/score` answered without output, which is how it reports a failure or a body it can't read"
        )
    beside = {name: value[name] for name in REASONING_FIELDS if value.get(name) is not None}
    message = {"content": output, **beside, **(said or {"role": "assistant"})}
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


def _engine_error(error: Mapping[str, Any]) -> ErrorBody:
    """`{"status_code": n, "body": …}`, where the body is the engine's JSON or a text; or an error as elsewhere."""
    status = error.get("status_code")
    body = error.get("body")
    if body is None:
        read = error_from_object({"error": error})
        read = read if read.message else replace(read, message="the engine gave no reason")
    elif isinstance(body, dict):
        read = error_from_object(cast("dict[str, Any]", body))
    else:
        read = read_error_body(str(body or "the engine gave no reason"))
    return replace(read, status=status if type(status) is int else read.status, raw="")
