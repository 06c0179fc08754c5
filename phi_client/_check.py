"""Whether the configured endpoints can be reached and would take what is sent: URL, key or token, clock.

It must not generate anything, since that is billed: it asks for the model's name. It never shows a key, a token or what
a token says beside its audience and its end. `python -m phi_client` shows what it finds.
"""

import base64
import binascii
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, cast

from phi_client._call.deadline import Deadline
from phi_client._call.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    CredentialError,
    ModelError,
    NotFoundError,
    PermissionDeniedError,
)
from phi_client._call.exchange import Answer, Exchange, info_exchange
from phi_client._call.flow import Call, Lane
from phi_client._call.options import CallOptions
from phi_client._call.targets import Target, resolve_settings
from phi_client._call.tokens import TokenCredential, Tokens, no_token
from phi_client._wire.connections import Client, Connections
from phi_client._wire.credentials import Credentials, default_credential
from phi_client._wire.driving import Carrier
from phi_client.contract.clock.base import SYSTEM_CLOCK
from phi_client.contract.dialects import MANAGED_COMPUTE
from phi_client.contract.tokens import audience_of

__all__ = ["Finding", "check_endpoints"]

_DEADLINE_S: Final = 60.0
_NOT_FOUND: Final = 404
_SKEW_S: Final = 120.0
"""Entra ID allows about five minutes; from here on a clock deserves a word, and retries by date go wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    status: Literal["ok", "warning", "failure"]
    subject: str
    text: str
    """What was found, and what to do."""


def check_endpoints(
    environ: Mapping[str, str] = os.environ,
    *,
    credential: TokenCredential | None = None,
    http_client: Client | None = None,
    now: Callable[[], float] = time.time,
) -> list[Finding]:
    """Check each endpoint that `PHI_ENDPOINT` and its sisters name; without any, that is the one finding."""
    try:
        settings = resolve_settings(environ=environ, credential=credential)
    except ConfigurationError as error:
        return [Finding("failure", "endpoint", str(error))]
    found: list[Finding] = []
    for target in settings.targets:
        found += _check(target, settings.options, credential, http_client, now)
    return found


def _check(
    target: Target,
    options: CallOptions,
    credential: TokenCredential | None,
    http_client: Client | None,
    now: Callable[[], float],
) -> list[Finding]:
    endpoint, dialect = target.endpoint, target.endpoint.dialect
    found = [Finding("ok", "endpoint", f"{endpoint.base_url} speaks {dialect.name}")]
    if target.api_key is None:
        credential = credential or default_credential()
        found.append(_check_token(credential, target.scope, now()))
        if found[-1].status == "failure":
            return found
    connections = Connections(http_client, endpoint)
    try:
        found += _ask(target, options, connections, credential, now)
    finally:
        connections.close()
    return found


def _ask(
    target: Target,
    options: CallOptions,
    connections: Connections,
    credential: TokenCredential | None,
    now: Callable[[], float],
) -> list[Finding]:
    lane = Lane(target, connections)
    if target.api_key is None:
        credentials = Credentials(Tokens(target.scope), credential)
        lane = Lane(target, connections, credentials, credentials.tokens)
    exchange = info_exchange(target, options=options, call_id=str(uuid.uuid4()))
    deadline = Deadline.of(_DEADLINE_S, SYSTEM_CLOCK.now)
    call = Call([lane], [exchange], clock=SYSTEM_CLOCK, deadline=deadline)
    carrier = Carrier(SYSTEM_CLOCK)
    try:
        answer = carrier.carry(call.answer(lambda _, answer: answer))
    except APIConnectionError as error:
        return [Finding("failure", "connection", str(error))]
    except CredentialError as error:
        return [Finding("failure", "token", str(error))]
    except ConfigurationError as error:
        return [Finding("failure", "configuration", str(error))]
    finally:
        carrier.close()
    proof = "token" if target.api_key is None else "key"
    return [_judge(target, proof, exchange, answer), _check_clock(answer.headers, now())]


def _judge(target: Target, proof: str, exchange: Exchange, answer: Answer) -> Finding:
    try:
        info = exchange.read_info(answer)
    except (AuthenticationError, PermissionDeniedError) as error:
        return Finding("failure", proof, f"refused: {error}")
    except APIResponseError as error:
        return Finding(
            "warning", "endpoint", f"what answers does not speak {target.endpoint.dialect.name}: {error}"
        )
    except APIStatusError as error:
        # The newer container of managed compute has no such route; what stands before it has judged the key by then.
        is_missing = isinstance(error, NotFoundError) or (
            isinstance(error, ModelError) and error.inner_status == _NOT_FOUND
        )
        if is_missing and target.endpoint.dialect.name == MANAGED_COMPUTE.name:
            return Finding("ok", proof, "taken; this container has no route that names its model")
        return Finding("failure", "endpoint", str(error))
    return Finding("ok", proof, f"taken; {info.model_name or 'a model without a name'} answers")


def _check_clock(headers: Mapping[str, str], here: float) -> Finding:
    try:
        there = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return Finding("warning", "clock", "the service sends no date to compare with")
    ahead = here - there
    if abs(ahead) <= _SKEW_S:
        return Finding("ok", "clock", f"within {max(abs(ahead), 1):.0f} s of the service's")
    which = "ahead of" if ahead > 0 else "behind"
    return Finding(
        "failure",
        "clock",
        f"{abs(ahead):.0f} s {which} the service's, so tokens may be refused: set the clock",
    )


def _check_token(credential: TokenCredential, scope: str, now: float) -> Finding:
    wanted = audience_of(scope)
    try:
        token = credential.get_token(scope)
    except Exception as error:  # noqa: BLE001  # credentials are foreign code and raise anything
        return Finding("failure", "token", str(no_token(credential, error)))
    claims = _claims(token.token)
    if claims is None:
        return Finding("warning", "token", "the credential gave a token that can't be read here")
    audience = str(claims.get("aud", "")).rstrip("/")
    if audience != wanted:
        return Finding("failure", "token", f"it is for {audience!r}, and this endpoint takes {wanted!r}")
    left = token.expires_on - now
    if left <= 0:
        return Finding("failure", "token", "it has expired: sign in again, and look at the clock")
    return Finding("ok", "token", f"for {audience}, good for {left / 60:.0f} min")


def _claims(token: str) -> dict[str, Any] | None:
    """What a signed token says, unverified; None when it is none."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004  # header, claims, signature
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return cast("dict[str, Any]", claims) if isinstance(claims, dict) else None
