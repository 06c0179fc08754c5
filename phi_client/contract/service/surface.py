"""What all surfaces share as a service has them: how a request is read, and how an answer and an error become bytes.

It must not name a surface: what is particular stands in that surface's own file, as data where possible. What one half
writes the other reads: the client's half is the `Dialect` that a surface extends, so both are tested by one object.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from phi_client.contract.dialects.base import CLIENT_ID, MODEL_REASON, MODEL_STATUS, WRAPPED, Dialect
from phi_client.contract.error_body import HELP_TEXT
from phi_client.contract.events import DONE, encode_event
from phi_client.contract.model_info import ModelInfo
from phi_client.contract.parameters import ParameterPolicy
from phi_client.contract.service.chat import (
    AssistantMessage,
    ChatCompletion,
    ChatRequest,
    Choice,
    WireUsage,
)
from phi_client.contract.service.filter_results import SAFE_COMPLETION, SAFE_PROMPT
from phi_client.contract.service.refusals import (
    Limit,
    Refusal,
    RefusedError,
    container_error,
    content_filtered,
    detail,
    front_door_status,
    too_many_headers,
)
from phi_client.contract.service.request_body import apply_policy, read_json, validated_request
from phi_client.contract.service.score import score_of_completion
from phi_client.contract.service.stream import Chunk, StreamWriter, UsagePlace
from phi_client.contract.service.tokens import TokenRules
from phi_client.contract.wire import WireResponse, dump_json, get_header

__all__ = ["ApiVersion", "Surface"]

RETURN_CLIENT_ID: Final = "x-ms-return-client-request-id"
"""Request header that asks for the caller's own id back (recorded on serverless)."""

_KNOWN_HEADER: Final = re.compile(
    # HTTP's own and what proxies add, the services' own, and what their official clients send.
    r"accept(-.*)?|authorization|cache-control|connection|content-.*|cookie|date|expect|forwarded|from|host|if-.*"
    r"|origin|pragma|priority|range|referer|sec-.*|te|trailer|transfer-encoding|upgrade(-.*)?|user-agent|via"
    r"|traceparent|tracestate|x-forwarded-.*|x-request-id|api-key|extra-parameters|azureml-.*|x-ms-.*|x-stainless-.*"
)
_METHOD_NOT_ALLOWED: Final = detail(405, "Method Not Allowed")
# No source shows these two: the statuses are HTTP's own, the bodies inferred.
_PAYLOAD_TOO_LARGE: Final = front_door_status(413, "Request body too large")
_UNSUPPORTED_MEDIA_TYPE: Final = front_door_status(415, "Unsupported media type, use application/json")


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """What is said to an `api-version` query parameter: `accepted` are those that were seen to be taken.

    `missing` is the answer to a request without one, `None` where that was seen to work; `unknown` that to any other.
    `with_reasoning_field` are those whose reasoning has a field of its own, documented in 2025 and then withdrawn.
    """

    accepted: tuple[str, ...]
    unknown: Refusal
    missing: Refusal | None = None
    with_reasoning_field: tuple[str, ...] = ("2025-04-01", "2025-05-01")


@dataclass(frozen=True, kw_only=True)
class Surface(Dialect, ABC):
    """One of Azure's surfaces as a service: what it answers, beside how it is asked.

    An emulator changes an answer with `dataclasses.replace`.
    """

    # Routes: `free_routes` never refuse an unknown parameter; `swagger_route` describes the others as OpenAPI.
    free_routes: tuple[str, ...]
    health_route: str | None
    swagger_route: str | None = None

    # `None`: the surface has no such parameter, or looks at none.
    versions: ApiVersion | None

    # What happens to a key outside the schema when the caller says nothing.
    unknown_parameters: ParameterPolicy

    # Whether the caller's own id comes back.
    echoes_client_id: Literal["never", "when asked", "always"]

    # What the front door and the container say; `wraps_model_errors`: as 424, the true status in a header.
    missing_key: Refusal
    malformed_key: Refusal
    wrong_key: Refusal
    token_rules: TokenRules
    unknown_route: Refusal
    timed_out: Refusal
    engine_failed: Refusal
    wraps_model_errors: bool

    # Where the reasoning is, whether keys come in alphabetical order, and a missing `max_tokens`.
    reasoning_in: Literal["content", "reasoning_content"]
    sorted_keys: bool
    default_max_tokens: int | None

    # Whether answers carry the content filter's annotations, and a stream begins with those of the prompt; where they
    # do not, an answer that is blocked comes as an empty text.
    annotates: bool = True
    opens_with_annotations: bool = False

    # Whether answers name their engine and count cached prompt tokens (recorded on Azure OpenAI, never on the others).
    tells_details: bool = False

    # Whether answers carry `x-ratelimit-…` headers (recorded on Azure OpenAI, never on the others).
    tells_limits: bool = False

    # Whether the info route is answered at all, and whether `/score` answers with the text alone.
    has_info: bool = True
    short_score: bool = False

    # Whether the front door's help text follows what the model says of a failure (seen on some surfaces, some days).
    has_help_text: bool = False

    # Whether an emulator takes what the hosted model has not: see `extensions`. No surface of Azure does.
    has_extensions: bool = False

    # Whether messages of all roles may be made of parts, whether numbers that have a default may be null, and whether
    # `response_format` may be `json_object`.
    takes_parts: bool = False
    takes_nulls: bool = False
    takes_json_object: bool = False

    # How many headers of a caller's own a request may have.
    max_custom_headers: int | None = None

    method_not_allowed: Refusal = _METHOD_NOT_ALLOWED
    payload_too_large: Refusal = _PAYLOAD_TOO_LARGE
    unsupported_media_type: Refusal = _UNSUPPORTED_MEDIA_TYPE

    def read_chat_request(
        self, headers: Mapping[str, str], body: bytes, *, route: str | None = None
    ) -> ChatRequest:
        """The request in `body`, validated as the service does, unknown keys treated by the policy.

        Raises:
            RefusedError: with the answer that the service gives.
        """
        request = validated_request(
            read_json(body), extended=self.has_extensions, parts=self.takes_parts, nulls=self.takes_nulls
        )
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
        choices: list[Any] = []
        for choice in completion.choices:
            message = self.message_members(choice.message)
            if choice.finish_reason == "content_filter" and choice.message.content is None:
                del message["content"]
            members: dict[str, Any] = {
                "index": choice.index,
                "message": choice.message.model_copy(update=message),
                "finish_reason": choice.finish_reason,
            }
            if self.annotates:
                members["content_filter_results"] = choice.content_filter_results or SAFE_COMPLETION
            choices.append(choice.model_copy(update=members | self.choice_members(choice)))
        shaped: dict[str, Any] = {
            "object": "chat.completion",
            "choices": choices,
            "usage": WireUsage(**self.usage_members(completion.usage or WireUsage())),
        }
        if self.annotates:
            shaped["prompt_filter_results"] = completion.prompt_filter_results or SAFE_PROMPT
        return completion.model_copy(update=shaped | self.completion_members(completion))

    def message_members(self, message: AssistantMessage) -> dict[str, Any]:
        """Keys of the message that are sent even when they are empty."""
        return {"role": message.role or "assistant", "content": message.content}

    def choice_members(self, choice: Choice) -> dict[str, Any]:
        """Keys beside the message that are sent even when they are empty."""
        del choice
        return {}

    def usage_members(self, usage: WireUsage) -> dict[str, Any]:
        """All keys of the usage."""
        return usage.model_dump()

    def completion_members(self, completion: ChatCompletion) -> dict[str, Any]:
        """Keys at the top that are sent even when they are empty."""
        del completion
        return {}

    def write_completion(self, completion: ChatCompletion) -> bytes:
        """The body of a whole answer."""
        return dump_json(self.shape_completion(completion).to_wire(), sort_keys=self.sorted_keys)

    def write_score(self, completion: ChatCompletion) -> bytes:
        """The body of `/score`."""
        return dump_json(score_of_completion(self.shape_completion(completion), older=self.short_score))

    def score_refusal(self, refusal: Refusal) -> Refusal:
        """What the score route says where the chat route says `refusal`."""
        return refusal

    def open_stream(
        self, answer_id: str, created: int, model: str, *, fingerprint: str = "", asks_usage: bool = False
    ) -> StreamWriter:
        """What writes the events of one answer; `asks_usage` if the request did, `created` in seconds."""
        head = {"id": answer_id, "object": "chat.completion.chunk", "created": created, "model": model}
        usage: UsagePlace = "after the last" if asks_usage else "never"
        return StreamWriter(
            self.write_chunk,
            head | ({"system_fingerprint": fingerprint} if self.tells_details else {}),
            usage="with the last" if self.streams_usage == "unasked" else usage,
            annotates=self.opens_with_annotations,
        )

    def write_chunk(self, chunk: Chunk) -> bytes:
        """The event that carries `chunk`."""
        return encode_event(dump_json(self.shape_chunk(chunk), sort_keys=self.sorted_keys))

    def shape_chunk(self, chunk: Chunk) -> Chunk:
        """`chunk` with all that this surface always sends."""
        return chunk

    def write_done(self) -> bytes:
        """The event that ends a stream."""
        return encode_event(DONE)

    def write_stream_error(self, message: str) -> bytes:
        """A failure after the stream began, as the containers report it (their source)."""
        return encode_event(message, name="error")

    def write_info(self, info: ModelInfo) -> bytes:
        """The body of the info route."""
        return dump_json(info.to_wire())

    def write_models(self, info: ModelInfo, names: Sequence[str]) -> bytes:
        """The body of the info route where that lists the models of a resource, by `names`; here it says `info`."""
        del names
        return self.write_info(info)

    def write_health(self) -> bytes:
        """The body of the health route, where there is one: a JSON string (source of both containers)."""
        return b'"healthy"'

    def write_error(self, refusal: Refusal) -> WireResponse:
        """The answer that carries `refusal`, wrapped in 424 where this surface does so."""
        headers = dict(refusal.headers)
        status = refusal.status
        if refusal.by_model and status >= 400:  # noqa: PLR2004  # `/score` refuses with 200
            headers |= {MODEL_STATUS: str(status), MODEL_REASON: "model_error"}
            status = WRAPPED if self.wraps_model_errors else status
        help_text = HELP_TEXT.encode() if self.has_help_text and refusal.by_model else b""
        if isinstance(refusal.body, str):
            headers["Content-Type"] = "text/plain; charset=utf-8"
            return WireResponse(status, refusal.body.encode() + help_text, headers)
        headers["Content-Type"] = "application/json"
        return WireResponse(status, dump_json(refusal.body) + help_text, headers)

    def unknown_deployment(self, name: str) -> Refusal:
        """What is said to a request for a model or a deployment that is not there; here no name is looked at."""
        del name
        return self.unknown_route

    @abstractmethod
    def rate_limited(
        self, retry_after_s: int, *, limit: Limit, remaining_requests: int | None = None
    ) -> Refusal:
        """429: a limit is reached, or an engine's queue is full."""

    def unsupported_format(self, kind: str) -> Refusal:
        """What is said to a `response_format` that the schema has and the model has not."""
        return container_error(400, f"response_format {kind!r} is not supported by this model.")

    def prompt_filtered(self, results: Mapping[str, Any]) -> Refusal:
        """What is said to a prompt that the content filter blocks; `results` by category."""
        return content_filtered(results)

    @abstractmethod
    def context_exceeded(self, limit: int, requested: int) -> Refusal:
        """400: the prompt is longer than the context, both in tokens."""

    def check_api_version(self, given: str | None) -> None:
        """Refuse a request whose `api-version` this surface does not take.

        Raises:
            RefusedError: it is another one, or missing where it must not be.
        """
        known = self.versions
        if known is None or given in known.accepted:
            return
        refusal = known.missing if given is None else known.unknown
        if refusal is not None:
            raise RefusedError(refusal)

    def at_version(self, given: str | None) -> Self:
        """This surface as it answers to an `api-version`."""
        known = self.versions
        if known is None or given not in known.with_reasoning_field:
            return self
        return replace(self, reasoning_in="reasoning_content")

    def check_headers(self, names: Iterable[str]) -> None:
        """Refuse a request with more custom headers than this surface takes.

        Raises:
            RefusedError: 431.
        """
        if self.max_custom_headers is not None:
            custom = sum(not _KNOWN_HEADER.fullmatch(name.lower()) for name in names)
            if custom > self.max_custom_headers:
                raise RefusedError(too_many_headers())

    def echoed_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The caller's own id of the request, where this surface sends it back."""
        given = get_header(headers, CLIENT_ID)
        asked = (get_header(headers, RETURN_CLIENT_ID) or "").lower() == "true"
        wanted = self.echoes_client_id == "always" or (self.echoes_client_id == "when asked" and asked)
        return {CLIENT_ID: given} if given and wanted else {}

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
        usage: WireUsage | None = None,
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
