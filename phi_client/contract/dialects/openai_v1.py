"""The v1 API of a Foundry or Azure OpenAI resource, `…/openai/v1`, the named replacement of `/models`, as it is asked.

It must not know other surfaces. Facts are from the documentation and from recorded traffic of Azure OpenAI;
how a Phi model answers here was never recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from phi_client.contract.dialects.base import Dialect
from phi_client.contract.wire import ContractError, WireRequest, load_object

if TYPE_CHECKING:
    from phi_client.contract.model_info import ModelInfo

__all__ = ["OPENAI_V1", "OpenAIV1"]


class OpenAIV1(Dialect):
    """What is read differently under `/openai/v1`."""

    def write_info_request(self, *, api_version: str | None = None, model: str | None = None) -> WireRequest:
        """The list of models, or one of them; this surface has no info route."""
        del api_version
        path = self.info_route if model is None else f"{self.model_route}{quote(model, safe='')}"
        return WireRequest("GET", path, {}, {"Accept": "application/json"})

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


OPENAI_V1: Final = OpenAIV1(
    name="openai_v1",
    host_suffixes=(".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"),
    emulator_prefix="",
    root="/openai/v1",
    chat_routes=("/openai/v1/chat/completions",),
    score_route=None,
    info_route="/openai/v1/models",
    key_header="api-key",
    key_prefix="",
    token_scope="https://ai.azure.com/.default",  # noqa: S106  # a scope, not a secret
    api_version=None,
    deployment_header=None,
    needs_model=True,
    has_policy_header=False,
    request_id_headers=("apim-request-id", "X-Request-ID", "x-ms-request-id"),
    streams_usage="on request",
    telemetry_name="azure.ai.openai",
    model_route="/openai/v1/models/",
)
