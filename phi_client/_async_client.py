"""`AsyncPhiClient`: the async shell. Its twin is `_client.py`, the same without `await`.

It must not decide anything: what to send and what came back is the exchange's, when to try again the policy's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, NoReturn, Self, TypeVar, Unpack

from phi_client._async_helpers import AsyncHelpers
from phi_client._call.clock import SYSTEM_CLOCK
from phi_client._call.completion import Completion
from phi_client._call.errors import PhiError
from phi_client._call.exchange import Answer, Exchange, chat_exchange, info_exchange
from phi_client._call.flow import Call, Lane, Leg, MakeExchange
from phi_client._call.log import apply_log_level, log_answer, log_request, warn_of_retirement
from phi_client._call.options import DEFAULT_MAX_RETRIES, CompletionOptions, PhaseLimits, Timeout
from phi_client._call.redaction import redact_secrets
from phi_client._call.retrying import RetryBudget, RetryHook, RetryPolicy
from phi_client._call.targets import Target, resolve_settings
from phi_client._call.wrong_words import missing_attribute
from phi_client._streams import AsyncChatStream, OpenStream, StreamReader
from phi_client._wire.auth import auth_for
from phi_client._wire.http import (
    AsyncClient,
    AsyncPool,
    Limits,
    Response,
    check_client,
    kept_headers,
    parsed_url,
    secrets_of,
    translated_errors,
)
from phi_client.contract.error_body import MAX_ERROR_BYTES

if TYPE_CHECKING:
    from phi_client._call.request_types import Message
    from phi_client._call.targets import KeyCredential
    from phi_client._call.telemetry import AttemptTrace
    from phi_client._map.work import Start
    from phi_client._wire.credentials import AsyncTokenCredential
    from phi_client.contract.model_info import ModelInfo

__all__ = ["AsyncPhiClient"]

_T = TypeVar("_T")


class AsyncPhiClient(AsyncHelpers):
    """Client for Phi-4-mini-reasoning on Azure, or on the local emulator.

    One client may serve any number of tasks, and several event loops one after the other or at once, each with
    connections of its own; so it goes on working in a forked child.

    Args:
        endpoint: URL of a deployment as pasted from the portal, or `emulator`; else `PHI_ENDPOINT`. Several, in a
            list or separated by spaces, are tried in order: where one fails in a way that is worth a retry, the next
            is asked at once. Then `api_key` is a list too, or as many words (`None`, in a text `-`, for none), and
            `dialect`, `model`, `deployment`, `api_version` and `credential_scope` are one for all, or as many.
        api_key: the deployment's key, as text or an `AzureKeyCredential`; else `PHI_API_KEY`. Without either, a token
            of Entra ID is used.
        credential: an async credential (`azure.identity.aio`), instead of a key; an `AzureKeyCredential` is a key.
        dialect: what a host that is not Azure's speaks: `serverless`, `managed_compute`, `openai_v1` or
            `foundry_models`; else `PHI_DIALECT`.
        model: the body's `model`, on a Foundry resource the deployment's name; one-model deployments don't need
            it; a call may have its own; else `PHI_MODEL`.
        deployment: routes around the traffic split of managed compute; else `PHI_DEPLOYMENT`.
        api_version: the `api-version`; else `PHI_API_VERSION`, else the URL's, else the dialect's.
        credential_scope: what a token is asked for, such as `https://ml.azure.us/.default` in another cloud; else
            `PHI_CREDENTIAL_SCOPE`, else the dialect's.
        allow_http: take plain `http` to a container or a gateway of your own, over which key and prompts travel
            unencrypted; else `PHI_ALLOW_HTTP`.
        fallback_on: failures that go on to the next endpoint beside those worth a retry and tokens that can't be had:
            HTTP statuses such as 401 or 404, `timeout`, and `response` for an answer that can't be read; else
            `PHI_FALLBACK_ON`.
        timeout: seconds, or limits by phase; see `Timeout`.
        max_retries: tries after the first.
        deadline: seconds for one call, retries included.
        http_client: an `httpx.AsyncClient` to use; it stays yours to close.
        headers: added to each request.
        on_retry: called with a `RetryEvent` before each retry and each hop; what it raises ends the call.
        **unknown: there are no others; what is given is refused with the right word for it.

    Raises:
        ConfigurationError: an argument can't work; the message says what to set.
    """

    def __init__(
        self,
        endpoint: str | Sequence[str] | None = None,
        api_key: str | KeyCredential | Sequence[str | KeyCredential | None] | None = None,
        *,
        credential: AsyncTokenCredential | KeyCredential | None = None,
        dialect: str | Sequence[str | None] | None = None,
        model: str | Sequence[str | None] | None = None,
        deployment: str | Sequence[str | None] | None = None,
        api_version: str | Sequence[str | None] | None = None,
        credential_scope: str | Sequence[str | None] | None = None,
        allow_http: bool | None = None,
        fallback_on: Collection[int | str] | None = None,
        timeout: Timeout | PhaseLimits | float | None = Timeout(),  # noqa: B008  # frozen
        max_retries: int = DEFAULT_MAX_RETRIES,
        deadline: float | None = None,
        http_client: AsyncClient | None = None,
        headers: Mapping[str, str] | None = None,
        on_retry: RetryHook | None = None,
        **unknown: Never,
    ) -> None:
        apply_log_level(os.environ)
        self._settings = resolve_settings(
            endpoint=endpoint,
            api_key=api_key,
            credential=credential,
            dialect=dialect,
            model=model,
            deployment=deployment,
            api_version=api_version,
            credential_scope=credential_scope,
            allow_http=allow_http,
            fallback_on=fallback_on,
            on_retry=on_retry,
            unknown=unknown,
            options={
                "timeout": timeout,
                "max_retries": max_retries,
                "deadline": deadline,
                "headers": headers,
            },
            environ=os.environ,
        )
        check_client(http_client, AsyncClient)
        self._lanes = [
            _lane(target, self._settings.credential, http_client) for target in self._settings.targets
        ]
        self._owns_pools = True
        self._on_retry = on_retry
        self._clock = SYSTEM_CLOCK

    async def complete(
        self, messages: str | Sequence[Message], **options: Unpack[CompletionOptions]
    ) -> Completion:
        """One chat completion.

        Args:
            messages: a prompt, or messages with `role` and `content`; an earlier answer's reasoning is not
                sent back.
            **options: see `CompletionOptions`.

        Raises:
            ConfigurationError: an option can't work; nothing was sent.
            CredentialError: no token could be had; nothing was sent.
            APIConnectionError: there is no complete answer.
            APIStatusError: the service refused or failed.
            APIResponseError: the answer does not fit the contract.
            ReasoningTruncatedError: the budget ended inside the reasoning.
        """
        make = self._chat(messages, options, stream=False)
        return await self._answered(make, Exchange.read_completion)

    def stream(
        self, messages: str | Sequence[Message], **options: Unpack[CompletionOptions]
    ) -> AsyncChatStream:
        """A chat completion as it arrives: use it in an `async with` statement and iterate over it.

        Arguments and errors are those of `complete`; the request is sent when the `async with` statement begins.

        Raises:
            ConfigurationError: an option can't work, or the endpoint is `/score`, which never streams.
        """
        make = self._chat(messages, options, stream=True)
        first = make(self._lanes[0].target, ())
        return AsyncChatStream(lambda: self._open_stream(make, first))

    async def get_model_info(self) -> ModelInfo:
        """Which model answers. The newer image of managed compute has no such route and answers 404 or 424.

        Raises:
            CredentialError: no token could be had; nothing was sent.
            APIConnectionError: there is no complete answer.
            APIStatusError: the service refused or failed.
            APIResponseError: the answer does not fit the contract.
        """
        make = partial(info_exchange, options=self._settings.options)
        return await self._answered(make, Exchange.read_info)

    def with_options(self, **options: Unpack[CompletionOptions]) -> Self:
        """A copy with other defaults that shares the connections; closing the copy leaves them open.

        Raises:
            ConfigurationError: an option can't work.
        """
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        copy._settings = self._settings.with_options(options)
        copy._owns_pools = False
        return copy

    async def close(self) -> None:
        """Close the connections, but not those of an `http_client` that was passed in."""
        if self._owns_pools:
            for lane in self._lanes:
                await lane.pool.aclose()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    def __repr__(self) -> str:
        endpoints = " ".join(lane.target.endpoint.base_url for lane in self._lanes)
        return (
            f"{type(self).__name__}({endpoints!r}, dialect={self._lanes[0].target.endpoint.dialect.name!r})"
        )

    if not TYPE_CHECKING:  # for type checkers an attribute that is not there must stay a mistake

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(missing_attribute(name, right=dir(type(self))))

    def _chat(
        self, messages: str | Sequence[Message], options: CompletionOptions, *, stream: bool
    ) -> MakeExchange:
        merged = self._settings.options.merged(options)
        return partial(chat_exchange, options=merged, messages=messages, stream=stream)

    async def _carry(self, start: Start[Any]) -> Completion:
        watched = self.with_options()
        watched._on_retry = start.watched(self._on_retry)
        make = watched._chat(start.messages, start.options, stream=False)
        return await watched._answered(make, start.read)

    def _call(self, make: MakeExchange, first: Exchange | None = None) -> Call[AsyncPool]:
        return Call(self._lanes, make, clock=self._clock, on_retry=self._on_retry, first=first)

    async def _answered(self, make: MakeExchange, read: Callable[[Exchange, Answer], _T]) -> _T:
        with self._call(make) as call:
            while True:
                leg = call.leg()
                try:
                    return call.ended(await leg.policy.run_async(partial(self._attempt, leg, read)))
                except PhiError as error:
                    if not call.goes_on(error):
                        raise

    async def _attempt(self, leg: Leg[AsyncPool], read: Callable[[Exchange, Answer], _T]) -> _T:
        limits = Limits(leg.exchange.timeout, leg.policy.remaining_s)
        with leg.attempt() as trace:
            response = await self._send(leg, limits, trace)
            try:
                return read(leg.exchange, await _read_answer(response, leg.exchange, limits, leg.policy))
            finally:
                await response.aclose()

    async def _open_stream(self, make: MakeExchange, first: Exchange) -> OpenStream:
        with self._call(make, first) as call:
            while True:
                leg = call.leg()
                try:
                    return await leg.policy.run_async(partial(self._attempt_stream, leg))
                except PhiError as error:
                    if not call.goes_on(error):
                        raise

    async def _attempt_stream(self, leg: Leg[AsyncPool]) -> OpenStream:
        exchange = leg.exchange
        limits = Limits(exchange.timeout, leg.policy.remaining_s)
        with leg.attempt() as trace:
            response = await self._send(leg, limits, trace)
            try:
                if not response.is_success:
                    exchange.check_status(await _read_answer(response, exchange, limits, leg.policy))
                secrets = secrets_of(response.request)
                origin = exchange.origin(kept_headers(response, secrets))
                reader = StreamReader(exchange, origin, self._clock, secrets)
                return OpenStream(response, reader, leg.policy, limits, leg.trace)
            except BaseException:
                await response.aclose()
                raise

    async def _send(self, leg: Leg[AsyncPool], limits: Limits, trace: AttemptTrace | None) -> Response:
        exchange, http = leg.exchange, leg.lane.pool.get()
        log_request(exchange.method, exchange.url, exchange.content, exchange.client_request_id)
        with translated_errors(limits):
            request = http.build_request(
                exchange.method,
                parsed_url(exchange.url),
                headers=exchange.headers,
                content=exchange.content,
                timeout=limits.for_http(),
            )
            if trace is not None:
                trace.inject(request.headers)
            response = await http.send(request, auth=leg.lane.auth, stream=True, follow_redirects=False)
        if trace is not None:
            trace.note(response.status_code, response.headers)
        request_id = exchange.request_id(response.headers)
        log_answer(exchange.url, response.status_code, request_id, exchange.client_request_id)
        return response


def _lane(
    target: Target, credential: AsyncTokenCredential | None, given: AsyncClient | None
) -> Lane[AsyncPool]:
    warn_of_retirement(target.endpoint.dialect.retirement)
    auth = auth_for(target, credential, is_async=True)
    endpoint = target.endpoint
    pool = AsyncPool(given, is_loopback=endpoint.is_loopback, speaks_tls=endpoint.speaks_tls)
    return Lane(target, auth, pool, RetryBudget())


async def _read_answer(response: Response, exchange: Exchange, limits: Limits, policy: RetryPolicy) -> Answer:
    """The whole answer; of an error no more than is looked at."""
    body = bytearray()
    with translated_errors(limits):
        async for data in response.aiter_bytes():
            body += data
            policy.check_deadline()
            if not response.is_success and len(body) > MAX_ERROR_BYTES:
                break
            exchange.check_size(len(body))
    # Services echo what they were sent; nothing that is kept or raised may hold the credential.
    secrets = secrets_of(response.request)
    said = redact_secrets(bytes(body), secrets)
    return Answer(response.status_code, kept_headers(response, secrets), said)
