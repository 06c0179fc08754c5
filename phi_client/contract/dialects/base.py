"""What every dialect answers, in one order, and what all of them share.

It must not name a surface: what is particular stands in that surface's own file, as data where possible.
Functions that write what another reads stand together: the client uses one of each pair, an emulator the
other.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ValidationError

from phi_client.contract.chat import ChatCompletion, ChatCompletionChunk, ChatRequest, Usage
from phi_client.contract.error_body import HELP_TEXT, ErrorBody, error_from_object, read_error_body
from phi_client.contract.events import DONE, ServerSentEvent, encode_event
from phi_client.contract.model_info import ModelInfo
from phi_client.contract.refusals import (
    Refusal,
    RefusedError,
    detail,
    front_door_status,
)
from phi_client.contract.request_body import (
    EXTRA_PARAMETERS,
    ParameterPolicy,
    apply_policy,
    read_json,
    validated_request,
)
from phi_client.contract.score import completion_of_score, score_body_of_chat, score_of_completion
from phi_client.contract.tokens import TokenRules
from phi_client.contract.wire import (
    ContractError,
    WireRequest,
    WireResponse,
    dump_json,
    get_header,
    load_object,
)

__all__ = ["CLIENT_ID", "ApiVersion", "Dialect"]

CLIENT_ID: Final = "x-ms-client-request-id"
"""Request header with the caller's own id of a request."""

RETURN_CLIENT_ID: Final = "x-ms-return-client-request-id"
"""Request header that asks for it back (recorded on serverless)."""

_MODEL_STATUS: Final = "ms-azureml-model-error-statuscode"
_MODEL_REASON: Final = "ms-azureml-model-error-reason"
# Reasons that an Envoy filter's source gives without a status of their own.
_STATUS_OF_REASON: Final = {"too_many_pending_request": 429, "model_not_ready": 503}
_WRAPPED: Final = 424
_METHOD_NOT_ALLOWED: Final = detail(405, "Method Not Allowed")
# No source shows these two: the statuses are HTTP's own, the bodies inferred.
_PAYLOAD_TOO_LARGE: Final = front_door_status(413, "Request body too large")
_UNSUPPORTED_MEDIA_TYPE: Final = front_door_status(415, "Unsupported media type, use application/json")


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """The `api-version` query parameter: what is sent by default, and what was seen to be taken.

    `missing` is the answer to a request without one, `None` where that was seen to work; `unknown` that to any other.
    """

    default: str
    accepted: tuple[str, ...]
    unknown: Refusal
    missing: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class Dialect(ABC):
    """One shape on the wire. An emulator changes an answer with `dataclasses.replace`."""

    name: str

    # Which hosts speak it, and under which path an emulator serves it beside others.
    host_suffixes: tuple[str, ...]
    emulator_prefix: str

    # The path that all routes begin with, and that people paste for short.
    root: str

    # Routes; the first chat route is the default. `free_routes` never refuse an unknown parameter.
    chat_routes: tuple[str, ...]
    free_routes: tuple[str, ...]
    score_route: str | None
    info_route: str
    health_route: str | None

    # How a key travels (a token always as `Authorization: Bearer`), and the scope of an Entra token.
    key_header: str
    key_prefix: str
    token_scope: str

    # `None`: the surface has no such parameter.
    api_version: ApiVersion | None

    # The request header that names a deployment, if there is one; whether the body must name a model.
    deployment_header: str | None
    needs_model: bool

    # What happens to a key outside the schema when the caller says nothing, and whether a header can say it.
    unknown_parameters: ParameterPolicy
    has_policy_header: bool

    # Response headers that name the request, best first; whether the caller's own id comes back.
    request_id_headers: tuple[str, ...]
    echoes_client_id: Literal["never", "when asked", "always"]

    # What the front door and the container say; `wraps_model_errors`: as 424, the true status in a header.
    missing_key: Refusal
    malformed_key: Refusal
    wrong_key: Refusal
    token_rules: TokenRules
    unknown_route: Refusal
    timed_out: Refusal
    wraps_model_errors: bool

    # Where the reasoning is, whether keys come in alphabetical order, and a missing `max_tokens`.
    reasoning_in: Literal["content", "reasoning_content"]
    sorted_keys: bool
    default_max_tokens: int | None

    # What a user must know of the surface's future, or nothing.
    retirement: str = ""

    # Whether Azure's content filter stands before the model (managed compute has another mechanism).
    filters_content: bool = True

    # Whether answers carry `x-ratelimit-…` headers (recorded on Azure OpenAI, never on the others).
    tells_limits: bool = False

    # Whether the info route is answered at all, and whether `/score` answers with the text alone.
    has_info: bool = True
    short_score: bool = False

    # Whether the front door's help text follows what the model says of a failure (seen on some surfaces, some days).
    has_help_text: bool = False

    # The route that describes one model, whose name follows; for surfaces that serve several.
    model_route: str | None = None

    method_not_allowed: Refusal = _METHOD_NOT_ALLOWED
    payload_too_large: Refusal = _PAYLOAD_TOO_LARGE
    unsupported_media_type: Refusal = _UNSUPPORTED_MEDIA_TYPE

    def write_chat_request(
        self,
        request: ChatRequest,
        *,
        route: str | None = None,
        api_version: str | None = None,
        deployment: str | None = None,
    ) -> WireRequest:
        """The wire request, without its credential; `route` defaults to the first chat route."""
        path = route or self.chat_routes[0]
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if request.extra and self.has_policy_header:
            # The default policy differs between images, so it is never relied on.
            headers[EXTRA_PARAMETERS] = "pass-through"
        if deployment is not None and self.deployment_header is not None:
            headers[self.deployment_header] = deployment
        body = score_body_of_chat(request) if path == self.score_route else request.to_wire()
        return WireRequest("POST", path, self._query(api_version), headers, dump_json(body))

    def read_chat_request(
        self, headers: Mapping[str, str], body: bytes, *, route: str | None = None
    ) -> ChatRequest:
        """The request in `body`, validated as the service does, unknown keys treated by the policy.

        Raises:
            RefusedError: with the answer that the service gives.
        """
        request = validated_request(read_json(body))
        if not self.has_policy_header:
            return request
        free = (route or self.chat_routes[0]) in self.free_routes
        return apply_policy(request, headers, default=self.unknown_parameters, never_refuses=free)

    def read_score_request(self, body: bytes) -> ChatRequest:
        """The chat request in the body of `/score`.

        Raises:
            RefusedError: this surface has no such route, or the body is not one of its forms.
        """
        del body
        raise RefusedError(self.unknown_route)

    def shape_completion(self, completion: ChatCompletion) -> ChatCompletion:
        """`completion` with all that this surface always sends, and nothing that it never sends."""
        return completion.model_copy(update={"object": "chat.completion"})

    def write_completion(self, completion: ChatCompletion) -> bytes:
        """The body of a whole answer."""
        return dump_json(self.shape_completion(completion).to_wire(), sort_keys=self.sorted_keys)

    def write_score(self, completion: ChatCompletion) -> bytes:
        """The body of `/score`."""
        return dump_json(score_of_completion(self.shape_completion(completion), older=self.short_score))

    def score_refusal(self, refusal: Refusal) -> Refusal:
        """What the score route says where the chat route says `refusal`."""
        return refusal

    def read_completion(self, body: bytes, *, route: str | None = None) -> ChatCompletion | ErrorBody:
        """The completion in a 2xx body, or the engine's error that `/score` hides in one.

        Raises:
            ContractError: the body does not fit the contract.
        """
        try:
            if route is not None and route == self.score_route:
                return completion_of_score(body)
            value = load_object(body, "the answer")
            if "choices" not in value:
                raise ContractError("the answer has no `choices`")
            return ChatCompletion.model_validate(value)
        except ValidationError as error:
            raise ContractError(f"the answer does not fit the contract: {_summary(error)}") from error

    def write_chunk(self, chunk: ChatCompletionChunk) -> bytes:
        """The event that carries `chunk`."""
        return encode_event(dump_json(chunk.to_wire(), sort_keys=self.sorted_keys))

    def write_done(self) -> bytes:
        """The event that ends a stream."""
        return encode_event(DONE)

    def write_stream_error(self, message: str) -> bytes:
        """A failure after the stream began, as the containers report it (their source)."""
        return encode_event(message, name="error")

    def read_event(self, event: ServerSentEvent) -> ChatCompletionChunk | ErrorBody:
        """The chunk, or the error, that an event carries; not for the `DONE` event.

        Raises:
            ContractError: the event's data is no chunk.
        """
        if event.name == "error":
            return read_error_body(event.data)
        value = load_object(event.data, "a chunk")
        if value.get("error") or value.get("object") == "error":
            return error_from_object(value)
        try:
            return ChatCompletionChunk.model_validate(value)
        except ValidationError as error:
            raise ContractError(f"a chunk does not fit the contract: {_summary(error)}") from error

    def write_info_request(self, *, api_version: str | None = None, model: str | None = None) -> WireRequest:
        """The request that asks which model answers; `model` for surfaces that serve several."""
        del model
        return WireRequest("GET", self.info_route, self._query(api_version), {"Accept": "application/json"})

    def write_info(self, info: ModelInfo) -> bytes:
        """The body of the info route."""
        return dump_json(info.to_wire())

    def write_health(self) -> bytes:
        """The body of the health route, where there is one: a JSON string (source of both containers)."""
        return b'"healthy"'

    def read_info(self, body: bytes) -> ModelInfo:
        """The model that a 2xx body of the info route names.

        Raises:
            ContractError: the body does not fit the contract.
        """
        try:
            return ModelInfo.model_validate(load_object(body, "the answer of the info route"))
        except ValidationError as error:
            raise ContractError(f"the info route's answer does not fit: {_summary(error)}") from error

    def write_error(self, refusal: Refusal) -> WireResponse:
        """The answer that carries `refusal`, wrapped in 424 where this surface does so."""
        headers = dict(refusal.headers)
        status = refusal.status
        if refusal.by_model and status >= 400:  # noqa: PLR2004  # `/score` refuses with 200
            headers |= {_MODEL_STATUS: str(status), _MODEL_REASON: "model_error"}
            status = _WRAPPED if self.wraps_model_errors else status
        help_text = HELP_TEXT.encode() if self.has_help_text and refusal.by_model else b""
        if isinstance(refusal.body, str):
            headers["Content-Type"] = "text/plain; charset=utf-8"
            return WireResponse(status, refusal.body.encode() + help_text, headers)
        headers["Content-Type"] = "application/json"
        return WireResponse(status, dump_json(refusal.body) + help_text, headers)

    def unknown_model(self, name: str) -> Refusal:
        """What is said to a request that names a model which is not there; here that no model is looked at."""
        del name
        return self.unknown_route

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ErrorBody:
        """What an answer of another status than 2xx says; `status` is the model's own behind a 424."""
        error = read_error_body(body)
        if status != _WRAPPED:
            return error
        named = get_header(headers, _MODEL_STATUS) or ""
        reason = get_header(headers, _MODEL_REASON) or ""
        inner = int(named) if named.isdecimal() else _STATUS_OF_REASON.get(reason, error.status)
        return ErrorBody(
            message=error.message or reason,
            code=error.code,
            status=inner,
            details=error.details,
            innererror=error.innererror,
        )

    @abstractmethod
    def rate_limited(self, retry_after_s: int) -> Refusal:
        """429: the service, or an engine's full queue, has no room."""

    @abstractmethod
    def context_exceeded(self, limit: int, requested: int) -> Refusal:
        """400: the prompt is longer than the context, both in tokens."""

    def check_api_version(self, given: str | None) -> None:
        """Refuse a request whose `api-version` this surface does not take.

        Raises:
            RefusedError: it is another one, or missing where it must not be.
        """
        known = self.api_version
        if known is None or given in known.accepted:
            return
        refusal = known.missing if given is None else known.unknown
        if refusal is not None:
            raise RefusedError(refusal)

    def echoed_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The caller's own id of the request, where this surface sends it back."""
        given = get_header(headers, CLIENT_ID)
        asked = (get_header(headers, RETURN_CLIENT_ID) or "").lower() == "true"
        wanted = self.echoes_client_id == "always" or (self.echoes_client_id == "when asked" and asked)
        return {CLIENT_ID: given} if given and wanted else {}

    def write_key(self, key: str) -> tuple[str, str]:
        """The header, name and value, that carries a key."""
        return self.key_header, self.key_prefix + key

    def read_key(self, headers: Mapping[str, str]) -> str:
        """The key or token of a request.

        Raises:
            RefusedError: there is none, or the header is malformed.
        """
        value = get_header(headers, self.key_header)
        if value is None:
            raise RefusedError(self.missing_key)
        scheme = self.key_prefix
        if value[: len(scheme)].lower() != scheme.lower() or not value[len(scheme) :].strip():
            raise RefusedError(self.malformed_key)
        return value[len(scheme) :].strip()

    @abstractmethod
    def response_headers(
        self,
        *,
        request_id: str,
        session: str | None = None,
        deployment: str | None = None,
        usage: Usage | None = None,
    ) -> dict[str, str]:
        """Headers of a 2xx answer; `usage` for whole answers only, since streams have no token headers."""

    def limit_headers(self, **counts: int | None) -> dict[str, str]:
        """`x-ratelimit-limit-requests` and its sisters, where this surface sends them; `None` is left out."""
        if not self.tells_limits:
            return {}
        return {
            f"x-ratelimit-{name.replace('_', '-')}": str(count)
            for name, count in counts.items()
            if count is not None
        }

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
        return {"api-version": api_version or self.api_version.default}


def _summary(error: ValidationError) -> str:
    """Where and what, without the values: they may be a person's prompt."""
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:3])
