"""A token of Entra ID on our side: kept while it is good, renewed before it expires, replaced where it is refused.

It must not ask any credential: it says which token to send, when to ask for another and what a failure means.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from phi_client._call.errors import CredentialError

__all__ = [
    "USUAL",
    "AccessToken",
    "AsyncTokenCredential",
    "TokenCredential",
    "Tokens",
    "Way",
    "no_token",
    "ways_to_renew",
]

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


@dataclass(frozen=True, slots=True)
class _Token:
    """A credential's token, which no repr shows."""

    token: str = field(repr=False)
    expires_on: int


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


@dataclass(frozen=True, slots=True)
class Way:
    """How a credential is asked, and what its failure means."""

    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    on_failure: Literal["keep a good token", "raise", "keep the refusal"] = "keep a good token"


USUAL: Final = Way()


class Tokens:
    """The token of one lane, and when it is due for another. `now` is Unix time in seconds."""

    def __init__(self, scope: str, *, now: Callable[[], float] = time.time) -> None:
        self.scope = scope
        self.now = now
        self.current: AccessToken | None = None
        self._renew_at = 0.0

    @property
    def good(self) -> AccessToken | None:
        """The token that may be sent, even if it is due for renewal."""
        token = self.current
        return token if token is not None and token.expires_on > self.now() else None

    @property
    def is_due(self) -> bool:
        """Whether another should be asked for."""
        return self.good is None or self.now() >= self._renew_at

    def newer_than(self, refused: AccessToken) -> AccessToken | None:
        """The token that another request got meanwhile."""
        token = self.current
        return token if token is not None and token.token != refused.token else None

    def keep(self, token: AccessToken) -> AccessToken:
        """Take a credential's token, which from here on is the one to send.

        Raises:
            CredentialError: it holds what no header can carry.
        """
        text = token.token
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise CredentialError("the credential gave a token with characters that no header can carry")
        half_life = (token.expires_on - self.now()) / 2
        self._renew_at = token.expires_on - min(REFRESH_BEFORE_S, half_life)
        self.current = _Token(text, token.expires_on)
        return self.current

    def without(self, credential: object, error: BaseException, way: Way) -> AccessToken:
        """The token to go on with after the credential failed.

        Raises:
            CredentialError: there is none.
        """
        token = self.current
        if token is not None:
            if way.on_failure == "keep the refusal":
                return token
            if way.on_failure == "keep a good token" and token.expires_on > self.now():
                self._renew_at = self.now() + COOL_DOWN_S
                return token
        raise no_token(credential, error) from error


def no_token(credential: object, error: BaseException) -> CredentialError:
    """The error for a credential that gave none."""
    if isinstance(error, CredentialError):
        return error
    reason = (str(error).splitlines() or [""])[0]
    return CredentialError(
        f"no token from {type(credential).__name__}: {type(error).__name__}: {reason} "
        "(set `PHI_API_KEY` to use a key instead)"
    )


def ways_to_renew(status: int, headers: Mapping[str, str], now: float) -> list[Way]:
    """How to ask for another token after a 401 that calls for one, in order; none when another won't help.

    Credentials answer from a cache of their own, and may give the refused token again. Claims pass that cache by,
    with the credentials that know them.
    """
    if status != _UNAUTHORIZED:
        return []
    newest = json.dumps({"access_token": {"nbf": _essential(int(now))}})
    past_the_cache = [Way({}, "raise"), Way({"claims": newest}, "keep the refusal")]
    if headers.get("x-ms-error-reason", "").lower().startswith("invalid jwt"):
        # How serverless says it (recorded), without a challenge.
        return past_the_cache
    challenge = headers.get("www-authenticate", "")
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
