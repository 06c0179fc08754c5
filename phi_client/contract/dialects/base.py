"""What all dialects share: how a request, an answer and an error become bytes, and are read again.

It must not name a surface: what is particular stands in that surface's own file, as data (`Facts`) where possible.
Functions that write what another reads stand together: the client uses one of each pair, an emulator the
other. The client's half needs no models, so they are imported where the other half begins.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from phi_client.contract.answers import AnswerView, view_answer
from phi_client.contract.dialects.facts import Facts
from phi_client.contract.error_body import HELP_TEXT, ErrorBody, error_from_object, read_error_body
from phi_client.contract.events import DONE, ServerSentEvent, encode_event
from phi_client.contract.filter_results import SAFE_COMPLETION, SAFE_PROMPT
from phi_client.contract.parameters import EXTRA_PARAMETERS, SCHEMA_KEYS
from phi_client.contract.refusals import (
    Limit,
    Refusal,
    RefusedError,
    container_error,
    content_filtered,
    too_many_headers,
)
from phi_client.contract.score import completion_of_score, score_body_of_chat, score_of_completion
from phi_client.contract.wire import (
    ContractError,
    WireRequest,
    WireResponse,
    dump_json,
    get_header,
    load_object,
)

if TYPE_CHECKING:
    from pydantic import ValidationError

    from phi_client.contract.chat import (
        AssistantMessage,
        ChatCompletion,
        ChatCompletionChunk,
        ChatRequest,
        Choice,
        Usage,
    )
    from phi_client.contract.model_info import ModelInfo

__all__ = ["CLIENT_ID", "Dialect"]

CLIENT_ID: Final = "x-ms-client-request-id"
"""Request header with the caller's own id of a request."""

RETURN_CLIENT_ID: Final = "x-ms-return-client-request-id"
"""Request header that asks for it back (recorded on serverless)."""

_KNOWN_HEADER: Final = re.compile(
    # HTTP's own and what proxies add, the services' own, and what their official clients send.
    r"accept(-.*)?|authorization|cache-control|connection|content-.*|cookie|date|expect|forwarded|from|host|if-.*"
    r"|origin|pragma|priority|range|referer|sec-.*|te|trailer|transfer-encoding|upgrade(-.*)?|user-agent|via"
    r"|traceparent|tracestate|x-forwarded-.*|x-request-id|api-key|extra-parameters|azureml-.*|x-ms-.*|x-stainless-.*"
)
_MODEL_STATUS: Final = "ms-azureml-model-error-statuscode"
_MODEL_REASON: Final = "ms-azureml-model-error-reason"
# Reasons that an Envoy filter's source gives without a status of their own.
_STATUS_OF_REASON: Final = {"too_many_pending_request": 429, "model_not_ready": 503}
_WRAPPED: Final = 424
_STATUS: Final = re.compile(r"[1-5][0-9]{2}")


class Dialect(Facts):
    """One shape on the wire. An emulator changes an answer with `dataclasses.replace`."""

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

    def read_chat_request(
        self, headers: Mapping[str, str], body: bytes, *, route: str | None = None
    ) -> ChatRequest:
        """The request in `body`, validated as the service does, unknown keys treated by the policy.

        Raises:
            RefusedError: with the answer that the service gives.
        """
        from phi_client.contract.request_body import apply_policy, read_json, validated_request

        request = validated_request(read_json(body), extended=self.has_extensions)
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
        from phi_client.contract.chat import Usage

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
            "usage": Usage(**self.usage_members(completion.usage or Usage())),
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

    def usage_members(self, usage: Usage) -> dict[str, Any]:
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

    def write_chunk(self, chunk: ChatCompletionChunk) -> bytes:
        """The event that carries `chunk`."""
        return encode_event(dump_json(self.shape_chunk(chunk).to_wire(), sort_keys=self.sorted_keys))

    def shape_chunk(self, chunk: ChatCompletionChunk) -> ChatCompletionChunk:
        """`chunk` with all that this surface always sends."""
        return chunk

    def write_done(self) -> bytes:
        """The event that ends a stream."""
        return encode_event(DONE)

    def write_stream_error(self, message: str) -> bytes:
        """A failure after the stream began, as the containers report it (their source)."""
        return encode_event(message, name="error")

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
        return view_answer(value, "delta")

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
        from pydantic import ValidationError

        from phi_client.contract.model_info import ModelInfo

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

    def unknown_deployment(self, name: str) -> Refusal:
        """What is said to a request for a model or a deployment that is not there; here no name is looked at."""
        del name
        return self.unknown_route

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ErrorBody:
        """What an answer of another status than 2xx says; `status` is the model's own behind a 424."""
        error = read_error_body(body)
        if status != _WRAPPED:
            return error
        named = get_header(headers, _MODEL_STATUS) or ""
        reason = get_header(headers, _MODEL_REASON) or ""
        inner = int(named) if _STATUS.fullmatch(named) else _STATUS_OF_REASON.get(reason, error.status)
        return replace(error, message=error.message or reason, status=inner)

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
        known = self.api_version
        if known is None or given in known.accepted:
            return
        refusal = known.missing if given is None else known.unknown
        if refusal is not None:
            raise RefusedError(refusal)

    def at_version(self, given: str | None) -> Self:
        """This surface as it answers to an `api-version`."""
        known = self.api_version
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
