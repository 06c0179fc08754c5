"""The only place that turns a `ServiceError` into bytes, in the dialect's envelope and within bounds.

It must not decide what is wrong.
"""

from __future__ import annotations

from starlette.responses import Response

from phi_emulator.service.errors import ServiceError
from phi_emulator.web.bounds import bounded
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.header_values import safe_headers

__all__ = ["error_response"]


def error_response(exchange: Exchange, error: ServiceError, *, session: str) -> Response:
    """The answer that carries `error`."""
    dialect = exchange.dialect
    wire = dialect.write_error(bounded(error.refusal))
    headers: dict[str, str] = {}
    rules = dialect.token_rules
    of_tokens = () if rules.are_named else (rules.wrong_token, rules.no_role)
    if error.refusal not in (dialect.missing_key, dialect.malformed_key, dialect.wrong_key, *of_tokens):
        # The front door refuses a key before the request has an id (recorded: no `X-Request-ID` on 401).
        headers |= safe_headers(
            dialect.response_headers(
                request_id=exchange.request_id, session=session, deployment=exchange.deployment
            )
        )
        headers |= dialect.echoed_headers(exchange.headers)
    return Response(wire.body, wire.status, headers | dict(wire.headers))
