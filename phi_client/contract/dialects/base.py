"""What all dialects share: how a request becomes bytes, and how an answer and an error are read.

It must not name a surface: what is particular stands in that surface's own file, as data (`Facts`) where possible.
The other half, which reads requests and writes answers, is a `Surface` of `service`: it must not be needed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from phi_client.contract.answers import AnswerView, view_answer
from phi_client.contract.dialects.facts import Facts
from phi_client.contract.error_body import ErrorBody, error_from_object, read_error_body
from phi_client.contract.events import ServerSentEvent
from phi_client.contract.parameters import EXTRA_PARAMETERS, SCHEMA_KEYS
from phi_client.contract.score import completion_of_score, score_body_of_chat
from phi_client.contract.wire import ContractError, WireRequest, dump_json, get_header, load_object

if TYPE_CHECKING:
    from pydantic import ValidationError

    from phi_client.contract.model_info import ModelInfo

__all__ = ["CLIENT_ID", "MODEL_REASON", "MODEL_STATUS", "WRAPPED", "Dialect"]

CLIENT_ID: Final = "x-ms-client-request-id"
"""Request header with the caller's own id of a request."""

MODEL_STATUS: Final = "ms-azureml-model-error-statuscode"
"""Response header with the model's own status, and beside it the reason."""
MODEL_REASON: Final = "ms-azureml-model-error-reason"

WRAPPED: Final = 424
"""The status in which managed compute wraps the model's own."""

_STATUS: Final = re.compile(r"[1-5][0-9]{2}")
# Reasons that an Envoy filter's source gives without a status of their own.
_STATUS_OF_REASON: Final = {"too_many_pending_request": 429, "model_not_ready": 503}


class Dialect(Facts):
    """One shape on the wire, as a client speaks it."""

    def write_chat_request(
        self,
        request: Mapping[str, Any],
        *,
        route: str | None = None,
        api_version: str | None = None,
        deployment: str | None = None,
    ) -> WireRequest:
        """The wire request, without its credential; `route` defaults to the first chat route.

        `request` is the body's JSON object, unchecked: ranges are the service's to judge, and differ between its
        images.
        """
        path = route or self.chat_routes[0]
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if not SCHEMA_KEYS.issuperset(request) and self.has_policy_header:
            # The default policy differs between images, so it is never relied on.
            headers[EXTRA_PARAMETERS] = "pass-through"
        if deployment is not None and self.deployment_header is not None:
            headers[self.deployment_header] = deployment
        body = score_body_of_chat(request) if path == self.score_route else request
        return WireRequest("POST", path, self._query(api_version), headers, dump_json(body))

    def read_completion(self, body: bytes, *, route: str | None = None) -> AnswerView | ErrorBody:
        """The completion in a 2xx body, or the engine's error that `/score` hides in one.

        Raises:
            ContractError: the body does not fit the contract.
        """
        if route is not None and route == self.score_route:
            value = completion_of_score(body)
            return value if isinstance(value, ErrorBody) else view_answer(value, "message")
        value = load_object(body, "the answer")
        if "choices" not in value:
            raise ContractError("the answer has no `choices`")
        return view_answer(value, "message")

    def read_event(self, event: ServerSentEvent) -> AnswerView | ErrorBody:
        """The chunk, or the error, that an event carries; not for the `DONE` event.

        Raises:
            ContractError: the event's data is no chunk.
        """
        if event.name == "error":
            return read_error_body(event.data)
        value = load_object(event.data, "a chunk")
        if value.get("error") or value.get("object") == "error":
            return error_from_object(value)
        if "choices" not in value and isinstance(value.get("message") or value.get("detail"), str):
            # The gateways' own words, which are no object under `error`.
            return error_from_object(value)
        return view_answer(value, "delta")

    def write_info_request(self, *, api_version: str | None = None, model: str | None = None) -> WireRequest:
        """The request that asks which model answers; `model` for surfaces that serve several."""
        del model
        return WireRequest("GET", self.info_route, self._query(api_version), {"Accept": "application/json"})

    def read_info(self, body: bytes) -> ModelInfo:
        """The model that a 2xx body of the info route names.

        Raises:
            ContractError: the body does not fit the contract.
        """
        from pydantic import ValidationError

        from phi_client.contract.model_info import ModelInfo

        try:
            return ModelInfo.model_validate(load_object(body, "the answer of the info route"))
        except ValidationError as error:
            raise ContractError(f"the info route's answer does not fit: {_summary(error)}") from error

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ErrorBody:
        """What an answer of another status than 2xx says; `status` is the model's own behind a 424."""
        error = read_error_body(body)
        if status != WRAPPED:
            return error
        named = get_header(headers, MODEL_STATUS) or ""
        reason = get_header(headers, MODEL_REASON) or ""
        inner = int(named) if _STATUS.fullmatch(named) else _STATUS_OF_REASON.get(reason, error.status)
        return replace(error, message=error.message or reason, status=inner)

    def write_key(self, key: str) -> tuple[str, str]:
        """The header, name and value, that carries a key."""
        return self.key_header, self.key_prefix + key

    def read_request_id(self, headers: Mapping[str, str]) -> str | None:
        """The id to quote in a support case; a doubled `a, a` was seen and is undone."""
        for name in self.request_id_headers:
            value = get_header(headers, name)
            if value:
                return value.split(",")[0].strip()
        return None

    def _query(self, api_version: str | None) -> dict[str, str]:
        if self.api_version is None:
            return {}
        return {"api-version": api_version or self.api_version}


def _summary(error: ValidationError) -> str:
    """Where and what, without the values: they may be a person's prompt."""
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:3])
