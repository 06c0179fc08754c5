"""What a credential must be able to do, and of which kind it must be.

It must not know where tokens go, nor import azure-identity.
"""

import inspect
from typing import Any, Protocol

from phi_client._call.errors import ConfigurationError

__all__ = ["AccessToken", "AsyncTokenCredential", "TokenCredential", "check_credential"]


class AccessToken(Protocol):
    """What a credential gives: `expires_on` is a Unix time in seconds."""

    @property
    def token(self) -> str: ...
    @property
    def expires_on(self) -> int: ...


class TokenCredential(Protocol):
    """A sync credential, such as those of `azure.identity`."""

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """A token for `scopes`."""
        ...


class AsyncTokenCredential(Protocol):
    """An async credential, such as those of `azure.identity.aio`."""

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """A token for `scopes`."""
        ...


def check_credential(credential: object, *, is_async: bool) -> None:
    """Refuse a credential that is none, or is of the other kind than the client.

    Raises:
        ConfigurationError: the message says which one to pass.
    """
    get_token = getattr(credential, "get_token", None)
    if not callable(get_token):
        raise ConfigurationError("`credential` has no `get_token`: pass a credential of azure-identity")
    if inspect.iscoroutinefunction(get_token) != is_async:
        right = "azure.identity.aio" if is_async else "azure.identity"
        client = "AsyncPhiClient" if is_async else "PhiClient"
        raise ConfigurationError(f"`{client}` needs a credential of `{right}`")


class Credentials:
    def __init__(self, tokens: Any, credential: Any) -> None:
        self.tokens = tokens
        self._c = credential

    def ask(self, step: Any) -> Any:
        from phi_client._wire.token_auth import default_credential

        self._c = self._c or default_credential()
        try:
            token = self._c.get_token(self.tokens.scope, **step.way.arguments)
        except Exception as error:
            return self.tokens.without(self._c, error, step.way)
        return self.tokens.keep(token)


class AsyncCredentials(Credentials):
    async def ask(self, step: Any) -> Any:
        if self._c is None:
            return super().ask(step)
        try:
            token = await self._c.get_token(self.tokens.scope, **step.way.arguments)
        except Exception as error:
            return self.tokens.without(self._c, error, step.way)
        return self.tokens.keep(token)
