"""Reads a request as the service does, and refuses what this engine can't do.

It must not let anything pass in silence that would change the answer: what is named in the schema and not emulated is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from phi_client.contract.messages import PartType
from phi_client.contract.service import Surface
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.refusals import RefusedError, container_error, detail
from phi_client.contract.service.request_body import with_newer_names
from phi_emulator.service.errors import ServiceError

__all__ = ["check_supported", "read_chat_request", "read_score_request"]


def read_chat_request(dialect: Surface, headers: Mapping[str, str], body: bytes, route: str) -> ChatRequest:
    """The request in the body of a chat route.

    Raises:
        ServiceError: the body is not one, or asks for what can't be done.
    """
    try:
        request = with_newer_names(dialect.read_chat_request(headers, body, route=route))
    except RefusedError as error:
        raise ServiceError(error.refusal) from None
    check_supported(dialect, request)
    return request


def read_score_request(dialect: Surface, body: bytes) -> ChatRequest:
    """The request in the body of the score route.

    Raises:
        ServiceError: as `read_chat_request`.
    """
    try:
        request = dialect.read_score_request(body)
    except RefusedError as error:
        raise ServiceError(error.refusal) from None
    check_supported(dialect, request)
    return request


def check_supported(dialect: Surface, request: ChatRequest) -> None:
    """Refuse valid wishes that this engine can't fulfil.

    Raises:
        ServiceError: 400, or 422 where that is documented, naming the parameter.
    """
    is_plain = not dialect.has_extensions
    if is_plain and (request.tools is not None or request.tool_choice is not None):
        # The older container's own words (its source).
        raise ServiceError(detail(400, "Tools and tool_choice are not supported."))
    if any(part.type != PartType.TEXT for message in request.messages for part in message.parts):
        # The engine's words, without the path of the model that it puts before them (reported of vLLM).
        raise _unsupported("The served model is not a multimodal model")
    wanted = request.response_format
    if is_plain and wanted is not None and not _is_taken(dialect, wanted.type.lower()):
        raise ServiceError(dialect.unsupported_format(wanted.type), differs="response-format")
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(request, name):
            raise _unsupported(
                f"{name} is not supported by the emulator: leave it out or set it to 0.", differs="penalties"
            )
    # The schema allows the next three, the engine behind the service refuses them.
    if request.max_tokens == 0:
        raise _unsupported("max_tokens must be at least 1, got 0.")
    if request.top_p == 0:
        raise _unsupported("top_p must be in (0, 1], got 0.")
    if "" in request.stop_strings:
        raise _unsupported("stop cannot contain an empty string.")


def _is_taken(dialect: Surface, kind: str) -> bool:
    return kind == "text" or (kind == "json_object" and dialect.takes_json_object)


def _unsupported(message: str, *, differs: str = "") -> ServiceError:
    return ServiceError(container_error(400, message), differs=differs)
