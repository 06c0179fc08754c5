"""The shapes that one chat completion takes on Azure's surfaces, and which of them a URL speaks.

It must not send anything: a dialect only turns what is meant into what is on the wire, and back.
"""

from phi_client.contract.dialects.base import CLIENT_ID, Dialect
from phi_client.contract.dialects.endpoint import DIALECTS, Endpoint, EndpointError, resolve_endpoint
from phi_client.contract.dialects.foundry_models import FOUNDRY_MODELS
from phi_client.contract.dialects.managed_compute import MANAGED_COMPUTE
from phi_client.contract.dialects.openai_v1 import OPENAI_V1
from phi_client.contract.dialects.serverless import SERVERLESS

__all__ = [
    "CLIENT_ID",
    "DIALECTS",
    "FOUNDRY_MODELS",
    "MANAGED_COMPUTE",
    "OPENAI_V1",
    "SERVERLESS",
    "Dialect",
    "Endpoint",
    "EndpointError",
    "resolve_endpoint",
]
