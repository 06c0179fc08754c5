"""Managed compute: an Azure Machine Learning online endpoint, `*.inference.ml.azure.com`, as it is asked.

It must not know other surfaces. Facts are from the documentation of online endpoints and from the published source of
the two serving containers, of which the older has an info route.
"""

from typing import Final

from phi_client.contract.dialects.base import Dialect

__all__ = ["MANAGED_COMPUTE"]

MANAGED_COMPUTE: Final = Dialect(
    name="managed_compute",
    host_suffixes=(".inference.ml.azure.com",),
    emulator_prefix="/managed-compute",
    root="",
    chat_routes=("/chat/completions", "/v1/chat/completions"),
    score_route="/score",
    info_route="/info",
    key_header="Authorization",
    key_prefix="Bearer ",
    token_scope="https://ml.azure.com/.default",  # noqa: S106  # a scope, not a secret
    # The container's routes have no such parameter.
    api_version=None,
    deployment_header="azureml-model-deployment",
    needs_model=False,
    has_policy_header=True,
    request_id_headers=("x-request-id",),
)
