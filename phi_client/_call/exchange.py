"""One exchange, without I/O: messages and options become a request; what came back becomes a model or an error.

It must not send anything, and must not know whether it is sync or async.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode

from phi_client._call.completion import Completion, Origin, completion_of
from phi_client._call.errors import APIResponseError, ConfigurationError, Hop, ModelError, class_for_status
from phi_client._call.interruptions import ReasoningTruncatedError
from phi_client._call.log import safe_url
from phi_client._call.messages import as_messages, fields_of, sent_messages
from phi_client._call.options import CallOptions, Timeout, merge_headers
from phi_client._call.redaction import redact_prompts
from phi_client._call.retrying import read_retry_after
from phi_client._call.targets import Target, chosen_model
from phi_client._call.version import version
from phi_client.contract.dialects import CLIENT_ID, Dialect
from phi_client.contract.error_body import ErrorBody
from phi_client.contract.wire import ContractError, WireRequest, get_header

if TYPE_CHECKING:
    from phi_client._call.request_types import Message
    from phi_client.contract.model_info import ModelInfo

__all__ = [
    "MAX_ANSWER_BYTES",
    "Answer",
    "Exchange",
    "as_messages",
    "chat_exchange",
    "fields_of",
    "info_exchange",
]

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Far more than 128k tokens of any text, and a bound on what a broken server can make a client hold."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole, without an echo of the credential."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        """True for 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request that is ready but for its credential, and how to read what it brings.

    `request` is the JSON object of a chat request, without the form that `/score` gives it.
    """

    dialect: Dialect
    method: str
    url: str
    route: str
    endpoint: str
    headers: dict[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    request: Mapping[str, Any] | None = field(default=None, repr=False)
    timeout: Timeout
    max_retries: int
    deadline_s: float | None
    raises_truncation: bool
    hops: tuple[Hop, ...] = ()

    def read_completion(self, answer: Answer) -> Completion:
        """The completion in `answer`.

        Raises:
            APIStatusError: the service refused or failed.
            APIResponseError: the answer does not fit the contract.
            ReasoningTruncatedError: the budget ended inside the reasoning.
        """
        self.check_status(answer)
        origin = self.origin(answer.headers)
        try:
            chat = self.dialect.read_completion(answer.body, route=self.route)
        except ContractError as error:
            raise APIResponseError(str(error), request_id=origin.request_id) from error
        if isinstance(chat, ErrorBody):
            body = self.without_echoes(chat)
            raise ModelError(
                body.message or "the engine failed",
                status_code=answer.status,
                body=body,
                request_id=origin.request_id,
                headers=origin.headers,
                advice=f"`/score` reports the engine's status {chat.status}",
            )
        if not chat.choices:
            raise APIResponseError("the answer has no choice", request_id=origin.request_id)
        completion = completion_of(chat, origin)
        self.check_truncation(completion)
        return completion

    def read_info(self, answer: Answer) -> ModelInfo:
        """The model that `answer` names.

        Raises:
            APIStatusError: the service refused or failed.
            APIResponseError: the answer does not fit the contract.
        """
        self.check_status(answer)
        try:
            return self.dialect.read_info(answer.body)
        except ContractError as error:
            raise APIResponseError(str(error), request_id=self.request_id(answer.headers)) from error

    def check_status(self, answer: Answer) -> None:
        """Raise for any other status than 2xx.

        Raises:
            APIStatusError: of the class that fits the status.
        """
        if answer.is_success:
            return
        body = self.without_echoes(self.dialect.read_error(answer.status, answer.headers, answer.body))
        error_class = class_for_status(answer.status, body)
        raise error_class(
            body.message or "the service gave no reason",
            status_code=answer.status,
            body=body,
            request_id=self.request_id(answer.headers),
            retry_after=read_retry_after(answer.headers),
            headers=dict(answer.headers),
            advice=self._advice(answer.status, body),
        )

    def check_truncation(self, completion: Completion) -> None:
        """Raise for a completion without an answer, unless the caller takes it as it is.

        Raises:
            ReasoningTruncatedError: the budget ended inside the reasoning.
        """
        if self.raises_truncation and completion.ends_in_reasoning:
            raise ReasoningTruncatedError(completion)

    def check_size(self, size: int) -> None:
        """Raise for an answer that grows beyond all bounds.

        Raises:
            APIResponseError: it is longer than `MAX_ANSWER_BYTES`.
        """
        if size > MAX_ANSWER_BYTES:
            raise APIResponseError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")

    def origin(self, headers: Mapping[str, str]) -> Origin:
        """Where the answer with these headers came from."""
        return Origin(
            self.request_id(headers), self.client_request_id, self.endpoint, dict(headers), self.hops
        )

    @property
    def client_request_id(self) -> str:
        """The id under which this exchange is sent, the same for all attempts; a caller's own header wins."""
        return get_header(self.headers, CLIENT_ID) or ""

    def request_id(self, headers: Mapping[str, str]) -> str | None:
        """The id by which the service knows this exchange."""
        return self.dialect.read_request_id(headers)

    def without_echoes(self, body: ErrorBody) -> ErrorBody:
        """`body` with a message that does not repeat the prompt."""
        return replace(body, message=redact_prompts(body.message, self.content))

    def _advice(self, status: int, body: ErrorBody) -> str:
        """What to do, where a status alone leaves people guessing."""
        if 300 <= status < 400:  # noqa: PLR2004
            return "redirects are not followed: give the final URL as the endpoint"
        routes = ", ".join(f"`{route}`" for route in self.dialect.chat_routes)
        known: dict[int, str] = {
            401: "check `api_key`, or the credential's access to this endpoint",
            404: f"tried {safe_url(self.url)}; {self.dialect.name} has the chat routes {routes}",
            422: _summary(body.details),
            408: "the service gave up: raise the deployment's `request_timeout_ms`, or lower `max_tokens`",
            424: f"the model's own status is {body.status}" if body.status else "the model failed",
        }
        return known.get(status, "")


def chat_exchange(
    target: Target,
    hops: tuple[Hop, ...] = (),
    *,
    options: CallOptions,
    messages: str | Sequence[Message],
    stream: bool,
) -> Exchange:
    """The exchange for one chat completion.

    Raises:
        ConfigurationError: the options or the endpoint can't work for this.
    """
    endpoint = target.endpoint
    if stream and endpoint.is_score:
        raise ConfigurationError(
            "the endpoint is the `/score` route, which never streams: use `complete()`, or give the endpoint "
            "without `/score` to use the chat route"
        )
    fields = options.body_fields()
    model = chosen_model(target, options)
    if model is not None:
        fields["model"] = model
    if stream:
        fields["stream"] = True
        if endpoint.dialect.streams_usage == "on request":
            fields.setdefault("stream_options", {"include_usage": True})
    request = {"messages": sent_messages(messages), **fields}
    try:
        wire = endpoint.dialect.write_chat_request(
            request, route=endpoint.route, api_version=target.api_version, deployment=target.deployment
        )
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the messages or options can't be sent: {error}") from error
    return _exchange(target, wire, options, hops, request)


def info_exchange(target: Target, hops: tuple[Hop, ...] = (), *, options: CallOptions) -> Exchange:
    """The exchange that asks which model answers."""
    wire = target.endpoint.dialect.write_info_request(
        api_version=target.api_version, model=options.model or target.model
    )
    return _exchange(target, wire, options, hops)


def _exchange(
    target: Target,
    wire: WireRequest,
    options: CallOptions,
    hops: tuple[Hop, ...],
    request: Mapping[str, Any] | None = None,
) -> Exchange:
    query = f"?{urlencode(wire.query)}" if wire.query else ""
    own = {
        "User-Agent": f"phi-client/{version()} Python/{sys.version_info.major}.{sys.version_info.minor}",
        # The same for all attempts, so that a support case finds them together.
        CLIENT_ID: str(uuid.uuid4()),
        **wire.headers,
    }
    return Exchange(
        dialect=target.endpoint.dialect,
        method=wire.method,
        url=f"{target.endpoint.base_url}{wire.path}{query}",
        route=wire.path,
        endpoint=target.endpoint.base_url,
        headers=merge_headers(own, options.headers),
        content=wire.body,
        request=request,
        timeout=options.timeout,
        max_retries=options.max_retries,
        deadline_s=options.deadline_s,
        raises_truncation=options.on_truncation == "raise",
        hops=hops,
    )


def _summary(details: object) -> str:
    """Where and what of the first validation errors, without the values, which are the caller's."""
    items = cast("list[object]", details) if isinstance(details, list) else []
    said: list[str] = []
    for item in items[:3]:
        if isinstance(item, dict):
            found = cast("dict[str, Any]", item)
            where = ".".join(str(part) for part in found.get("loc") or () if part != "body")
            said.append(f"{where}: {found.get('msg')}" if where else str(found.get("msg")))
    return "; ".join(said)
