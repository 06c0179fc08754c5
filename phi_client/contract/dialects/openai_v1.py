"""The v1 API of a Foundry or Azure OpenAI resource, `…/openai/v1`, the named replacement of `/models`.

Its older form, `…/openai/deployments/NAME/…?api-version=`, differs in where the model is named and in the version.

It must not know other surfaces. Facts are from the documentation and from recorded traffic of Azure OpenAI;
how a Phi model answers here was never recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from phi_client.contract.dialects.facts import ApiVersion
from phi_client.contract.dialects.gateway import MAX_CUSTOM_HEADERS, Gateway
from phi_client.contract.refusals import (
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
from phi_client.contract.tokens import gateway_token_rules
from phi_client.contract.wire import ContractError, WireRequest, dump_json, get_header, load_object

if TYPE_CHECKING:
    from phi_client.contract.chat import (
        AssistantMessage,
        ChatCompletion,
        ChatCompletionChunk,
        ChatRequest,
        Choice,
        Usage,
    )
    from phi_client.contract.dialects.base import Dialect
    from phi_client.contract.model_info import ModelInfo

__all__ = ["OPENAI_V1", "OpenAIV1", "is_deployment_route", "older_form"]

_BEARER: Final = "bearer "
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/(?P<name>[^/]+)/chat/completions")


class OpenAIV1(Gateway):
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

    def shape_chunk(self, chunk: ChatCompletionChunk) -> ChatCompletionChunk:
        """With the annotations of each choice, empty ones too (seen on Azure OpenAI)."""
        choices = [
            choice.model_copy(update={"content_filter_results": choice.content_filter_results or {}})
            for choice in chunk.choices
        ]
        return chunk.model_copy(update={"choices": choices})

    def write_info_request(self, *, api_version: str | None = None, model: str | None = None) -> WireRequest:
        """The list of models, or one of them; this surface has no info route."""
        del api_version
        path = self.info_route if model is None else f"{self.model_route}{quote(model, safe='')}"
        return WireRequest("GET", path, {}, {"Accept": "application/json"})

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

    def read_info(self, body: bytes) -> ModelInfo:
        """The model in the answer, or the first of a list."""
        from pydantic import ValidationError

        from phi_client.contract.model_info import ModelInfo

        found: object = load_object(body, "the answer of the models route")
        listed = cast("dict[str, object]", found).get("data")
        if isinstance(listed, list) and listed:
            found = cast("list[object]", listed)[0]
        value = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if "id" not in value:
            raise ContractError("the models route names no model")
        try:
            return ModelInfo(
                model_name=value["id"],
                model_type="chat-completion",
                model_provider_name=value.get("owned_by") or "",
            )
        except ValidationError as error:
            raise ContractError("the models route's answer does not fit") from error

    def response_headers(
        self,
        *,
        request_id: str,
        session: str | None = None,
        deployment: str | None = None,
        usage: Usage | None = None,
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


OPENAI_V1: Final = OpenAIV1(
    name="openai_v1",
    host_suffixes=(".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"),
    emulator_prefix="",
    root="/openai/v1",
    chat_routes=("/openai/v1/chat/completions",),
    free_routes=("/openai/v1/chat/completions",),
    score_route=None,
    info_route="/openai/v1/models",
    health_route=None,
    key_header="api-key",
    key_prefix="",
    token_scope="https://ai.azure.com/.default",  # noqa: S106  # a scope, not a secret
    api_version=None,
    deployment_header=None,
    needs_model=True,
    unknown_parameters="pass-through",
    has_policy_header=False,
    request_id_headers=("apim-request-id", "X-Request-ID", "x-ms-request-id"),
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
    tells_limits=True,
    max_custom_headers=MAX_CUSTOM_HEADERS,
    # As seen on Azure OpenAI; usage is the OpenAI API's own option.
    opens_with_annotations=True,
    streams_usage="on request",
    tells_details=True,
    # Depends on the model (documentation); which form this very model uses was never recorded.
    reasoning_in="content",
    telemetry_name="azure.ai.openai",
    sorted_keys=True,
    default_max_tokens=None,
    model_route="/openai/v1/models/",
)

_OLDER_VERSIONS: Final = (
    "2023-05-15", "2024-02-01", "2024-06-01", "2024-10-21",
    "2024-08-01-preview", "2024-09-01-preview", "2024-10-01-preview", "2024-12-01-preview",
    "2025-01-01-preview", "2025-02-01-preview", "2025-03-01-preview", "2025-04-01-preview",
)  # fmt: skip


def is_deployment_route(path: str) -> bool:
    """True for the chat route of the older form, which names a deployment."""
    return _DEPLOYMENT.fullmatch(path) is not None


def older_form(dialect: Dialect) -> Dialect:
    """The same surface under `/openai/deployments/NAME`, as the openai package's `AzureOpenAI` speaks to it.

    The version must be one of those that the documentation lists (an unknown one: reported live; none: inferred from
    the neighbouring `/models`). That a Phi deployment answers here as it does under `/openai/v1` is inferred. Whatever
    else is under `/openai` is a path that the resource doesn't have.
    """
    versions = ApiVersion(
        "2024-10-21",
        _OLDER_VERSIONS,
        unknown=api_version_not_supported(),
        missing=gateway_resource_not_found(),
    )
    return replace(
        dialect,
        root="/openai",
        info_route="/openai/models",
        model_route="/openai/models/",
        api_version=versions,
    )
