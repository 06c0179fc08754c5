"""Proof by a token of Entra ID: kept while it is good, renewed before it expires, replaced where it is refused.

It must not know options or retries, nor import azure-identity before a token is needed.
"""

import asyncio
import base64
import binascii
import json
import re
import time
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Final, Literal, cast

from phi_client._call.errors import CredentialError
from phi_client._call.fork_lock import ForkSafeLock
from phi_client._wire.credentials import AccessToken, AsyncTokenCredential, TokenCredential
from phi_client._wire.http import Auth, Request, Response
from phi_client._wire.per_loop import PerLoop

__all__ = ["TokenAuth", "default_credential", "no_token"]

REFRESH_BEFORE_S: Final = 300.0
"""A token is renewed this long before it expires, or at half of a shorter life; meanwhile the old one serves."""

COOL_DOWN_S: Final = 30.0
"""How long a token that is still good is used before a renewal that failed is tried again."""

_CLAIMS: Final = re.compile(r'\bclaims="([^"]*)"')
_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class Way:
    """How a credential is asked, and what its failure means."""

    arguments: dict[str, str]
    on_failure: Literal["keep a good token", "raise", "keep the refusal"]


_USUAL: Final = Way({}, "keep a good token")


class TokenAuth(Auth):
    """Sets a bearer token, kept until it is about to expire; one is asked for at a time.

    Without a credential, `DefaultAzureCredential` of azure-identity is made when the first token is needed.
    A 401 that carries a claims challenge, or says that the token is invalid, gets one more try, if the
    credential has another token to give.

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
                token = self._usable() or self._renew(_USUAL)
        _set_bearer(request, token)
        response = yield request
        for way in _ways_to_renew(response, self._now()):
            with self._lock:
                newer = self._newer_than(token) or self._renew(way)
            if newer.token != token.token:
                _set_bearer(request, newer)
                yield request
                return

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """As the sync flow."""
        token = self._usable()
        if token is None:
            async with self._async_lock.get():
                token = self._usable() or await self._renew_async(_USUAL)
        _set_bearer(request, token)
        response = yield request
        for way in _ways_to_renew(response, self._now()):
            async with self._async_lock.get():
                newer = self._newer_than(token) or await self._renew_async(way)
            if newer.token != token.token:
                _set_bearer(request, newer)
                yield request
                return

    def _usable(self) -> AccessToken | None:
        """The token that may be sent now; none when the caller should wait for a new one."""
        token, now = self._token, self._now()
        if token is None or token.expires_on <= now:
            return None
        return token if now < self._renew_at or self._is_renewing else None

    def _newer_than(self, refused: AccessToken) -> AccessToken | None:
        """The token that another request got while this one waited."""
        return self._token if self._token is not None and self._token.token != refused.token else None

    def _renew(self, way: Way) -> AccessToken:
        self._is_renewing = True
        try:
            token = cast("TokenCredential", self._made()).get_token(self._scope, **way.arguments)
        except Exception as error:  # noqa: BLE001  # credentials are foreign code and raise anything
            return self._fallback(error, way)
        else:
            return self._kept(token)
        finally:
            self._is_renewing = False

    async def _renew_async(self, way: Way) -> AccessToken:
        if self._is_default:
            # The async default credential needs aiohttp; the sync one on a thread needs nothing more.
            return await asyncio.to_thread(self._renew, way)
        credential = cast("AsyncTokenCredential", self._credential)
        self._is_renewing = True
        try:
            token = await credential.get_token(self._scope, **way.arguments)
        except Exception as error:  # noqa: BLE001  # credentials are foreign code and raise anything
            return self._fallback(error, way)
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
            self._credential = default_credential()
        return self._credential

    def _fallback(self, error: Exception, way: Way) -> AccessToken:
        token = self._token
        if token is not None:
            if way.on_failure == "keep the refusal":
                return token
            if way.on_failure == "keep a good token" and token.expires_on > self._now():
                self._renew_at = self._now() + COOL_DOWN_S
                return token
        raise no_token(self._credential, error) from error


def default_credential() -> TokenCredential:
    """azure-identity's way of finding who one is: environment, managed identity, the tools one signed in with."""
    # Importing azure-identity takes about half a second, which a key never needs.
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    return cast("TokenCredential", DefaultAzureCredential())


def no_token(credential: object, error: Exception) -> CredentialError:
    """The error for a credential that gave none."""
    reason = (str(error).splitlines() or [""])[0]
    return CredentialError(
        f"no token from {type(credential).__name__}: {type(error).__name__}: {reason} "
        "(set `PHI_API_KEY` to use a key instead)"
    )


def _set_bearer(request: Request, token: AccessToken) -> None:
    request.headers["Authorization"] = f"Bearer {token.token}"


def _ways_to_renew(response: Response, now: float) -> list[Way]:
    """How to ask for another token after a 401 that calls for one, in order; none when another won't help.

    Credentials answer from a cache of their own, and may give the refused token again. Claims pass that cache by,
    with the credentials that know them.
    """
    if response.status_code != _UNAUTHORIZED:
        return []
    newest = json.dumps({"access_token": {"nbf": _essential(int(now))}})
    past_the_cache = [Way({}, "raise"), Way({"claims": newest}, "keep the refusal")]
    if response.headers.get("x-ms-error-reason", "").lower().startswith("invalid jwt"):
        # How serverless says it (recorded), without a challenge.
        return past_the_cache
    challenge = response.headers.get("WWW-Authenticate", "")
    if not challenge.lower().startswith("bearer"):
        return []
    claims = _CLAIMS.search(challenge)
    if claims is not None:
        try:
            padded = claims[1] + "=" * (-len(claims[1]) % 4)
            return [
                Way({"claims": base64.b64decode(padded, altchars=b"-_", validate=True).decode()}, "raise")
            ]
        except (binascii.Error, UnicodeDecodeError):
            return []
    return past_the_cache if 'error="invalid_token"' in challenge else []


def _essential(not_before: int) -> dict[str, object]:
    """The claim with which Entra's own challenges ask for a token that is no older than now."""
    return {"essential": True, "value": str(not_before)}
