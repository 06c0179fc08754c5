"""The v1 API of a Foundry or Azure OpenAI resource, `…/openai/v1`, the named replacement of `/models`.

Its older form, `…/openai/deployments/NAME/…?api-version=`, differs in where the model is named and in the version.

It must not know other surfaces. Facts are from the documentation and from recorded traffic of Azure OpenAI;
how a Phi model answers here was never recorded.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from phi_client.contract.dialects import openai_v1 as dialect
from phi_client.contract.dialects.openai_v1 import OpenAIV1
from phi_client.contract.model_info import ModelInfo
from phi_client.contract.service.chat import (
    AssistantMessage,
    ChatCompletion,
    ChatRequest,
    Choice,
    WireUsage,
)
from phi_client.contract.service.gateway import MAX_CUSTOM_HEADERS, Gateway
from phi_client.contract.service.refusals import (
    Refusal,
    RefusedError,
    api_version_not_supported,
    deployment_not_found,
    front_door_status,
    gateway_backend_failed,
    gateway_resource_not_found,
    gateway_wrong_key,
    missing_model,
)
from phi_client.contract.service.stream import Chunk
from phi_client.contract.service.surface import ApiVersion, Surface
from phi_client.contract.service.tokens import gateway_token_rules
from phi_client.contract.wire import dump_json, get_header

__all__ = ["OPENAI_V1", "OpenAIV1Surface", "is_deployment_route", "older_form"]

_BEARER: Final = "bearer "
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/(?P<name>[^/]+)/chat/completions")


class OpenAIV1Surface(Gateway, OpenAIV1):
    """What `/openai/v1` does differently."""

    def read_chat_request(
        self, headers: Mapping[str, str], body: bytes, *, route: str | None = None
    ) -> ChatRequest:
        """As everywhere, but the body must name the deployment as `model`, unless the path does."""
        request = super().read_chat_request(headers, body, route=route)
        named = _DEPLOYMENT.fullmatch(route or "")
        if named is not None:
            return request.model_copy(update={"model": named["name"]})
        if request.model is None:
            raise RefusedError(missing_model())
        return request

    def unknown_deployment(self, name: str) -> Refusal:
        """A model is a deployment here."""
        del name
        return deployment_not_found()

    def read_key(self, headers: Mapping[str, str]) -> str:
        """The key in `api-key`, or as the bearer token that the openai package sends."""
        if get_header(headers, self.key_header) is not None:
            return super().read_key(headers)
        value = get_header(headers, "Authorization") or ""
        if value[: len(_BEARER)].lower() != _BEARER or not value[len(_BEARER) :].strip():
            raise RefusedError(self.missing_key)
        return value[len(_BEARER) :].strip()

    def message_members(self, message: AssistantMessage) -> dict[str, Any]:
        """With calls of tools no empty text (the OpenAI API)."""
        members = super().message_members(message)
        if message.tool_calls:
            members["content"] = message.content or None
        return members

    def choice_members(self, choice: Choice) -> dict[str, Any]:
        """`logprobs` (recorded Azure OpenAI)."""
        return {"logprobs": getattr(choice, "logprobs", None)}

    def completion_members(self, completion: ChatCompletion) -> dict[str, Any]:
        """`system_fingerprint` (recorded Azure OpenAI)."""
        return {"system_fingerprint": getattr(completion, "system_fingerprint", None)}

    def shape_chunk(self, chunk: Chunk) -> Chunk:
        """With the annotations of each choice, empty ones too (seen on Azure OpenAI)."""
        return {**chunk, "choices": [{"content_filter_results": {}, **choice} for choice in chunk["choices"]]}

    def write_info(self, info: ModelInfo) -> bytes:
        """One model of the list, as the OpenAI API describes it."""
        return dump_json(_model(info))

    def write_models(self, info: ModelInfo, names: Sequence[str]) -> bytes:
        """The list of models (the OpenAI API, documented for this surface); without names the one that answers."""
        listed = [info.model_copy(update={"model_name": name}) for name in names] or [info]
        return dump_json({"data": [_model(one) for one in listed], "object": "list"})

    def unsupported_format(self, kind: str) -> Refusal:
        """OpenAI's words for a model without a format (quoted in many issues of Azure OpenAI), naming the parameter."""
        error = {
            "message": f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model.",
            "type": "invalid_request_error",
            "param": "response_format",
            "code": None,
        }
        return Refusal(400, {"error": error}, by_model=False)

    def response_headers(
        self,
        *,
        request_id: str,
        session: str | None = None,
        deployment: str | None = None,
        usage: WireUsage | None = None,
    ) -> dict[str, str]:
        """The gateway's headers, and the deployment (seen on Azure OpenAI)."""
        headers = super().response_headers(request_id=request_id, session=session, usage=usage)
        if deployment is not None:
            headers["x-ms-deployment-name"] = deployment
        return headers


def _model(info: ModelInfo) -> dict[str, Any]:
    return {
        "created": 0,
        "id": info.model_name,
        "object": "model",
        "owned_by": info.model_provider_name,
    }


OPENAI_V1: Final = OpenAIV1Surface(
    **vars(dialect.OPENAI_V1),
    free_routes=("/openai/v1/chat/completions",),
    health_route=None,
    unknown_parameters="pass-through",
    echoes_client_id="always",
    missing_key=gateway_wrong_key(),
    malformed_key=gateway_wrong_key(),
    wrong_key=gateway_wrong_key(),
    # The gateway's own 401 names this audience, and the documentation of the v1 API uses it as well.
    token_rules=gateway_token_rules("https://cognitiveservices.azure.com"),
    unknown_route=gateway_resource_not_found(),
    # No source shows a time-out of this surface (inferred).
    timed_out=front_door_status(408, "Request timed out"),
    engine_failed=gateway_backend_failed(),
    wraps_model_errors=False,
    # The OpenAI API's schema.
    takes_parts=True,
    takes_nulls=True,
    versions=None,
    tells_limits=True,
    max_custom_headers=MAX_CUSTOM_HEADERS,
    # As seen on Azure OpenAI; usage is the OpenAI API's own option.
    opens_with_annotations=True,
    tells_details=True,
    # Depends on the model (documentation); which form this very model uses was never recorded.
    reasoning_in="content",
    sorted_keys=True,
    default_max_tokens=None,
)

_OLDER_VERSIONS: Final = (
    "2023-05-15", "2024-02-01", "2024-06-01", "2024-10-21",
    "2024-08-01-preview", "2024-09-01-preview", "2024-10-01-preview", "2024-12-01-preview",
    "2025-01-01-preview", "2025-02-01-preview", "2025-03-01-preview", "2025-04-01-preview",
)  # fmt: skip


def is_deployment_route(path: str) -> bool:
    """True for the chat route of the older form, which names a deployment."""
    return _DEPLOYMENT.fullmatch(path) is not None


def older_form(surface: Surface) -> Surface:
    """The same surface under `/openai/deployments/NAME`, as the openai package's `AzureOpenAI` speaks to it.

    The version must be one of those that the documentation lists (an unknown one: reported live; none: inferred from
    the neighbouring `/models`). That a Phi deployment answers here as it does under `/openai/v1` is inferred. Whatever
    else is under `/openai` is a path that the resource doesn't have.
    """
    versions = ApiVersion(
        _OLDER_VERSIONS,
        unknown=api_version_not_supported(),
        missing=gateway_resource_not_found(),
    )
    return replace(
        surface,
        root="/openai",
        info_route="/openai/models",
        model_route="/openai/models/",
        api_version="2024-10-21",
        versions=versions,
    )
