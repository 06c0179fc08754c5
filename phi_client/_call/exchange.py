"""One exchange, without I/O: messages and options become a request; what came back becomes a model or an error.

It must not send anything, and must not know whether it is sync or async.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode

from phi_client._call.building import CompletionBuilder
from phi_client._call.completion import Completion, Origin, completion_of
from phi_client._call.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    ConfigurationError,
    ContextLengthError,
    Hop,
    ModelContextLengthError,
    ModelError,
    class_for_status,
)
from phi_client._call.interruptions import ReasoningTruncatedError
from phi_client._call.log import safe_url
from phi_client._call.messages import sent_messages
from phi_client._call.options import CallOptions, Timeout, merge_headers
from phi_client._call.retrying import read_retry_after
from phi_client._call.secrets import Secrets
from phi_client._call.targets import Target, chosen_model
from phi_client._call.version import version
from phi_client.contract.dialects import CLIENT_ID, Dialect
from phi_client.contract.emulator import EMULATOR_ENDPOINT
from phi_client.contract.error_body import ErrorBody, read_misfit
from phi_client.contract.events import DONE, EventDecoder, are_events
from phi_client.contract.wire import ContractError, WireRequest, get_header

if TYPE_CHECKING:
    from phi_client._call.request_types import Message
    from phi_client.contract.model_info import ModelInfo

__all__ = [
    "MAX_ANSWER_BYTES",
    "Answer",
    "Exchange",
    "chat_exchange",
    "info_exchange",
    "is_success",
]

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Far more than 128k tokens of any text, and a bound on what a broken server can make a client hold."""


def is_success(status: int) -> bool:
    """True for 2xx."""
    return 200 <= status < 300  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the head, its headers without secrets, and the body as it came.

    `secrets` is what must not be shown of the request, `hops` are the endpoints that were tried before.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    secrets: Secrets = field(default=Secrets(), repr=False)
    hops: tuple[Hop, ...] = ()

    @property
    def is_success(self) -> bool:
        """True for 2xx."""
        return is_success(self.status)

    @property
    def is_whole(self) -> bool:
        """True for an answer that is no stream of events, whatever was asked for."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind.endswith(("json", "html"))


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
    raises_truncation: bool
    names_emulator: bool = False

    def read_completion(self, answer: Answer) -> Completion:
        """The completion in `answer`.

        Raises:
            APIStatusError: the service refused or failed.
            APIResponseError: the answer does not fit the contract.
            ReasoningTruncatedError: the budget ended inside the reasoning.
        """
        self.check_status(answer)
        origin = self.origin(answer)
        if self.route != self.dialect.score_route and are_events(answer.body):
            return self._completion_of_events(answer, origin)
        try:
            chat = self.dialect.read_completion(answer.body, route=self.route)
        except ContractError as error:
            raise self.misfit(str(error), answer) from bare(error)
        if isinstance(chat, ErrorBody):
            # Judged before it is scrubbed: a prompt may hold the very words.
            error_class = ModelContextLengthError if chat.exceeds_context else ModelError
            chat = without_echoes(chat, answer.secrets)
            raise error_class(
                chat.message or "the engine failed",
                status_code=answer.status,
                body=chat,
                request_id=origin.request_id,
                headers=origin.headers,
                advice=f"`/score` reports the engine's status {chat.status}" if chat.status else "",
            )
        if not chat.choices:
            raise self.misfit("the answer has no choice", answer)
        completion = completion_of(chat, origin)
        self.check_truncation(completion)
        return completion

    def _completion_of_events(self, answer: Answer, origin: Origin) -> Completion:
        """The completion in an answer of a service that streams, whatever was asked for."""
        builder, decoder = CompletionBuilder(origin), EventDecoder()
        try:
            for event in [*decoder.feed(answer.body), *decoder.flush()]:
                if event.data.strip() == DONE:
                    break
                read = self.dialect.read_event(event)
                if isinstance(read, ErrorBody):
                    raise self.misfit("the answer is a stream with an error", answer, read)
                builder.add(read)
        except ContractError as error:
            raise self.misfit(str(error), answer) from bare(error)
        if builder.finish_reason is None:
            raise self.misfit("the answer is a stream without an end", answer)
        completion = builder.build()
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
            raise self.misfit(str(error), answer) from bare(error)

    def check_status(self, answer: Answer) -> None:
        """Raise for any other status than 2xx.

        Raises:
            APIStatusError: of the class that fits the status.
        """
        if answer.is_success:
            return
        body = self.dialect.read_error(answer.status, answer.headers, answer.body)
        # Judged before it is scrubbed: a prompt may hold the very words.
        error_class = class_for_status(answer.status, body)
        body = without_echoes(body, answer.secrets)
        raise error_class(
            body.message or "the service gave no reason",
            status_code=answer.status,
            body=body,
            request_id=self.request_id(answer.headers),
            retry_after=read_retry_after(answer.headers),
            headers=dict(answer.headers),
            advice=self._advice(answer.status, body, error_class),
        )

    def misfit(self, reason: str, answer: Answer, said: ErrorBody | None = None) -> APIResponseError:
        """The error for a 2xx answer that does not fit, with what the service said instead."""
        said = said or read_misfit(answer.body)
        return APIResponseError(
            reason,
            request_id=self.request_id(answer.headers),
            body=None if said is None else without_echoes(said, answer.secrets),
            status_code=answer.status,
            headers=answer.headers,
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

    def lasting(self, error: APIConnectionError, *, is_closed: bool) -> APIConnectionError:
        """`error` as it came, or, where trying again is of no use, one that says so and what to do."""
        if is_closed:
            reason = "the client was closed while the call ran"
        elif error.is_refused and self.names_emulator:
            reason = f"nothing listens at {safe_url(self.endpoint)}: run `phi-emulator serve` first"
        else:
            return error
        lasting = APIConnectionError(reason, request_sent=error.request_sent, is_refused=error.is_refused)
        lasting.is_lasting = True
        return lasting

    def origin(self, answer: Answer) -> Origin:
        """Where `answer` came from."""
        headers = answer.headers
        return Origin(
            self.request_id(headers),
            self.client_request_id,
            self.endpoint,
            dict(headers),
            answer.hops,
            answer.status,
        )

    @property
    def client_request_id(self) -> str:
        """The id under which this exchange is sent, the same for all attempts; a caller's own header wins."""
        return get_header(self.headers, CLIENT_ID) or ""

    def request_id(self, headers: Mapping[str, str]) -> str | None:
        """The id by which the service knows this exchange."""
        return self.dialect.read_request_id(headers)

    def _advice(self, status: int, body: ErrorBody, error_class: type[APIStatusError]) -> str:
        """What to do, where a status alone leaves people guessing."""
        if 300 <= status < 400:  # noqa: PLR2004
            return "redirects are not followed: give the final URL as the endpoint"
        routes = ", ".join(f"`{route}`" for route in self.dialect.chat_routes)
        if issubclass(error_class, ContextLengthError):
            return (
                "the prompt and the budget don't fit the context: shorten the prompt, or lower `max_tokens`"
            )
        known: dict[int, str] = {
            401: "check `api_key`, or the credential's access to this endpoint",
            404: f"tried {safe_url(self.url)}; {self.dialect.name} has the chat routes {routes}",
            422: _summary(body.details),
            408: "the service gave up: raise the deployment's `request_timeout_ms`, or lower `max_tokens`",
            424: f"the model's own status is {body.status}" if body.status else "the model failed",
        }
        return known.get(status, "")


def without_echoes(body: ErrorBody, secrets: Secrets) -> ErrorBody:
    """`body` without the secrets and prompts of the request, in whatever part of it they are repeated."""
    said = secrets.scrub([body.message, body.code, body.type, body.details, body.innererror, body.raw])
    message, code, kind, details, innererror, raw = said or ("", None, None, None, None, "")
    return replace(
        body, message=message, code=code, type=kind, details=details, innererror=innererror, raw=raw
    )


def bare(error: ContractError) -> ContractError:
    """`error` without its frames and causes, which hold the whole body."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def chat_exchange(
    target: Target, *, options: CallOptions, messages: str | Sequence[Message], stream: bool, call_id: str
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
    return _exchange(target, wire, options, call_id, request)


def info_exchange(target: Target, *, options: CallOptions, call_id: str) -> Exchange:
    """The exchange that asks which model answers."""
    wire = target.endpoint.dialect.write_info_request(
        api_version=target.api_version, model=options.model or target.model
    )
    return _exchange(target, wire, options, call_id)


def _exchange(
    target: Target,
    wire: WireRequest,
    options: CallOptions,
    call_id: str,
    request: Mapping[str, Any] | None = None,
) -> Exchange:
    query = f"?{urlencode(wire.query)}" if wire.query else ""
    own = {
        "User-Agent": f"phi-client/{version()} Python/{sys.version_info.major}.{sys.version_info.minor}",
        # The same for all attempts, so that a support case finds them together.
        CLIENT_ID: call_id,
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
        raises_truncation=options.on_truncation == "raise",
        names_emulator=target.endpoint.is_emulator or target.endpoint.base_url == EMULATOR_ENDPOINT,
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
