"""A local authority in the place of Entra ID: it signs access tokens and says whether one may be taken.

It must not know HTTP, nor which routes lead to it. Its key lives as long as the process, and is trusted by nobody else.

The libraries are imported and the key is made when the first token is needed, which takes a fraction of a second:
`issue`, `key_set` and `verify` are for a thread.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from phi_client.contract.clock.base import SYSTEM_CLOCK
from phi_client.contract.service import Surface
from phi_client.contract.tokens import audience_of
from phi_emulator.service.errors import ServiceError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = [
    "CLIENT_ID",
    "DEFAULT_TENANT",
    "NO_ROLE_CLIENT_ID",
    "AccessToken",
    "Authority",
    "Identity",
    "TokenError",
    "check_token",
    "issuer_of",
]

DEFAULT_TENANT: Final = "00000000-0000-0000-0000-000016180000"
"""The tenant that the emulator's deployments belong to, unless another is configured."""

CLIENT_ID: Final = "00000000-0000-0000-0000-000000000001"
"""Who signs in without saying who: the system-assigned identity."""

NO_ROLE_CLIENT_ID: Final = "00000000-0000-0000-0000-000000000403"
"""An identity that gets tokens like any other, and has no role on any deployment."""

_ALGORITHM: Final = "RS256"
_KEY_BITS: Final = 2048


class TokenError(Exception):
    """A token can't be taken; the message says why, without the token. `tenant` is the one that is wrong, if it is."""

    def __init__(self, reason: str, *, tenant: str | None = None) -> None:
        super().__init__(reason)
        self.tenant = tenant


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token; the times are Unix times in seconds."""

    value: str = field(repr=False)
    audience: str
    client_id: str
    issued_on: int
    expires_on: int

    @property
    def lifetime_s(self) -> int:
        """How long it is good for."""
        return self.expires_on - self.issued_on


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for."""

    tenant: str
    client_id: str

    @property
    def has_role(self) -> bool:
        """Whether it may use the deployments."""
        return self.client_id != NO_ROLE_CLIENT_ID


def issuer_of(tenant: str) -> str:
    """Who signs for `tenant`, as tokens for Azure's own services name it."""
    return f"https://sts.windows.net/{tenant}/"


class Authority:
    """Issues tokens for any tenant, audience and identity, and verifies those of `tenant`; safe between threads."""

    def __init__(
        self,
        tenant: str = DEFAULT_TENANT,
        *,
        lifetime_s: int = 3600,
        clock: Callable[[], float] = SYSTEM_CLOCK.unix,
    ) -> None:
        self.tenant = tenant.lower()
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._lock = threading.Lock()
        self._signing: RSAPrivateKey | None = None
        self._key_id = ""

    def issue(
        self,
        audience: str,
        *,
        tenant: str | None = None,
        client_id: str = CLIENT_ID,
        proof: Literal["secret", "certificate"] = "secret",
    ) -> AccessToken:
        """A token for `audience`, with the claims that Entra gives applications and managed identities.

        `proof` is how the client proved who it is; a managed identity does it by a certificate.
        """
        import jwt  # noqa: PLC0415 - see the module

        signing = self._key()
        now = int(self._clock())
        whose = self.tenant if tenant is None else tenant.lower()
        oid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{whose}/{client_id}"))
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": issuer_of(whose),
            "iat": now,
            "nbf": now,
            "exp": now + self._lifetime_s,
            "appid": client_id,
            "appidacr": "2" if proof == "certificate" else "1",
            "idp": issuer_of(whose),
            "idtyp": "app",
            "oid": oid,
            "sub": oid,
            "tid": whose,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        value = jwt.encode(claims, signing, algorithm=_ALGORITHM, headers={"kid": self._key_id})
        return AccessToken(value, audience, client_id, now, now + self._lifetime_s)

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        from jwt.algorithms import RSAAlgorithm  # noqa: PLC0415 - see the module

        public = RSAAlgorithm.to_jwk(self._key().public_key(), as_dict=True)
        known = {"kty": "RSA", "use": "sig", "alg": _ALGORITHM, "kid": self._key_id}
        return {"keys": [known | {name: public[name] for name in ("n", "e")}]}

    def verify(self, token: str, audiences: Collection[str]) -> Identity:
        """Whom `token` speaks for, if it is signed by this authority, is for one of `audiences`, and is good now.

        Raises:
            TokenError: it is not.
        """
        import jwt  # noqa: PLC0415 - see the module

        if self._signing is None:
            raise TokenError("it is not signed by this emulator, which has issued none since its start")
        try:
            # The signature alone: the library judges times by the machine's clock, and not by this authority's.
            signed = jwt.PyJWS().decode(token, self._signing.public_key(), algorithms=[_ALGORITHM])
        except (jwt.InvalidTokenError, RecursionError) as error:
            raise TokenError(f"it is not signed by this emulator: {type(error).__name__}") from None
        # What is signed was written by `issue`, so that every claim is there.
        claims = json.loads(signed)
        now = self._clock()
        if claims["exp"] <= now:
            raise TokenError(f"it expired {now - claims['exp']:.0f} s ago")
        if claims["nbf"] > now:
            raise TokenError(f"it is good only in {claims['nbf'] - now:.0f} s")
        if audience_of(claims["aud"]) not in audiences:
            raise TokenError(f"its audience is {claims['aud']!r}, not {' or '.join(sorted(audiences))}")
        if claims["iss"] != issuer_of(self.tenant):
            raise TokenError(f"its tenant is {claims['tid']!r}, not {self.tenant!r}", tenant=claims["tid"])
        return Identity(tenant=claims["tid"], client_id=claims["appid"])

    def _key(self) -> RSAPrivateKey:
        """The key, made once; making it leaves the interpreter free."""
        with self._lock:
            if self._signing is None:
                from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see the module
                from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

                signing = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
                public = signing.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                self._key_id = hashlib.sha256(public).hexdigest()[:32]
                self._signing = signing
            return self._signing


def check_token(authority: Authority, dialect: Surface, token: str) -> None:
    """Let a token pass that is for this surface, and whose identity may use it.

    Raises:
        ServiceError: with the surface's own answer.
    """
    rules = dialect.token_rules
    try:
        identity = authority.verify(token, {audience_of(dialect.token_scope), *rules.other_audiences})
    except TokenError as error:
        refusal = rules.wrong_token if error.tenant is None else rules.wrong_tenant(error.tenant)
        raise ServiceError(refusal, str(error)) from error
    if not identity.has_role:
        raise ServiceError(rules.no_role, f"the identity {identity.client_id} has no role")
