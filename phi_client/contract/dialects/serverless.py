"""Serverless API deployments (models as a service), `*.models.ai.azure.com`, as they are asked.

It must not know other surfaces. Facts are from recorded live traffic (azure-sdk-assets), among it a Phi model's, unless
a line says otherwise.
"""

from typing import Final

from phi_client.contract.dialects.base import Dialect

__all__ = ["SERVERLESS"]

SERVERLESS: Final = Dialect(
    name="serverless",
    # The second suffix is that of early deployments (2024 documentation).
    host_suffixes=(".models.ai.azure.com", ".inference.ai.azure.com"),
    emulator_prefix="/serverless",
    root="",
    chat_routes=("/chat/completions", "/v1/chat/completions"),
    score_route=None,
    info_route="/info",
    # `api-key` alone is refused (reported live).
    key_header="Authorization",
    key_prefix="Bearer ",
    token_scope="https://ml.azure.com/.default",  # noqa: S106  # a scope, not a secret
    api_version="2024-05-01-preview",
    deployment_header=None,
    needs_model=False,
    has_policy_header=True,
    request_id_headers=("X-Request-ID",),
)
