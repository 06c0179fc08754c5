"""Serverless API deployments (models as a service), `*.models.ai.azure.com`.

It must not know other surfaces. Facts are from recorded live traffic (azure-sdk-assets), among it a Phi
model's, unless a line says otherwise.
"""

from typing import Any, Final

from phi_client.contract.dialects import serverless as dialect
from phi_client.contract.service.chat import AssistantMessage, WireUsage
from phi_client.contract.service.refusals import (
    Limit,
    Refusal,
    api_version_not_supported,
    container_error,
    context_length_exceeded,
    front_door_status,
    model_text,
    parameter_not_supported,
    rate_limited,
    serverless_missing_key,
    serverless_no_role,
    serverless_wrong_key,
)
from phi_client.contract.service.surface import ApiVersion, Surface
from phi_client.contract.service.tokens import TokenRules

__all__ = ["SERVERLESS", "ServerlessSurface"]


class ServerlessSurface(Surface):
    """What serverless does differently."""

    def message_members(self, message: AssistantMessage) -> dict[str, Any]:
        """The keys that are sent although they are empty."""
        return {
            **super().message_members(message),
            "reasoning_content": message.reasoning_content,
            "tool_calls": message.tool_calls or [],
        }

    def usage_members(self, usage: WireUsage) -> dict[str, Any]:
        """With the counts of a model that also takes sounds and pictures."""
        others = {"audio_prompt_tokens": 0, "image_prompt_tokens": 0, "prompt_tokens_details": None}
        return others | super().usage_members(usage)

    def unsupported_format(self, kind: str) -> Refusal:
        """As documented for the Model Inference API."""
        return parameter_not_supported("response_format", kind)

    def rate_limited(
        self, retry_after_s: int, *, limit: Limit, remaining_requests: int | None = None
    ) -> Refusal:
        """The shape of Azure OpenAI, because no serverless 429 was ever published (inferred)."""
        del limit, remaining_requests
        return rate_limited(retry_after_s)

    def context_exceeded(self, limit: int, requested: int) -> Refusal:
        """The engine's own object, passed through (reported live on neighbouring surfaces)."""
        return context_length_exceeded(limit, requested, as_string=False)

    def response_headers(
        self,
        *,
        request_id: str,
        session: str | None = None,
        deployment: str | None = None,  # noqa: ARG002  # this surface does not name it
        usage: WireUsage | None = None,
    ) -> dict[str, str]:
        """The recorded headers; `session` is `dep-<model>-<yymmddhhmmss>`."""
        headers = {
            "X-Request-ID": request_id,
            "x-ms-rai-invoked": "true",
            "Request-Context": "appId=cid-v1:00000000-0000-0000-0000-000000000000",
        }
        if session is not None:
            headers["azureml-model-session"] = session
        if usage is not None:
            headers["prompt_token_len"] = str(usage.prompt_tokens)
            headers["sampling_token_len"] = str(usage.completion_tokens)
        return headers


def _wrong_tenant(tenant: str) -> Refusal:
    del tenant
    return serverless_wrong_key()


SERVERLESS: Final = ServerlessSurface(
    **vars(dialect.SERVERLESS),
    # Without one, calls were seen to work; the answer to an unknown one was seen on Azure OpenAI (inferred here).
    versions=ApiVersion(
        ("2024-05-01-preview", "2024-04-01-preview"),
        unknown=api_version_not_supported(),
    ),
    free_routes=("/v1/chat/completions",),
    health_route=None,
    unknown_parameters="error",
    echoes_client_id="when asked",
    missing_key=serverless_missing_key(),
    malformed_key=serverless_wrong_key(),
    wrong_key=serverless_wrong_key(),
    token_rules=TokenRules(
        wrong_token=serverless_wrong_key(),
        # What is said to these two was never recorded (inferred).
        wrong_tenant=_wrong_tenant,
        no_role=serverless_no_role(),
    ),
    unknown_route=model_text(404, "NOT FOUND"),
    # No source shows a time-out of this surface (inferred).
    timed_out=front_door_status(408, "Request timed out"),
    # The container's words, which this surface passes through (inferred).
    engine_failed=container_error(500, "The engine broke down."),
    wraps_model_errors=False,
    # Documented for this api-version; which form this very model uses was never recorded.
    reasoning_in="content",
    sorted_keys=True,
    default_max_tokens=None,
)
