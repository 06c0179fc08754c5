"""`PhiClient`: the sync shell. Its twin is `_async_client.py`, the same with `await`.

It must not decide anything: what to send and what came back is the exchange's, when to try again the policy's.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, Unpack

from phi_client._auth import TokenCredential, auth_for
from phi_client._completion import Completion
from phi_client._exchange import Answer, Exchange, Message, chat_exchange, info_exchange
from phi_client._http import (
    Client,
    Limits,
    Response,
    check_client,
    new_client,
    translated_errors,
)
from phi_client._logging import apply_log_level, log_answer
from phi_client._options import DEFAULT_MAX_RETRIES, CompletionOptions, Timeout, resolve_settings
from phi_client._retrying import SYSTEM_CLOCK, RetryPolicy
from phi_client._streams import ChatStream, OpenStream, StreamReader
from phi_client.contract.error_body import MAX_ERROR_BYTES
from phi_client.contract.model_info import ModelInfo

__all__ = ["PhiClient"]

_T = TypeVar("_T")


class PhiClient:
    """Client for Phi-4-mini-reasoning on Azure, or on the local emulator.

    Args:
        endpoint: URL of a deployment as pasted from the portal, or `emulator`; else `PHI_ENDPOINT`.
        api_key: the deployment's key; else `PHI_API_KEY`. Without either, a token of Entra ID is used.
        credential: a sync credential of azure-identity, instead of a key.
        dialect: what a host that is not Azure's speaks: `serverless` or `managed_compute`; else `PHI_DIALECT`.
        model: the body's `model`, which one-model deployments don't need; else `PHI_MODEL`.
        deployment: routes around the traffic split of managed compute; else `PHI_DEPLOYMENT`.
        api_version: the `api-version`; else `PHI_API_VERSION`, else the URL's, else the dialect's.
        timeout: seconds, or limits by phase; see `Timeout`.
        max_retries: tries after the first.
        deadline: seconds for one call, retries included.
        http_client: an `httpx.Client` to use; it stays yours to close.
        headers: added to each request.

    Raises:
        ConfigurationError: an argument can't work; the message says what to set.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        api_key: str | None = None,
        *,
        credential: TokenCredential | None = None,
        dialect: str | None = None,
        model: str | None = None,
        deployment: str | None = None,
        api_version: str | None = None,
        timeout: Timeout | float | None = Timeout(),  # noqa: B008  # frozen
        max_retries: int = DEFAULT_MAX_RETRIES,
        deadline: float | None = None,
        http_client: Client | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        apply_log_level(os.environ)
        self._settings = resolve_settings(
            endpoint=endpoint,
            api_key=api_key,
            has_credential=credential is not None,
            dialect=dialect,
            model=model,
            deployment=deployment,
            api_version=api_version,
            options={
                "timeout": timeout,
                "max_retries": max_retries,
                "deadline": deadline,
                "headers": headers,
            },
            environ=os.environ,
        )
        self._auth = auth_for(self._settings, credential, is_async=False)
        check_client(http_client, Client)
        self._http = http_client or new_client(is_loopback=self._settings.endpoint.is_loopback)
        self._owns_http = http_client is None
        self._clock = SYSTEM_CLOCK

    def complete(self, messages: str | Sequence[Message], **options: Unpack[CompletionOptions]) -> Completion:
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
        exchange = chat_exchange(self._settings, messages, options, stream=False)
        return self._answered(exchange, exchange.read_completion)

    def stream(self, messages: str | Sequence[Message], **options: Unpack[CompletionOptions]) -> ChatStream:
        """A chat completion as it arrives: use it in a `with` statement and iterate over it.

        Arguments and errors are those of `complete`; the request is sent when the `with` statement begins.

        Raises:
            ConfigurationError: an option can't work, or the endpoint is `/score`, which never streams.
        """
        exchange = chat_exchange(self._settings, messages, options, stream=True)
        return ChatStream(lambda: self._open_stream(exchange))

    def get_model_info(self) -> ModelInfo:
        """Which model answers. The newer image of managed compute has no such route and answers 404 or 424.

        Raises:
            CredentialError: no token could be had; nothing was sent.
            APIConnectionError: there is no complete answer.
            APIStatusError: the service refused or failed.
            APIResponseError: the answer does not fit the contract.
        """
        exchange = info_exchange(self._settings)
        return self._answered(exchange, exchange.read_info)

    def with_options(self, **options: Unpack[CompletionOptions]) -> Self:
        """A copy with other defaults that shares the connections; closing the copy leaves them open.

        Raises:
            ConfigurationError: an option can't work.
        """
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._settings = self._settings.with_options(options)
        copy._owns_http = False
        return copy

    def close(self) -> None:
        """Close the connections, but not those of an `http_client` that was passed in."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def __repr__(self) -> str:
        endpoint = self._settings.endpoint
        return f"{type(self).__name__}({endpoint.base_url!r}, dialect={endpoint.dialect.name!r})"

    def _answered(self, exchange: Exchange, read: Callable[[Answer], _T]) -> _T:
        policy = self._new_policy(exchange)
        return policy.retrying()(partial(self._attempt, exchange, policy, read))

    def _attempt(self, exchange: Exchange, policy: RetryPolicy, read: Callable[[Answer], _T]) -> _T:
        limits = Limits(exchange.timeout, policy.remaining_s)
        response = self._send(exchange, limits)
        try:
            return read(_read_answer(response, limits, policy))
        finally:
            response.close()

    def _open_stream(self, exchange: Exchange) -> OpenStream:
        policy = self._new_policy(exchange)
        return policy.retrying()(partial(self._attempt_stream, exchange, policy))

    def _attempt_stream(self, exchange: Exchange, policy: RetryPolicy) -> OpenStream:
        limits = Limits(exchange.timeout, policy.remaining_s)
        response = self._send(exchange, limits)
        try:
            if not response.is_success:
                exchange.check_status(_read_answer(response, limits, policy))
            reader = StreamReader(exchange, exchange.request_id(response.headers), self._clock)
            return OpenStream(response, reader, policy, limits)
        except BaseException:
            response.close()
            raise

    def _send(self, exchange: Exchange, limits: Limits) -> Response:
        with translated_errors(limits):
            request = self._http.build_request(
                exchange.method,
                exchange.url,
                headers=exchange.headers,
                content=exchange.content,
                timeout=limits.for_http(),
            )
            response = self._http.send(request, auth=self._auth, stream=True, follow_redirects=False)
        log_answer(exchange.method, exchange.url, response.status_code)
        return response

    def _new_policy(self, exchange: Exchange) -> RetryPolicy:
        return RetryPolicy(
            max_retries=exchange.max_retries, deadline_s=exchange.deadline_s, clock=self._clock
        )


def _read_answer(response: Response, limits: Limits, policy: RetryPolicy) -> Answer:
    """The whole answer; of an error no more than is looked at."""
    body = bytearray()
    with translated_errors(limits):
        for data in response.iter_bytes():
            body += data
            policy.check_deadline()
            if not response.is_success and len(body) > MAX_ERROR_BYTES:
                break
    return Answer(response.status_code, response.headers, bytes(body))
