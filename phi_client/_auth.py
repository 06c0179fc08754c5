"""How a request proves who sends it: a key, or a token of Entra ID.

It must not know options or retries, nor import azure-identity before a token is needed.
"""

import asyncio
import base64
import binascii
import inspect
import re
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final, Protocol, cast

from phi_client._http import Auth, Request, Response
from phi_client._settings import Target
from phi_client._sharing import ForkSafeLock, PerLoop
from phi_client.errors import ConfigurationError, CredentialError

__all__ = ["AsyncTokenCredential", "KeyAuth", "TokenAuth", "TokenCredential", "auth_for"]

REFRESH_BEFORE_S: Final = 300.0
"""A token is renewed this long before it expires, or at half of a shorter life; meanwhile the old one serves."""

COOL_DOWN_S: Final = 30.0
"""How long a token that is still good is used before a renewal that failed is tried again."""

_CLAIMS: Final = re.compile(r'\bclaims="([^"]*)"')
_UNAUTHORIZED: Final = 401


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


class KeyAuth(Auth):
    """Sets the header that carries the key; the same for sync and async."""

    def __init__(self, header: str, value: str) -> None:
        self._header = header
        self._value = value

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Add the key, and send."""
        request.headers[self._header] = self._value
        yield request


class TokenAuth(Auth):
    """Sets a bearer token, kept until it is about to expire; one is asked for at a time.

    Without a credential, `DefaultAzureCredential` of azure-identity is made when the first token is needed.
    A 401 that carries a claims challenge, or says that the token is invalid, gets one more try with a new
    token.

    Raises:
        CredentialError: (when a request is sent) no token could be had.
    """

    def __init__(
        self,
        credential: TokenCredential | AsyncTokenCredential | None,
        scope: str,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._credential = credential
        self._is_default = credential is None
        self._scope = scope
        self._now = now
        self._token: AccessToken | None = None
        self._renew_at = 0.0
        self._is_renewing = False
        self._lock = ForkSafeLock()
        self._async_lock = PerLoop(asyncio.Lock)

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Add a token, send, and try once more where a new token may help."""
        token = self._usable()
        if token is None:
            with self._lock:
                token = self._usable() or self._renew({})
        _set_bearer(request, token)
        response = yield request
        arguments = _renewal_of(response)
        if arguments is not None:
            with self._lock:
                newer = self._newer_than(token) or self._renew(arguments, must_be_new=True)
            _set_bearer(request, newer)
            yield request

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """As the sync flow."""
        token = self._usable()
        if token is None:
            async with self._async_lock.get():
                token = self._usable() or await self._renew_async({})
        _set_bearer(request, token)
        response = yield request
        arguments = _renewal_of(response)
        if arguments is not None:
            async with self._async_lock.get():
                newer = self._newer_than(token) or await self._renew_async(arguments, must_be_new=True)
            _set_bearer(request, newer)
            yield request

    def _usable(self) -> AccessToken | None:
        """The token that may be sent now; none when the caller should wait for a new one."""
        token, now = self._token, self._now()
        if token is None or token.expires_on <= now:
            return None
        return token if now < self._renew_at or self._is_renewing else None

    def _newer_than(self, refused: AccessToken) -> AccessToken | None:
        """The token that another request got while this one waited."""
        return self._token if self._token is not None and self._token.token != refused.token else None

    def _renew(self, arguments: dict[str, str], *, must_be_new: bool = False) -> AccessToken:
        self._is_renewing = True
        try:
            token = cast("TokenCredential", self._made()).get_token(self._scope, **arguments)
        except Exception as error:  # noqa: BLE001  # credentials are foreign code and raise anything
            return self._fallback(error, must_be_new=must_be_new)
        else:
            return self._kept(token)
        finally:
            self._is_renewing = False

    async def _renew_async(self, arguments: dict[str, str], *, must_be_new: bool = False) -> AccessToken:
        if self._is_default:
            # The async default credential needs aiohttp; the sync one on a thread needs nothing more.
            return await asyncio.to_thread(self._renew, arguments, must_be_new=must_be_new)
        credential = cast("AsyncTokenCredential", self._credential)
        self._is_renewing = True
        try:
            token = await credential.get_token(self._scope, **arguments)
        except Exception as error:  # noqa: BLE001  # credentials are foreign code and raise anything
            return self._fallback(error, must_be_new=must_be_new)
        else:
            return self._kept(token)
        finally:
            self._is_renewing = False

    def _kept(self, token: AccessToken) -> AccessToken:
        if not token.token.isascii() or not token.token.isprintable() or " " in token.token:
            raise CredentialError("the credential gave a token with characters that no header can carry")
        half_life = (token.expires_on - self._now()) / 2
        self._renew_at = token.expires_on - min(REFRESH_BEFORE_S, half_life)
        self._token = token
        return token

    def _made(self) -> TokenCredential | AsyncTokenCredential:
        if self._credential is None:
            # Importing azure-identity takes about half a second, which a key never needs.
            from azure.identity import DefaultAzureCredential  # noqa: PLC0415

            self._credential = cast("TokenCredential", DefaultAzureCredential())
        return self._credential

    def _fallback(self, error: Exception, *, must_be_new: bool) -> AccessToken:
        token = self._token
        if token is not None and not must_be_new and token.expires_on > self._now():
            self._renew_at = self._now() + COOL_DOWN_S
            return token
        reason = (str(error).splitlines() or [""])[0]
        raise CredentialError(
            f"no token from {type(self._credential).__name__}: {type(error).__name__}: {reason} "
            "(set `PHI_API_KEY` to use a key instead)"
        ) from error


def auth_for(
    target: Target, credential: TokenCredential | AsyncTokenCredential | None, *, is_async: bool
) -> Auth:
    """The way in which a client proves itself: its key, else its credential, else the default credential.

    Raises:
        ConfigurationError: `credential` is of the other kind than the client.
    """
    if credential is not None:
        check_credential(credential, is_async=is_async)
    dialect = target.endpoint.dialect
    if target.api_key is not None:
        return KeyAuth(*dialect.write_key(target.api_key))
    return TokenAuth(credential, dialect.token_scope)


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


def _set_bearer(request: Request, token: AccessToken) -> None:
    request.headers["Authorization"] = f"Bearer {token.token}"


def _renewal_of(response: Response) -> dict[str, str] | None:
    """How to ask for another token after a 401 that calls for one; `None` when another won't help."""
    if response.status_code != _UNAUTHORIZED:
        return None
    if response.headers.get("x-ms-error-reason", "").lower().startswith("invalid jwt"):
        # How serverless says it (recorded), without a challenge.
        return {}
    challenge = response.headers.get("WWW-Authenticate", "")
    if not challenge.lower().startswith("bearer"):
        return None
    claims = _CLAIMS.search(challenge)
    if claims is not None:
        try:
            padded = claims[1] + "=" * (-len(claims[1]) % 4)
            return {"claims": base64.b64decode(padded, altchars=b"-_", validate=True).decode()}
        except (binascii.Error, UnicodeDecodeError):
            return None
    return {} if 'error="invalid_token"' in challenge else None
