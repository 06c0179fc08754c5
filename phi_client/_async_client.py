"""`AsyncPhiClient`: the async shell. Its twin is `_client.py`, the same without `await`.

It must not decide anything: a call says what to send, and a carrier sends it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, Self, TypeVar, Unpack

from phi_client._async_helpers import AsyncHelpers
from phi_client._async_stream import AsyncChatStream
from phi_client._call.completion import Completion
from phi_client._call.exchange import Answer, Exchange
from phi_client._call.flow import Call, Lane
from phi_client._call.log import apply_log_level
from phi_client._call.options import DEFAULT_MAX_RETRIES, CompletionOptions, PhaseLimits, Timeout
from phi_client._call.retrying import RetryHook
from phi_client._call.targets import Target, resolve_settings
from phi_client._wire.async_driving import AsyncCarrier
from phi_client._wire.connections import AsyncClient, AsyncConnections, check_client

if TYPE_CHECKING:
    from phi_client._call.deadline import Deadline
    from phi_client._call.request_types import Message
    from phi_client._call.steps import Watcher
    from phi_client._call.targets import KeyCredential
    from phi_client._call.tokens import AsyncTokenCredential
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
        on_retry: called with a `RetryEvent` before each retry and each hop; what it raises ends the call, in a `map`
            the item's.
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
        settings = resolve_settings(
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
        lanes = [_lane(target, settings.credential, http_client) for target in settings.targets]
        self._set_up(settings, lanes, on_retry)

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
        return await self._answer(messages, options)

    def stream(
        self, messages: str | Sequence[Message], **options: Unpack[CompletionOptions]
    ) -> AsyncChatStream:
        """A chat completion as it arrives: use it in an `async with` statement and iterate over it.

        Arguments and errors are those of `complete`; the request is sent when the `async with` statement begins.

        Raises:
            ConfigurationError: an option can't work, or the endpoint is `/score`, which never streams.
        """
        return AsyncChatStream(self._chat(messages, options, stream=True), self._clock)

    async def get_model_info(self, **options: Unpack[CompletionOptions]) -> ModelInfo:
        """Which model answers. The newer image of managed compute has no such route and answers 404 or 424.

        Args:
            **options: see `CompletionOptions`; those of time, retries and headers count.

        Raises:
            CredentialError: no token could be had; nothing was sent.
            APIConnectionError: there is no complete answer.
            APIStatusError: the service refused or failed.
            APIResponseError: the answer does not fit the contract.
        """
        return await self._carried(self._info(options), Exchange.read_info)

    async def close(self) -> None:
        """Close the connections, but not those of an `http_client` that was passed in."""
        if self._owns_connections:
            for lane in self._lanes:
                await lane.connections.close()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def _answer(
        self,
        messages: str | Sequence[Message],
        options: CompletionOptions,
        *,
        deadline: Deadline | None = None,
        watcher: Watcher | None = None,
    ) -> Completion:
        call = self._chat(messages, options, deadline=deadline, watcher=watcher)
        return await self._carried(call, Exchange.read_completion)

    async def _carried(self, call: Call, read: Callable[[Exchange, Answer], _T]) -> _T:
        carrier = AsyncCarrier(self._clock)
        try:
            return await carrier.carry(call.answer(read))
        finally:
            await carrier.close()

    def _for_map(self) -> Self:
        # Connections of their own can be cut without harm to other calls; a caller's client can't.
        copy = self._copy()
        copy._lanes = [replace(lane, connections=lane.connections.twin()) for lane in self._lanes]
        copy._owns_connections = True
        return copy

    async def _cut(self) -> None:
        for lane in self._lanes:
            lane.connections.cut()
        await self.close()


def _lane(target: Target, credential: Any, given: AsyncClient | None) -> Lane:
    connections = AsyncConnections(given, target.endpoint)
    if target.api_key is not None:
        return Lane(target, connections)
    from phi_client._call.tokens import Tokens  # noqa: PLC0415  # a key needs none of this
    from phi_client._wire.credentials import AsyncCredentials, check_credential  # noqa: PLC0415

    if credential is not None:
        check_credential(credential, is_async=True)
    credentials = AsyncCredentials(Tokens(target.scope), credential)
    return Lane(target, connections, credentials, credentials.tokens)
