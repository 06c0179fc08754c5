"""The Model Inference API of a Foundry resource, `*.services.ai.azure.com/models`, as it is asked.

It must not know other surfaces. Facts are from the OpenAPI 2024-05-01-preview and from answers quoted in issues. Its
retirement was announced for 2026-08-26; whether it was switched off is not known.
"""

from typing import Final

from phi_client.contract.dialects.base import Dialect

__all__ = ["FOUNDRY_MODELS"]

FOUNDRY_MODELS: Final = Dialect(
    name="foundry_models",
    # Shared with `openai_v1`: the path decides.
    host_suffixes=(".services.ai.azure.com",),
    emulator_prefix="",
    root="/models",
    chat_routes=("/models/chat/completions",),
    score_route=None,
    info_route="/models/info",
    key_header="api-key",
    key_prefix="",
    token_scope="https://cognitiveservices.azure.com/.default",  # noqa: S106  # a scope, not a secret
    api_version="2024-05-01-preview",
    deployment_header=None,
    needs_model=True,
    has_policy_header=True,
    request_id_headers=("apim-request-id", "X-Request-ID", "x-ms-request-id"),
    retirement="Azure announced the retirement of `/models` for 2026-08-26: use `/openai/v1` of the same resource",
)
