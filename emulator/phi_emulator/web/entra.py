"""The routes under `/_emulator/entra`: where Entra ID and a machine's identity endpoint are imitated.

It must not sign or verify anything itself. Paths, parameters and answers are those of the documentation of Entra ID, of
the Azure Instance Metadata Service (IMDS) and of App Service; the texts of errors are inferred.

Whoever may have a token gets in without a key. So where the emulator has a key of its own, that key is asked for: as
the client's secret, or as App Service's identity header. IMDS has no place for one and is off then. The well-known key
is public, and with it anybody may have a token.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_client.contract.emulator import EMULATOR_ENTRA
from phi_emulator.service.entra import CLIENT_ID, AccessToken, Authority, issuer_of
from phi_emulator.web.auth import is_same
from phi_emulator.web.body import read_body
from phi_emulator.web.bounds import bounded_text
from phi_emulator.web.control_route import ControlRoute
from phi_emulator.web.exchange import Exchange

__all__ = ["Entra"]

_TENANT: Final = r"(?P<tenant>[A-Za-z0-9][A-Za-z0-9.-]{0,63})"
"""A GUID or a domain."""

_MAX_BODY_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 50
_DEFAULT_SCOPE: Final = "/.default"
_NOT_STORED: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class _EntraError(Exception):
    """An answer of the token endpoint: OAuth's error, Entra's number and what is wrong."""

    def __init__(self, error: str, number: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.error, self.number, self.text, self.status = error, number, text, status


class Entra:
    """The handlers of these routes; `secret` is what those must present who ask for a token, `None` for nothing."""

    def __init__(self, authority: Authority, *, secret: str | None) -> None:
        self._authority = authority
        self._secret = secret

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them; where Azure's path names no tenant, one may be put before it."""
        one, maybe = f"{EMULATOR_ENTRA}/{_TENANT}", f"{EMULATOR_ENTRA}(?:/{_TENANT})?"
        return (
            ControlRoute(rf"{one}(?:/v2\.0)?/\.well-known/openid-configuration", "GET", self.metadata),
            ControlRoute(rf"{one}/discovery(?:/v2\.0)?/keys", "GET", self.keys),
            ControlRoute(rf"{one}/oauth2/v2\.0/token", "POST", self.token, has_own_key=True),
            ControlRoute(rf"{maybe}/metadata/identity/oauth2/token", "GET", self.imds),
            ControlRoute(rf"{maybe}/msi/token", "GET", self.app_service),
        )

    async def metadata(self, exchange: Exchange) -> ASGIApp:
        """OpenID's description of a tenant, which leads to the other routes."""
        tenant = self._tenant(exchange)
        url = f"{exchange.request.url.scheme}://{exchange.headers.get('host')}{EMULATOR_ENTRA}/{tenant}"
        known = {
            "issuer": issuer_of(tenant),
            "token_endpoint": f"{url}/oauth2/v2.0/token",
            "jwks_uri": f"{url}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return JSONResponse(known)

    async def keys(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """The public key with which tokens are verified."""
        return JSONResponse(await asyncio.to_thread(self._authority.key_set))

    async def token(self, exchange: Exchange) -> ASGIApp:
        """A token for a client's credentials; any client, and any secret while nobody must present one."""
        body = await read_body(exchange.request, exchange.dialect, _MAX_BODY_BYTES, clock=exchange.clock)
        try:
            client_id, audience = self._read_token_request(body)
        except _EntraError as error:
            return _entra_error(exchange, error)
        token = await asyncio.to_thread(
            self._authority.issue, audience, tenant=self._tenant(exchange), client_id=client_id
        )
        answer = {
            "token_type": "Bearer",
            "expires_in": token.lifetime_s,
            "ext_expires_in": token.lifetime_s,
            "access_token": token.value,
        }
        return JSONResponse(answer, headers=_NOT_STORED)

    async def imds(self, exchange: Exchange) -> ASGIApp:
        """A token for the identity of the machine, as IMDS gives it to `ManagedIdentityCredential`."""
        if exchange.headers.get("metadata", "").lower() != "true":
            return _imds_error("Required metadata header not specified")
        if self._secret is not None:
            return _imds_error(
                "This emulator has a key of its own, for which this endpoint has no place: "
                "set IDENTITY_ENDPOINT and put the key into IDENTITY_HEADER"
            )
        resource = exchange.request.query_params.get("resource")
        if not resource:
            return _imds_error("The parameter 'resource' is missing")
        token = await self._token_of_identity(exchange, resource)
        answer = _identity_answer(token) | {
            "expires_in": str(token.lifetime_s),
            "ext_expires_in": str(token.lifetime_s),
        }
        return JSONResponse(answer, headers=_NOT_STORED)

    async def app_service(self, exchange: Exchange) -> ASGIApp:
        """The same as App Service gives it; its header carries the secret."""
        given = exchange.headers.get("x-identity-header", "")
        if not given or (self._secret is not None and not is_same(given, self._secret)):
            return _app_service_error("The header X-IDENTITY-HEADER does not hold the emulator's key")
        resource = exchange.request.query_params.get("resource")
        if not resource:
            return _app_service_error("The parameter 'resource' is missing")
        token = await self._token_of_identity(exchange, resource)
        return JSONResponse(_identity_answer(token), headers=_NOT_STORED)

    def _tenant(self, exchange: Exchange) -> str:
        return exchange.place.parameters.get("tenant", self._authority.tenant).lower()

    async def _token_of_identity(self, exchange: Exchange, resource: str) -> AccessToken:
        query = exchange.request.query_params
        named = query.get("client_id")
        other = query.get("object_id") or query.get("msi_res_id") or query.get("mi_res_id")
        if not named and other:
            named = str(uuid.uuid5(uuid.NAMESPACE_URL, other))
        return await asyncio.to_thread(
            self._authority.issue,
            resource,
            tenant=self._tenant(exchange),
            client_id=named or CLIENT_ID,
            proof="certificate",
        )

    def _read_token_request(self, body: bytes) -> tuple[str, str]:
        """The client and the audience.

        Raises:
            _EntraError: the request is not one for a client's credentials.
        """
        try:
            fields = parse_qs(body.decode(errors="replace"), max_num_fields=_MAX_FIELDS)
        except ValueError:
            _refuse("invalid_request", 90014, "The request has too many parameters.")
        grant = _required(fields, "grant_type")
        if grant != "client_credentials":
            _refuse(
                "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'."
            )
        client_id, scope = _required(fields, "client_id"), _required(fields, "scope")
        if " " in scope or not scope.endswith(_DEFAULT_SCOPE) or scope == _DEFAULT_SCOPE:
            _refuse(
                "invalid_scope",
                1002012,
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value "
                "with /.default suffixed to the resource identifier (application ID URI).",
            )
        secret = fields.get("client_secret", [""])[0]
        if not secret:
            text = "The request body must contain the following parameter: 'client_secret'."
            _refuse("invalid_client", 7000216, text, 401)
        if self._secret is not None and not is_same(secret, self._secret):
            text = "Invalid client secret provided: this emulator has a key of its own, which is every client's secret."
            _refuse("invalid_client", 7000215, text, 401)
        return client_id, scope.removesuffix(_DEFAULT_SCOPE)


def _required(fields: Mapping[str, list[str]], name: str) -> str:
    if name not in fields:
        _refuse(
            "invalid_request", 900144, f"The request body must contain the following parameter: '{name}'."
        )
    return fields[name][0]


def _refuse(error: str, number: int, text: str, status: int = 400) -> NoReturn:
    raise _EntraError(error, number, bounded_text(text), status)


def _entra_error(exchange: Exchange, error: _EntraError) -> JSONResponse:
    now = datetime.fromtimestamp(exchange.clock.unix(), UTC)
    trace, correlation = exchange.request_id, str(uuid.uuid4())
    answer = {
        "error": error.error,
        "error_description": f"AADSTS{error.number}: {error.text} Trace ID: {trace} "
        f"Correlation ID: {correlation} Timestamp: {now:%Y-%m-%d %H:%M:%SZ}",
        "error_codes": [error.number],
        "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
        "trace_id": trace,
        "correlation_id": correlation,
    }
    return JSONResponse(answer, error.status, _NOT_STORED)


def _identity_answer(token: AccessToken) -> dict[str, str]:
    """What both identity endpoints say of a token; numbers are strings there."""
    return {
        "access_token": token.value,
        "client_id": token.client_id,
        "expires_on": str(token.expires_on),
        "not_before": str(token.issued_on),
        "resource": token.audience,
        "token_type": "Bearer",
    }


def _imds_error(text: str) -> JSONResponse:
    # Always 400: clients of IMDS take a 404 or 5xx for an endpoint that is still starting, and wait.
    return JSONResponse({"error": "invalid_request", "error_description": text}, 400)


def _app_service_error(text: str) -> JSONResponse:
    return JSONResponse({"statusCode": 400, "message": text}, 400)
