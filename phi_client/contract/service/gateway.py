"""The gateway of a Foundry resource, which stands before both of its APIs.

It must not know which of them is spoken. Facts are from recorded traffic of Azure OpenAI and from answers quoted in
issues.
"""

from dataclasses import replace
from typing import Final

from phi_client.contract.service.chat import WireUsage
from phi_client.contract.service.refusals import Limit, Refusal, context_length_exceeded, rate_limited
from phi_client.contract.service.surface import Surface

__all__ = ["MAX_CUSTOM_HEADERS", "Gateway"]

MAX_CUSTOM_HEADERS: Final = 10
"""Headers of a request that are neither HTTP's nor Azure's own (documented; what counts as custom is inferred)."""


class Gateway(Surface):
    """What `/models` and `/openai/v1` share."""

    def rate_limited(
        self, retry_after_s: int, *, limit: Limit, remaining_requests: int | None = None
    ) -> Refusal:
        """As recorded on Azure OpenAI for tokens; for requests and for requests at once inferred."""
        refusal = rate_limited(retry_after_s)
        headers = dict(refusal.headers)
        if limit != "concurrency":
            headers[f"x-ratelimit-reset-{limit}"] = str(retry_after_s)
        if limit == "tokens":
            headers["policy-id"] = "DeploymentRatelimit-Token"
        if remaining_requests is not None:
            headers["x-ratelimit-remaining-requests"] = str(remaining_requests)
        return replace(refusal, headers=headers)

    def context_exceeded(self, limit: int, requested: int) -> Refusal:
        """The engine's own object, passed through (reported live)."""
        return context_length_exceeded(limit, requested, as_string=False)

    def response_headers(
        self,
        *,
        request_id: str,
        session: str | None = None,
        deployment: str | None = None,  # noqa: ARG002  # not all of the gateway's surfaces name it
        usage: WireUsage | None = None,  # noqa: ARG002  # this surface has no token headers
    ) -> dict[str, str]:
        """The gateway's headers (recorded)."""
        headers = {
            "apim-request-id": request_id,
            "X-Request-ID": request_id,
            "x-ms-rai-invoked": "true",
            "x-ms-region": "local",
            "x-content-type-options": "nosniff",
            "x-accel-buffering": "no",
        }
        if session is not None:
            headers["azureml-model-session"] = session
        return headers
