"""The service's half of the contract: requests are read, answers and refusals written, as each surface does it.

It must not be needed by a client: whoever asks imports `dialects` alone.
"""

from collections.abc import Mapping
from typing import Final

from phi_client.contract.service.foundry_models import FOUNDRY_MODELS
from phi_client.contract.service.managed_compute import MANAGED_COMPUTE, MANAGED_COMPUTE_OLDER
from phi_client.contract.service.openai_v1 import OPENAI_V1, is_deployment_route, older_form
from phi_client.contract.service.serverless import SERVERLESS
from phi_client.contract.service.surface import ApiVersion, Surface

__all__ = [
    "FOUNDRY_MODELS",
    "MANAGED_COMPUTE",
    "MANAGED_COMPUTE_OLDER",
    "OPENAI_V1",
    "SERVERLESS",
    "SURFACES",
    "ApiVersion",
    "Surface",
    "is_deployment_route",
    "older_form",
]

SURFACES: Final[Mapping[str, Surface]] = {
    surface.name: surface for surface in (SERVERLESS, MANAGED_COMPUTE, OPENAI_V1, FOUNDRY_MODELS)
}
"""The surfaces by the name of their dialect, in the order of `DIALECTS`."""
