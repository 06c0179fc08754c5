"""Managed compute: an Azure Machine Learning online endpoint, `*.inference.ml.azure.com`.

It must not know other surfaces. Facts are from the documentation of online endpoints and from the published
source of the two serving containers, of which the older has an info route and maps the names of `/score`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from phi_client.contract.dialects import managed_compute as dialect
from phi_client.contract.limits import SERVED_DEFAULT_MAX_TOKENS
from phi_client.contract.model_info import ModelInfo
from phi_client.contract.service.chat import ChatCompletion, ChatRequest, WireUsage
from phi_client.contract.service.refusals import (
    Limit,
    Refusal,
    RefusedError,
    container_error,
    context_length_exceeded,
    detail,
    downstream_unavailable,
    front_door_text,
    front_door_timeout,
    no_valid_deployment,
    too_many_pending_requests,
)
from phi_client.contract.service.request_body import BadTextError, read_json, validated_request
from phi_client.contract.service.score import chat_body_of_score
from phi_client.contract.service.stream import Chunk
from phi_client.contract.service.surface import Surface
from phi_client.contract.service.tokens import TokenRules
from phi_client.contract.wire import ContractError

__all__ = ["MANAGED_COMPUTE", "MANAGED_COMPUTE_OLDER", "ManagedComputeSurface"]


class ManagedComputeSurface(Surface):
    """What managed compute does differently."""

    def read_score_request(self, body: bytes) -> ChatRequest:
        """The chat request in either form of body; anything else is answered 200 with `{}`, bad text with 422."""
        try:
            read_json(body)
            return validated_request(
                chat_body_of_score(body), extended=self.has_extensions, parts=self.takes_parts
            )
        except BadTextError:
            raise
        except (ContractError, RefusedError) as error:
            raise RefusedError(Refusal(200, {})) from error

    def score_refusal(self, refusal: Refusal) -> Refusal:
        """The model's refusals come with status 200 and no output (source of the newer container)."""
        if not refusal.by_model or refusal.status < 400:  # noqa: PLR2004  # a 2xx is such an answer already
            return refusal
        error = {"status_code": refusal.status, "body": refusal.body}
        return Refusal(200, {"output": None, "error": error})

    def shape_completion(self, completion: ChatCompletion) -> ChatCompletion:
        """Drops unknown keys beside the message, as the container's response models do."""
        choices: list[Any] = []
        for choice in completion.choices:
            members = {"role": choice.message.role or "assistant", "content": choice.message.content}
            shaped = {
                "index": choice.index,
                "message": choice.message.model_copy(update=members).to_wire(),
                "finish_reason": choice.finish_reason,
            }
            choices.append(shaped)
        usage = completion.usage or WireUsage()
        return ChatCompletion.model_validate(
            {
                "id": completion.id,
                "object": "chat.completion",
                "created": completion.created,
                "model": completion.model,
                "choices": choices,
                "usage": usage.model_dump(),
            }
        )

    def shape_chunk(self, chunk: Chunk) -> Chunk:
        """Without `logprobs` and the filter's annotations, which the container's model of a chunk does not have."""
        known = ("index", "delta", "finish_reason")
        return {**chunk, "choices": [{key: choice[key] for key in known} for choice in chunk["choices"]]}

    def write_info(self, info: ModelInfo) -> bytes:
        """Three keys, printed with four spaces (the older container)."""
        known = {
            "model_type": info.model_type,
            "model_provider_name": info.model_provider_name,
            "model_name": info.model_name,
        }
        return json.dumps(known, indent=4).encode()

    def rate_limited(
        self, retry_after_s: int, *, limit: Limit, remaining_requests: int | None = None
    ) -> Refusal:
        """An empty body with a reason header; whether `Retry-After` is sent is not known (inferred)."""
        del limit, remaining_requests
        return too_many_pending_requests(retry_after_s)

    def unknown_deployment(self, name: str) -> Refusal:
        """The front door's word for a header that names no deployment."""
        del name
        return no_valid_deployment()

    def prompt_filtered(self, results: Mapping[str, Any]) -> Refusal:
        """The container's own words, where a deployment has content safety (source of the containers)."""
        del results
        return container_error(400, "request input violates azure ai content safety setting.")

    def context_exceeded(self, limit: int, requested: int) -> Refusal:
        """The engine's object as a string inside the container's `message`."""
        return context_length_exceeded(limit, requested, as_string=True)

    def response_headers(
        self,
        *,
        request_id: str,
        session: str | None = None,
        deployment: str | None = None,
        usage: WireUsage | None = None,  # noqa: ARG002  # this surface has no token headers
    ) -> dict[str, str]:
        """The headers of captured answers of the front door."""
        headers = {"x-request-id": request_id, "server": "azureml-frontdoor"}
        if deployment is not None:
            headers["azureml-model-deployment"] = deployment
        if session is not None:
            headers["azureml-model-session"] = session
        return headers


def _wrong_tenant(tenant: str) -> Refusal:
    del tenant
    return front_door_text(403, "Tenant mismatch: Token tenant does not match resource tenant")


MANAGED_COMPUTE: Final = ManagedComputeSurface(
    **vars(dialect.MANAGED_COMPUTE),
    versions=None,
    free_routes=("/v1/chat/completions",),
    health_route="/",
    swagger_route="/swagger.json",
    # Of the newer container, since 2026-06-04.
    unknown_parameters="pass-through",
    echoes_client_id="never",
    # Reported live for a wrong key and for a malformed header; for a missing header inferred.
    missing_key=front_door_text(401, "key_auth_bad_header_forbidden"),
    malformed_key=front_door_text(401, "key_auth_bad_header_forbidden"),
    wrong_key=front_door_text(401, "key_auth_access_denied"),
    # The statuses are documented; the words are those for a key, and for a tenant those of a batch endpoint's
    # front door (inferred).
    token_rules=TokenRules(
        wrong_token=front_door_text(401, "key_auth_access_denied"),
        wrong_tenant=_wrong_tenant,
        no_role=front_door_text(401, "key_auth_access_denied"),
    ),
    unknown_route=detail(404, "Not Found"),
    timed_out=front_door_timeout(),
    engine_failed=downstream_unavailable(),
    wraps_model_errors=True,
    # The container's models of a message and of a format (their source).
    takes_parts=True,
    takes_json_object=True,
    annotates=False,
    reasoning_in="content",
    sorted_keys=False,
    default_max_tokens=SERVED_DEFAULT_MAX_TOKENS,
    # The newer container's route is commented out; what its engine says instead was never recorded.
    has_info=False,
)
"""With the newer container, `foundation-model-serve`."""

MANAGED_COMPUTE_OLDER: Final = replace(
    MANAGED_COMPUTE,
    unknown_parameters="error",
    default_max_tokens=None,
    has_info=True,
    short_score=True,
    engine_failed=container_error(500, "An error occurred during the request processing."),
)
"""With the older container, `foundation-model-inference`; which one a deployment has is not known."""
