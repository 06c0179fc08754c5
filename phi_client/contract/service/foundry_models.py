"""The Model Inference API of a Foundry resource, `*.services.ai.azure.com/models`.

It must not know other surfaces. Facts are from the OpenAPI 2024-05-01-preview and from answers quoted in
issues. Its retirement was announced for 2026-08-26; whether it was switched off is not known.
"""

from collections.abc import Mapping
from typing import Final

from phi_client.contract.dialects import foundry_models as dialect
from phi_client.contract.limits import HOSTED_INPUT_TOKENS
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.gateway import MAX_CUSTOM_HEADERS, Gateway
from phi_client.contract.service.refusals import (
    Refusal,
    RefusedError,
    front_door_status,
    gateway_backend_failed,
    gateway_resource_not_found,
    gateway_wrong_key,
    no_model_name,
    parameter_not_supported,
    request_too_large,
    unknown_model,
)
from phi_client.contract.service.stream import Chunk
from phi_client.contract.service.surface import ApiVersion
from phi_client.contract.service.tokens import gateway_token_rules
from phi_client.contract.wire import get_header

__all__ = ["FOUNDRY_MODELS", "MODEL_HEADER", "FoundryModelsSurface"]

MODEL_HEADER: Final = "x-ms-model-mesh-model-name"
"""Request header that names the model where the body does not (quoted from the service's own error)."""


class FoundryModelsSurface(Gateway):
    """What `/models` does differently."""

    def read_chat_request(
        self, headers: Mapping[str, str], body: bytes, *, route: str | None = None
    ) -> ChatRequest:
        """As everywhere, but the body or a header must name the model."""
        request = super().read_chat_request(headers, body, route=route)
        if request.model is not None:
            return request
        named = get_header(headers, MODEL_HEADER)
        if named is None:
            raise RefusedError(no_model_name())
        return request.model_copy(update={"model": named})

    def shape_chunk(self, chunk: Chunk) -> Chunk:
        """With the empty keys that a DeepSeek deployment was seen to send in every chunk."""
        empty = {"role": None, "content": None, "tool_calls": None}
        choices = [
            {**choice, "delta": empty | choice["delta"], "logprobs": None, "matched_stop": None}
            for choice in chunk["choices"]
        ]
        return {"usage": None, **chunk, "choices": choices}

    def unsupported_format(self, kind: str) -> Refusal:
        """As documented for the Model Inference API."""
        return parameter_not_supported("response_format", kind)

    def unknown_deployment(self, name: str) -> Refusal:
        """The front end's own words (recorded)."""
        return unknown_model(name)


FOUNDRY_MODELS: Final = FoundryModelsSurface(
    **vars(dialect.FOUNDRY_MODELS),
    # 404 was reported for a missing and for a later version; the body is inferred.
    versions=ApiVersion(
        ("2024-05-01-preview",),
        unknown=gateway_resource_not_found(),
        missing=gateway_resource_not_found(),
    ),
    free_routes=(),
    health_route=None,
    unknown_parameters="error",
    echoes_client_id="always",
    missing_key=gateway_wrong_key(),
    malformed_key=gateway_wrong_key(),
    wrong_key=gateway_wrong_key(),
    token_rules=gateway_token_rules(),
    unknown_route=gateway_resource_not_found(),
    # No source shows a time-out of this surface (inferred).
    timed_out=front_door_status(408, "Request timed out"),
    engine_failed=gateway_backend_failed(),
    payload_too_large=request_too_large(HOSTED_INPUT_TOKENS),
    wraps_model_errors=False,
    tells_limits=True,
    max_custom_headers=MAX_CUSTOM_HEADERS,
    # Documented for this api-version.
    reasoning_in="content",
    sorted_keys=True,
    default_max_tokens=None,
)
